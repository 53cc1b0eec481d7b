"""A contact sheet: each bucket with its pictures, bright where they are kept and dark where they are cut away."""

from collections import defaultdict
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFont

from tunesmith.core.files import write_bytes
from tunesmith.pictures.buckets import Shape, keeps
from tunesmith.pictures.gather import Seen
from tunesmith.pictures.prepare import name_of
from tunesmith.pictures.read import over, read_picture

_THUMB, _GAP, _LINE = 120, 10, 18  # pixels
_ACROSS = 8  # pictures in a row
_LETTERS = 10  # of a name, which fit below its picture
_MOST = 3 * _ACROSS  # of one bucket
_PAPER, _INK, _EDGE = (255, 255, 255), (40, 40, 40), (214, 40, 40)


def contact_sheet(pictures: Sequence[Seen], path: Path) -> None:
    """Write a PNG of what each bucket keeps and cuts away. Of a large bucket the pictures that lose most are shown."""
    by_bucket: dict[Shape, list[Seen]] = defaultdict(list)
    for seen in pictures:
        by_bucket[seen.bucket].append(seen)
    strips = [_strip(shape, some) for shape, some in sorted(by_bucket.items(), key=lambda item: -len(item[1]))]
    width = _GAP + _ACROSS * (_THUMB + _GAP)
    sheet = Image.new("RGB", (width, sum(strip.height for strip in strips) + _GAP), _PAPER)
    top = 0
    for strip in strips:
        sheet.paste(strip, (0, top))
        top += strip.height
    data = BytesIO()
    sheet.save(data, "PNG")
    write_bytes(path, data.getvalue())


def _strip(shape: Shape, some: Sequence[Seen]) -> Image.Image:
    shown = sorted(some, key=lambda seen: (keeps(seen.height, seen.width, shape), seen.row))[:_MOST]
    rows = -(-len(shown) // _ACROSS)
    high = _THUMB + _LINE + _GAP
    strip = Image.new("RGB", (_GAP + _ACROSS * (_THUMB + _GAP), _GAP + _LINE + rows * high), _PAPER)
    pen, letters = ImageDraw.Draw(strip), ImageFont.load_default(12)
    rest = f", the {len(shown)} that lose most are shown" if len(shown) < len(some) else ""
    count = "1 picture" if len(some) == 1 else f"{len(some)} pictures"
    pen.text((_GAP, _GAP), f"{name_of(shape)}: {count}{rest}", _INK, letters)
    for place, seen in enumerate(shown):
        left = _GAP + place % _ACROSS * (_THUMB + _GAP)
        top = _GAP + _LINE + place // _ACROSS * high
        thumb = _marked(seen)
        strip.paste(thumb, (left + (_THUMB - thumb.width) // 2, top + (_THUMB - thumb.height) // 2))
        kept = f"{keeps(seen.height, seen.width, shape):.0%} of {seen.place.path.name[:_LETTERS]}"
        pen.text((left, top + _THUMB + 2), kept, _INK, letters)
    return strip


def _marked(seen: Seen) -> Image.Image:
    """-> the whole picture, small, with what the middle crop leaves out in the dark."""
    image = over(read_picture(seen.place.path).image, _PAPER)
    image.thumbnail((_THUMB, _THUMB))
    kept = min(image.width, round(image.height * seen.bucket[1] / seen.bucket[0]))
    tall = min(image.height, round(image.width * seen.bucket[0] / seen.bucket[1]))
    left, top = (image.width - kept) // 2, (image.height - tall) // 2
    box = (left, top, left + kept, top + tall)
    dark = ImageEnhance.Brightness(image).enhance(0.35)
    dark.paste(image.crop(box), box)
    ImageDraw.Draw(dark).rectangle((left, top, left + kept - 1, top + tall - 1), outline=_EDGE)
    return dark
