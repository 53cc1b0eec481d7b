from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.pictures.drawn import drawn, folder_of
from tunesmith.core.errors import UserError
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.prepare import Picture, prepare
from tunesmith.pictures.view import key, view

ANY = st.fixed_dictionaries(
    {
        "crop": st.sampled_from(["center", "random"]),
        "flip": st.booleans(),
        "shuffle_captions": st.booleans(),
        "buckets": st.booleans(),
        "background": st.sampled_from(["white", "#102030", "random"]),
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    path = folder_of(tmp_path_factory.mktemp("views"), 6)
    for number, size in ((6, (90, 40)), (7, (40, 90))):
        drawn(number, size).save(path / f"{number}.png")
        (path / f"{number}.txt").write_text(f"thing, number {number}, round")
    clear = drawn(8).convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    clear.save(path / "8.png")
    (path / "8.txt").write_text("thing, number 8, round")
    return path


def pictures(folder: Path, **how: object) -> tuple[Pictures, list[Picture]]:
    config = Pictures(train=str(folder), split=0, **how)
    return config, prepare(config, size=32, multiple=8).train


@settings(max_examples=40, deadline=None)
@given(how=ANY, place=st.integers(0, 8), variant=st.integers(0, 5), seed=st.integers(0, 2**40))
def test_equal_arguments_give_equal_bytes(folder: Path, how: dict, place: int, variant: int, seed: int) -> None:
    config, found = pictures(folder, **how)
    state = torch.get_rng_state()
    first = view(found[place], variant, config, seed)
    torch.rand(7)
    second = view(found[place], variant, config, seed)
    assert torch.equal(first.pixels, second.pixels) and first.caption == second.caption
    assert (first.corner, first.target, first.original) == (second.corner, second.target, second.original)
    assert first.pixels.shape == (3, *found[place].bucket) and first.pixels.dtype == torch.float32
    assert first.pixels.min() >= -1 and first.pixels.max() <= 1
    torch.set_rng_state(state)
    view(found[place], variant, config, seed)
    assert torch.equal(torch.get_rng_state(), state)  # no draw is taken from what others draw from


@settings(max_examples=40, deadline=None)
@given(how=ANY, order=st.permutations(range(9)), variant=st.integers(0, 5))
def test_no_picture_meets_the_caption_of_another(folder: Path, how: dict, order: list[int], variant: int) -> None:
    """Whatever the order and the settings: the pixels of picture n come with the words of picture n."""
    config, found = pictures(folder, **how)
    for place in order:
        seen = view(found[place], variant, config, 1)
        number = int(found[place].path.stem)
        assert f"number {number}" in [tag.strip() for tag in seen.caption.split(",")]
        alone = view(replace(found[place]), variant, config, 1)
        assert torch.equal(alone.pixels, seen.pixels)
        assert sorted(seen.caption.split(", ")) == sorted(found[place].caption.split(", "))


@settings(max_examples=30, deadline=None)
@given(how=ANY, place=st.integers(0, 8), seed=st.integers(0, 99))
def test_variant_0_is_the_middle_as_it_is(folder: Path, how: dict, place: int, seed: int) -> None:
    config, found = pictures(folder, **how)
    plain = Pictures(
        train=str(folder),
        split=0,
        buckets=config.buckets,
        background="white" if config.background == "random" else config.background,
    )
    first, expected = view(found[place], 0, config, seed), view(found[place], 0, plain, 0)
    assert torch.equal(first.pixels, expected.pixels) and first.caption == found[place].caption
    slack = [
        round(edge * max(b / e for b, e in zip(first.target, first.original, strict=True))) - bucket
        for edge, bucket in zip(first.original, first.target, strict=True)
    ]
    assert first.corner == tuple(room // 2 for room in slack)


def test_a_crop_is_the_scaled_picture_from_its_corner_on(folder: Path) -> None:
    config, found = pictures(folder, crop="random", buckets=False)
    wide = found[6]
    corners = set()
    for variant in range(12):
        seen = view(wide, variant, config, 0)
        whole = Image.open(wide.path).resize((round(wide.width * 32 / wide.height), 32), Image.Resampling.LANCZOS)
        top, left = seen.corner
        part = np.asarray(whole).astype(np.float32)[top : top + 32, left : left + 32] / 127.5 - 1
        assert np.abs(seen.pixels.numpy() - part.transpose(2, 0, 1)).mean() < 0.02
        corners.add(seen.corner)
    assert len(corners) > 6 and {corner[0] for corner in corners} == {0}


def test_mirrored_variants_are_mirrored_with_their_mask(folder: Path, tmp_path: Path) -> None:
    for number in range(9):
        size = Image.open(folder / f"{number}.png").size
        mask = Image.new("L", size, 0)
        mask.paste(255, (0, 0, size[0] // 2, size[1]))
        mask.save(tmp_path / f"{number}.png")
    config, found = pictures(folder, flip=True, masks=str(tmp_path))
    plain = view(found[0], 0, config, 0)
    assert plain.mask is not None and plain.mask.shape == (1, *found[0].bucket)
    assert plain.mask[0, :, 2].mean() == 1 and plain.mask[0, :, -2].mean() == 0
    seen = [view(found[0], variant, config, 0) for variant in range(1, 20)]
    same = [torch.equal(v.pixels, plain.pixels) and torch.equal(v.mask, plain.mask) for v in seen]
    flipped = [torch.equal(v.pixels, plain.pixels.flip(-1)) and torch.equal(v.mask, plain.mask.flip(-1)) for v in seen]
    assert any(same) and any(flipped) and all(a != b for a, b in zip(same, flipped, strict=True))


def test_what_is_transparent_shows_the_background(folder: Path) -> None:
    red, found = pictures(folder, background="#ff0000")
    top = view(found[8], 0, red, 0).pixels[:, 0]  # the first row can be seen through
    assert top[0].min() > 0.95 and top[1:].max() < -0.9
    changing, found = pictures(folder, background="random")
    assert len({tuple(view(found[8], v, changing, 0).pixels[:, 0, 0].tolist()) for v in range(5)}) == 5
    assert view(found[8], 0, changing, 0).pixels[:, 0].min() > 0.95


def test_the_first_tags_stay_when_the_others_move(folder: Path) -> None:
    config, found = pictures(folder, shuffle_captions=True, keep_tags=1)
    seen = {view(found[3], variant, config, 0).caption for variant in range(12)}
    assert seen == {"thing, number 3, round", "thing, round, number 3"}


def test_a_file_that_changed_is_refused(tmp_path: Path) -> None:
    config, found = pictures(folder_of(tmp_path, 3))
    drawn(99).save(found[1].path)
    with pytest.raises(UserError, match=r"1\.png: changed since it was first read"):
        view(found[1], 0, config, 0)


@pytest.mark.parametrize(
    "change",
    [{"sha256": "0" * 64}, {"caption": "b"}, {"bucket": (8, 8)}, {"mask_sha256": "1"}],
    ids=lambda change: next(iter(change)),
)
def test_the_key_of_a_view_moves_with_all_that_decides_it(folder: Path, change: dict) -> None:
    config, found = pictures(folder)
    own = key(found[0], 0, config, 0)
    assert own == key(replace(found[0], row=77, path=Path("elsewhere.png")), 0, config, 0)
    assert key(replace(found[0], **change), 0, config, 0) != own
    assert len({own, key(found[0], 1, config, 0), key(found[0], 0, config, 1)}) == 3
    for how in ({"crop": "random"}, {"flip": True}, {"background": "red"}, {"shuffle_captions": True}):
        assert key(found[0], 0, config.model_copy(update=how), 0) != own
