"""One picture of a file: upright, 8 bits, RGB or RGBA. Whatever the bytes are, a picture or one UserError comes out."""

import hashlib
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageCms, ImageColor, ImageOps, UnidentifiedImageError

from tunesmith.core.errors import UserError
from tunesmith.core.text import read_bytes

# Only these decoders are ever tried: others run programs (PostScript) or are seldom looked at.
KINDS = {
    "PNG": (".png", ".apng"),
    "JPEG": (".jpg", ".jpeg", ".jfif"),
    "WEBP": (".webp",),
    "BMP": (".bmp",),
    "TIFF": (".tif", ".tiff"),
    "GIF": (".gif",),
}
SUFFIXES = tuple(suffix for some in KINDS.values() for suffix in some)
MOST_PIXELS = 1 << 27  # half a gigabyte when opened; larger ones are as a rule made to fill memory
_MOVING = ("PNG", "WEBP", "GIF", "TIFF")


@dataclass(frozen=True, slots=True)
class Opened:
    """A picture, whole in memory."""

    image: Image.Image  # RGB, or RGBA where a part of it can be seen through
    sha256: str  # of the file's bytes
    frames: int


def read_picture(path: Path) -> Opened:
    """-> the picture of a file; of an animation the first frame. UserError names the file."""
    data = read_bytes(path)
    if not data:
        raise UserError(f"{path}: the file is empty (0 bytes); copy it again or remove it")
    digest = hashlib.sha256(data).hexdigest()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what Pillow doubts is either refused below or does not matter
        image = _header(path, data)
        frames = int(getattr(image, "n_frames", 1)) if image.format in _MOVING else 1
        try:
            image.load()
            upright = ImageOps.exif_transpose(image)
            return Opened(_in_srgb(_plain(upright, path), image.info.get("icc_profile")), digest, frames)
        except UserError:
            raise
        except Exception as error:  # decoders of foreign bytes raise whatever they like
            raise UserError(f"{path}: broken or cut off ({_reason(error)}); copy it again or remove it") from None


def read_mask(path: Path, size: tuple[int, int]) -> Image.Image:
    """-> the mask of a picture of `size` (width, height) as one channel. UserError when it does not fit."""
    image = read_picture(path).image
    if image.size != size:
        raise UserError(
            f"{path}: the mask has {image.width}x{image.height} pixels, its picture {size[0]}x{size[1]}; "
            "make them the same"
        )
    mask = over(image, (0, 0, 0)).convert("L")
    if mask.getextrema()[1] == 0:
        raise UserError(f"{path}: the mask is black everywhere, nothing would be learned; paint white what counts")
    return mask


def over(image: Image.Image, colour: tuple[int, int, int]) -> Image.Image:
    """-> `image` as RGB, with `colour` behind what can be seen through."""
    if image.mode != "RGBA":
        return image
    behind = Image.new("RGBA", image.size, (*colour, 255))
    return Image.alpha_composite(behind, image).convert("RGB")


def colour_of(name: str) -> tuple[int, int, int]:
    red, green, blue = ImageColor.getrgb(name)[:3]
    return red, green, blue


def _header(path: Path, data: bytes) -> Image.Image:
    """-> the picture, not yet decoded."""
    try:
        image = Image.open(BytesIO(data), formats=tuple(KINDS))
    except Image.DecompressionBombError:
        _refuse_size(path, "")
    except UnidentifiedImageError:
        raise UserError(f"{path}: {_what(data)}; known are PNG, JPEG, WebP, BMP, TIFF and GIF") from None
    except Exception as error:  # a decoder of foreign bytes
        raise UserError(f"{path}: broken or cut off ({_reason(error)}); copy it again or remove it") from None
    kind = "JPEG" if image.format == "MPO" else str(image.format)  # a JPEG with a second picture behind it
    if path.suffix.lower() not in KINDS[kind]:
        right = path.with_suffix(KINDS[kind][0]).name
        raise UserError(f"{path}: holds a {kind} picture but is not named so; rename it to {right}")
    if image.width * image.height > MOST_PIXELS:
        _refuse_size(path, f", {image.width}x{image.height}")
    return image


def _refuse_size(path: Path, size: str) -> NoReturn:
    raise UserError(
        f"{path}: too many pixels{size}; at most {MOST_PIXELS // 10**6} million are opened, make the picture smaller"
    ) from None


def _what(data: bytes) -> str:
    if data.lstrip()[:1] == b"<":
        return "not a picture but a page or drawing in HTML or XML"
    if data[4:8] == b"ftyp":
        return "a HEIC, AVIF or video file; save it as PNG or JPEG"
    return "not a picture, or its beginning is broken"


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


def _plain(image: Image.Image, path: Path) -> Image.Image:
    """-> 8 bits in a mode that colour management knows: L, RGB, RGBA or CMYK."""
    if image.mode.startswith("I;16"):  # `convert` would clip it to white
        return Image.fromarray((np.asarray(image).astype(np.float32) / 257).round().astype(np.uint8))
    if image.mode in ("P", "PA", "LA", "La", "RGBa", "RGBA") or "transparency" in image.info:
        seen = image.convert("RGBA")
        return seen if np.asarray(seen.getchannel("A")).min() < 255 else seen.convert("RGB")
    if image.mode in ("I", "F", "LAB", "HSV"):
        raise UserError(f"{path}: its colours are kept as {image.mode}; save it as RGB with 8 or 16 bits a channel")
    return image if image.mode in ("L", "RGB", "CMYK") else image.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """-> RGB or RGBA as screens show it: photographs of telephones are wider than sRGB, and would come out pale."""
    wanted = "RGBA" if image.mode == "RGBA" else "RGB"
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                target = ImageCms.createProfile("sRGB")
                changed = ImageCms.profileToProfile(image, source, target, outputMode=wanted)
                assert changed is not None
                return changed
        except (ImageCms.PyCMSError, OSError):
            pass  # a broken profile: the numbers are taken as they stand, as all viewers do
    return image.convert(wanted)
