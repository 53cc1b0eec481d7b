import json
import struct
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import nn

from tests.families import tiny
from tunesmith.core.errors import UserError
from tunesmith.models.check_weights import check_safetensors, refuse_if_not_finite, weight_files

TENSORS = {"a": torch.zeros(3, 4), "b": torch.ones(5, dtype=torch.bfloat16), "none": torch.zeros(0, 7)}
WHOLE = save(TENSORS)


def _file(path: Path, header: object, values: bytes = b"") -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(raw)) + raw + values)
    return path


def test_a_good_file_gives_its_shapes(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "x.safetensors", {"format": "pt"})
    assert check_safetensors(tmp_path / "x.safetensors") == {"a": (3, 4), "b": (5,), "none": (0, 7)}


def test_a_file_cut_anywhere_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    for length in range(len(WHOLE)):
        path.write_bytes(WHOLE[:length])
        with pytest.raises(UserError, match=r"x\.safetensors"):
            check_safetensors(path)
    path.write_bytes(WHOLE[:-1])
    with pytest.raises(UserError, match="truncated: 1 of 58 bytes of weights are missing; get it again"):
        check_safetensors(path)


def test_damaged_headers_are_refused(tmp_path: Path) -> None:
    def entry(shape: object, begin: int, end: int, dtype: str = "U8") -> dict[str, object]:
        return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}

    cases: dict[str, tuple[object, bytes]] = {
        "belong to no tensor": ({"a": entry([2], 0, 2)}, b"123"),
        "overlaps or leaves a gap": ({"a": entry([2], 0, 2), "b": entry([2], 1, 3)}, b"123"),
        "`b` overlaps or leaves": ({"a": entry([1], 0, 1), "b": entry([1], 2, 3)}, b"123"),
        "`a` has an entry": ({"a": entry([2], 0, 3)}, b"123"),
        "makes no sense": ({"a": entry([-1], 0, -1)}, b""),
        "`c` has an entry": ({"c": entry([1 << 60, 1 << 60], 0, 0)}, b""),
        "`d` has an entry": ({"d": entry([1], 0, 1, dtype="PICKLE")}, b"1"),
        "`e` has an entry": ({"e": ["list"]}, b""),
        "`f` has an entry": ({"f": entry([True], 0, 1)}, b"1"),
        "stands there twice": (b'{"a": 1, "a": 2}', b""),
        "broken JSON": (b"[" * 100_000, b""),
        "a JSON object is expected": (b"[]", b""),
        "not UTF-8 at byte 0": (b"\xff\xfe", b""),
        "100001 tensors": ({str(i): 0 for i in range(100_001)}, b""),
    }
    for reason, (header, values) in cases.items():
        with pytest.raises(UserError, match=reason):
            check_safetensors(_file(tmp_path / "x.safetensors", header, values))


@given(place=st.integers(0, len(WHOLE) - 1), value=st.integers(0, 255))
def test_no_changed_byte_gives_a_traceback(tmp_path_factory: pytest.TempPathFactory, place: int, value: int) -> None:
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    path.write_bytes(WHOLE[:place] + bytes([value]) + WHOLE[place + 1 :])
    try:
        check_safetensors(path)
    except UserError as error:
        assert "\n" not in str(error)


def test_shards_are_found_through_the_index(tmp_path: Path) -> None:
    for part in ("one.safetensors", "two.safetensors"):
        save_file({part: torch.zeros(1)}, tmp_path / part)
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(
        json.dumps({"weight_map": {"b": "two.safetensors", "a": "one.safetensors", "c": "two.safetensors"}})
    )
    assert [p.name for p in weight_files(tmp_path)] == ["one.safetensors", "two.safetensors"]
    (tmp_path / "two.safetensors").unlink()
    with pytest.raises(UserError, match=r"two\.safetensors: missing, though the index names it"):
        weight_files(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": "../../secret.safetensors"}}))
    with pytest.raises(UserError, match="is not the name of a safetensors file"):
        weight_files(tmp_path)
    index.write_text(json.dumps({"weight_map": {"a": 3}}))
    with pytest.raises(UserError, match="`weight_map` must give a file"):
        weight_files(tmp_path)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_a_folder_with_pickles_alone_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match=f"{name} can run code.*convert it to safetensors"):
        weight_files(tmp_path)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_not_finite_is_named(bad: float, dtype: torch.dtype) -> None:
    network = tiny("llama", dtype=dtype)
    refuse_if_not_finite(network, Path("here"))
    with torch.no_grad():
        network.model.layers[1].mlp.up_proj.weight[3, 4] = bad
    with pytest.raises(UserError, match=r"here: `model\.layers\.1\.mlp\.up_proj\.weight` holds 1 values"):
        refuse_if_not_finite(network, Path("here"))


@given(size=st.integers(1, 300), place=st.integers(0, 299), bad=st.sampled_from([float("nan"), float("inf")]))
def test_it_is_found_at_every_place(size: int, place: int, bad: float) -> None:
    layer = nn.Linear(size, 1, bias=False, dtype=torch.bfloat16)
    with torch.no_grad():
        layer.weight[0, place % size] = bad
    with pytest.raises(UserError, match="`weight` holds 1 values"):
        refuse_if_not_finite(layer, Path("here"))


def test_large_but_finite_weights_and_infinite_masks_are_no_error() -> None:
    layer = nn.Linear(4, 4)
    nn.init.constant_(layer.weight, 3e38)
    layer.register_buffer("nothing", torch.zeros(0))
    layer.register_buffer("mask", torch.full((4, 4), -torch.inf), persistent=False)
    refuse_if_not_finite(layer, Path("here"))
