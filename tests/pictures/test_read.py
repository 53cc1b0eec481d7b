import io
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms, PngImagePlugin

from tests.pictures.drawn import drawn
from tunesmith.core.errors import UserError
from tunesmith.pictures.read import MOST_PIXELS, over, read_mask, read_picture


def saved(folder: Path, name: str, image: Image.Image, **options: object) -> Path:
    path = folder / name
    image.save(path, **options)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(read_picture(path).image.convert("RGB")).astype(int)


def refused(path: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        read_picture(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ") and "\n" not in text
    for word in words:
        assert word in text


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tiff", "a.TIF", "a.webp"])
def test_kinds_without_loss_give_the_pixels_that_were_saved(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name.endswith("webp") else {}
    assert (pixels(saved(tmp_path, name, drawn(1), **options)) == np.asarray(drawn(1))).all()


def test_a_picture_on_its_side_is_turned_upright(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: the first row of the file is the right side of the picture
    path = saved(tmp_path, "a.png", drawn(1, (48, 20)), exif=exif)
    assert (pixels(path) == np.rot90(np.asarray(drawn(1, (48, 20))), -1)).all()


@pytest.mark.parametrize("mode", ["1", "L", "P", "CMYK", "YCbCr", "LA", "RGBA"])
def test_every_way_to_keep_colours_comes_out_as_rgb(tmp_path: Path, mode: str) -> None:
    suffix = ".jpg" if mode in ("CMYK", "YCbCr") else ".png"
    path = saved(
        tmp_path,
        f"a{suffix}",
        drawn(1, (64, 64)).convert(mode),
        **({"quality": 100, "subsampling": 0} if suffix == ".jpg" else {}),
    )
    assert read_picture(path).image.mode == "RGB"
    expected = np.asarray(drawn(1, (64, 64)).convert(mode).convert("RGB")).astype(int)
    assert np.abs(pixels(path) - expected).mean() < 3


def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path) -> None:
    ramp = np.linspace(0, 65535, 64 * 64).astype(np.uint16).reshape(64, 64)
    path = saved(tmp_path, "a.png", Image.fromarray(ramp))
    assert np.abs(pixels(path)[..., 0] - ramp / 257).max() <= 0.51


def test_a_transparent_palette_keeps_its_holes(tmp_path: Path) -> None:
    image = Image.new("P", (20, 20), 0)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.paste(1, (0, 0, 10, 20))
    opened = read_picture(saved(tmp_path, "a.png", image, transparency=0))
    assert opened.image.mode == "RGBA"
    on_green = np.asarray(over(opened.image, (0, 255, 0)))
    assert on_green[0, 0].tolist() == [0, 0, 255] and on_green[0, 19].tolist() == [0, 255, 0]


def test_an_alpha_that_hides_nothing_is_dropped(tmp_path: Path) -> None:
    assert read_picture(saved(tmp_path, "a.png", drawn(1).convert("RGBA"))).image.mode == "RGB"


def test_colours_of_another_profile_become_those_of_a_screen(tmp_path: Path) -> None:
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    # The same profile under another name, whose red is the green of screens and the reverse.
    odd = srgb.replace(b"rXYZ", b"....").replace(b"gXYZ", b"rXYZ").replace(b"....", b"gXYZ")
    odd = odd.replace("sRGB".encode("utf-16-be"), "odd!".encode("utf-16-be"))
    plain = pixels(saved(tmp_path, "plain.png", drawn(1)))
    assert (pixels(saved(tmp_path, "broken.png", drawn(1), icc_profile=b"no profile")) == plain).all()
    assert (pixels(saved(tmp_path, "same.png", drawn(1), icc_profile=srgb)) == plain).all()
    assert np.abs(pixels(saved(tmp_path, "odd.png", drawn(1), icc_profile=odd)) - plain[..., [1, 0, 2]]).max() <= 2


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.tiff"])
def test_of_an_animation_the_first_frame_is_read_and_counted(tmp_path: Path, name: str) -> None:
    options = {"lossless": True} if name == "a.webp" else {}
    frames = [Image.new("RGB", (32, 32), colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    path = saved(tmp_path, name, frames[0], save_all=True, append_images=frames[1:], **options)
    assert read_picture(path).frames == 3
    assert pixels(path)[5, 5].tolist() == [255, 0, 0]


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    refused(tmp_path / "a.png", "empty")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff", "a.gif"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, name: str, share: float) -> None:
    path = saved(tmp_path, name, drawn(2, (200, 200)))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refused(path)


def test_a_picture_under_the_name_of_another_kind_is_named_rightly(tmp_path: Path) -> None:
    data = io.BytesIO()
    drawn(1).save(data, "JPEG")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    refused(tmp_path / "a.png", "JPEG", "a.jpg")


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (b"<html><body>404</body></html>", "HTML"),
        (b"\0\0\0\x18ftypheic" + bytes(99), "HEIC"),
        (b"GIF", "not a picture"),
    ],
)
def test_what_is_no_picture_is_said(tmp_path: Path, data: bytes, word: str) -> None:
    (tmp_path / "a.jpg").write_bytes(data)
    refused(tmp_path / "a.jpg", word)


def test_programs_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    refused(tmp_path / "a.png", "not a picture")


@pytest.mark.parametrize("edge", [15_000, 60_000])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path: Path, edge: int) -> None:
    assert edge * edge > MOST_PIXELS
    head = edge.to_bytes(4, "big") * 2 + b"\x08\x00\x00\x00\x00"
    data = io.BytesIO(b"")
    data.write(b"\x89PNG\r\n\x1a\n")
    PngImagePlugin.putchunk(data, b"IHDR", head)
    PngImagePlugin.putchunk(data, b"IDAT", zlib.compress(bytes(10_000)))
    PngImagePlugin.putchunk(data, b"IEND", b"")
    (tmp_path / "a.png").write_bytes(data.getvalue())
    refused(tmp_path / "a.png", "too many pixels")


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_colours_that_cannot_be_shown_are_named(tmp_path: Path, mode: str) -> None:
    image = Image.new(mode, (20, 20)) if mode != "LAB" else Image.merge("LAB", [Image.new("L", (20, 20), 9)] * 3)
    refused(saved(tmp_path, "a.tiff", image), mode)


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_whatever_the_bytes_are_a_picture_or_one_line_comes_out(tmp_path_factory, data: st.DataObject) -> None:
    kind = data.draw(
        st.sampled_from([("PNG", "png"), ("JPEG", "jpg"), ("GIF", "gif"), ("WEBP", "webp"), ("TIFF", "tiff")])
    )
    made = io.BytesIO()
    drawn(3).save(made, kind[0])
    broken = bytearray(made.getvalue())
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / f"a.{kind[1]}"
    path.write_bytes(bytes(broken[: data.draw(st.integers(1, len(broken)))]))
    try:
        assert read_picture(path).image.mode in ("RGB", "RGBA")
    except UserError as error:
        assert str(error).startswith(str(path)) and "\n" not in str(error)


def test_a_mask_must_fit_and_leave_something(tmp_path: Path) -> None:
    mask = Image.new("L", (20, 10), 0)
    with pytest.raises(UserError, match="black everywhere"):
        read_mask(saved(tmp_path, "black.png", mask), (20, 10))
    mask.paste(255, (0, 0, 10, 10))
    assert read_mask(saved(tmp_path, "m.png", mask), (20, 10)).getextrema() == (0, 255)
    with pytest.raises(UserError, match="20x10 pixels, its picture 10x20"):
        read_mask(tmp_path / "m.png", (10, 20))
