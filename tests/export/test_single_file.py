"""Checkpoints in one file: a folder becomes a file and the same folder again, and diffusers reads the file as we do."""

import base64
import json
import shutil
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from tests.painters import FAMILIES, tiny_pipeline, tiny_sd2
from tunesmith.bases import resolve
from tunesmith.core.errors import UserError
from tunesmith.core.files import sha256
from tunesmith.export.single_layout import EMBEDDED
from tunesmith.models.diffusion.load import load_pipeline
from tunesmith.models.load import Place
from tunesmith.studio.checkpoint import write_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore")
KINDS = (*FAMILIES, "sd2")


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("painters")

    def folder(kind: str) -> Path:
        path = root / kind
        if path.exists():
            return path
        return tiny_sd2(path) if kind == "sd2" else tiny_pipeline(kind, path)

    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path / "cache"))


def written(folder: Path, file: Path) -> Path:
    return write_checkpoint(folder, file)


def silent(_: str) -> None: ...


def tensors(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    return {
        part.name: load_file(next(part.glob("*.safetensors")))
        for part in sorted(folder.iterdir())
        if any(part.glob("*.safetensors"))
    }


def same(a: dict[str, dict[str, torch.Tensor]], b: dict[str, dict[str, torch.Tensor]]) -> None:
    assert {part: set(own) for part, own in a.items()} == {part: set(own) for part, own in b.items()}
    for part, own in a.items():
        for name, tensor in own.items():
            assert tensor.dtype == b[part][name].dtype and torch.equal(tensor, b[part][name]), f"{part}.{name}"


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back_to_the_bit(kind: str, folders: Any, tmp_path: Path) -> None:
    folder = folders(kind)
    file = written(folder, tmp_path / "a.safetensors")
    again = resolve(str(file), say=silent).path
    same(tensors(folder), tensors(again))
    for path in folder.rglob("*.json"):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()
    assert sha256(written(again, tmp_path / "again" / "a.safetensors")) == sha256(file)


@pytest.mark.parametrize("kind", KINDS)
def test_diffusers_reads_it(kind: str, folders: Any, tmp_path: Path) -> None:
    """The oracle: `from_single_file` of every part, with the configurations of the folder and no network."""
    import diffusers

    folder, file = folders(kind), written(folders(kind), tmp_path / "a.safetensors")
    index = json.loads((folder / "model_index.json").read_text())
    pipeline = getattr(diffusers, index["_class_name"])
    how: dict[str, Any] = {"config": str(folder), "local_files_only": True, "torch_dtype": torch.float32}
    if kind == "flux":  # whose transformer diffusers converts at its own width alone: see test_single_known.py
        how["transformer"] = diffusers.FluxTransformer2DModel.from_pretrained(folder, subfolder="transformer")
    made = pipeline.from_single_file(str(file), **how)
    for part, own in tensors(folder).items():
        found = getattr(made, part).state_dict()
        if part == "text_encoder_2" and kind in ("sdxl", "sd3"):
            found = by_diffusers(kind, file, getattr(made, part))
        for name, tensor in own.items():
            if kind == "sd3" and name == "text_projection.weight" and part == "text_encoder":
                continue  # diffusers puts the identity there, whatever the file says
            assert torch.equal(found[name], tensor), f"{part}.{name}"


def by_diffusers(kind: str, file: Path, network: Any) -> dict[str, torch.Tensor]:
    """The second encoder by diffusers' converter: its loader tells the two by their widths, which are equal here."""
    from diffusers.loaders import single_file_utils as theirs

    whole = load_file(file)
    if kind == "sd3":
        return theirs.convert_ldm_clip_checkpoint(whole, "text_encoders.clip_g.transformer.")
    return theirs.convert_open_clip_checkpoint(network, whole, prefix="conditioner.embedders.1.model.")


def loose(file: Path, more: dict[str, torch.Tensor] | None = None, without: str = "\0") -> Path:
    """The file again, without what only our own say, and with other tensors."""
    tensors = {name: t for name, t in load_file(file).items() if not name.startswith(without)}
    save_file({**tensors, **(more or {})}, file)
    return file


def beside(folder: Path, file: Path, names: Any) -> None:
    for name in names:
        shutil.copytree(folder / name, file.with_name(file.stem + ".parts") / name)


def test_a_file_that_says_nothing_of_itself(folders: Any, tmp_path: Path) -> None:
    """Configurations and tokenizers lie beside it; what trainers leave in their files is passed over."""
    folder = folders("sd")
    rubbish = {"model_ema.decay": torch.ones(1), "alphas_cumprod": torch.ones(3),
               "cond_stage_model.transformer.text_model.embeddings.position_ids": torch.arange(16)[None]}  # fmt: skip
    file = loose(written(folder, tmp_path / "a.safetensors"), rubbish)
    beside(folder, file, ("unet", "vae", "text_encoder", "tokenizer", "scheduler"))
    said: list[str] = []
    same(tensors(folder), tensors(resolve(str(file), say=said.append).path))
    assert "Stable Diffusion 1, which predicts epsilon" in said[0] and "unet/config.json" in " ".join(said)
    load_pipeline(Place("a", resolve(str(file), say=silent).path), dtype=torch.float32, cache=tmp_path)
    before = len(said)
    resolve(str(file), say=said.append)
    assert len(said) == before, "unpacked once"


def test_a_transformer_alone(folders: Any, tmp_path: Path) -> None:
    """FLUX as its authors publish it: no prefix, and everything else beside it."""
    folder, prefix = folders("flux"), "model.diffusion_model."
    whole = load_file(written(folder, tmp_path / "whole.safetensors"))
    file = tmp_path / "flux.safetensors"
    save_file({n.removeprefix(prefix): t for n, t in whole.items() if n.startswith(prefix)}, file)
    with pytest.raises(UserError, match=r"shape|makes no network"):  # the published sizes are others
        resolve(str(file), say=silent)
    beside(folder, file, (p.name for p in folder.iterdir() if p.is_dir()))
    same(tensors(folder), tensors(resolve(str(file), say=silent).path))
    shutil.rmtree(file.with_name("flux.parts") / "vae")
    with pytest.raises(UserError, match=r"holds no vae; put that folder of a diffusers model into .*flux\.parts"):
        resolve(str(file), say=silent)


def test_half_precision_stays_and_eight_bits_widen(folders: Any, tmp_path: Path) -> None:
    file = written(folders("sd"), tmp_path / "a.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    kinds = {"unet": torch.float16, "vae": torch.float32, "text_encoder": torch.float8_e4m3fn}
    starts = {"model.diffusion_model.": "unet", "first_stage_model.": "vae", "cond_stage_model.": "text_encoder"}
    cast = {n: t.to(kinds[next(p for s, p in starts.items() if n.startswith(s))]) for n, t in load_file(file).items()}
    save_file(cast, file, metadata=header)
    found = tensors(resolve(str(file), say=silent).path)
    for part, kind in kinds.items():
        wanted = torch.bfloat16 if kind == torch.float8_e4m3fn else kind
        assert {tensor.dtype for tensor in found[part].values()} == {wanted}


def test_the_tokenizer_of_clip_is_asked_for(folders: Any, tmp_path: Path) -> None:
    file = loose(written(folders("sd"), tmp_path / "a.safetensors"))
    beside(folders("sd"), file, ("unet", "vae", "text_encoder"))
    with pytest.raises(UserError, match="tunesmith bases --get clip-words"):
        resolve(str(file), say=silent)
    assert not any((tmp_path / "cache" / "single").iterdir())


def test_what_is_no_base_is_said_in_one_line(folders: Any, tmp_path: Path) -> None:
    good = written(folders("sd"), tmp_path / "good.safetensors")
    first = "model.diffusion_model.input_blocks.0.0.weight"
    bad: dict[str, tuple[dict[str, torch.Tensor], str]] = {
        "adapter": ({"lora_unet_a.lora_down.weight": torch.ones(1)}, "this is an adapter"),
        "text": ({"model.layers.0.mlp.up_proj.weight": torch.ones(1)}, "this is a text model"),
        "part": ({"down_blocks.0.resnets.0.conv1.weight": torch.ones(1)}, "one part of a folder"),
        "refiner": ({"conditioner.embedders.0.model.ln_final.weight": torch.ones(1)}, "refiner"),
        "cut": ({"double_blocks.0.img_attn.qkv.weight": torch.ones(3, 1)}, "no whole FLUX"),
        "nothing": ({"a": torch.ones(1)}, "no family that is known"),
    }
    for name, (content, words) in bad.items():
        save_file(content, tmp_path / f"{name}.safetensors")
        refused(tmp_path / f"{name}.safetensors", words)
    changed = load_file(good)
    with safe_open(good, framework="pt") as opened:
        header = opened.metadata()
    for name, content, words in (
        ("inpainting", changed | {first: torch.ones(8, 9, 3, 3)}, "filling in"),
        ("missing", {n: t for n, t in changed.items() if n != first}, f"`{first}` is missing"),
        ("strange", changed | {"model.diffusion_model.extra.weight": torch.ones(1)}, "extra.weight` is no layer"),
    ):
        save_file(content, tmp_path / f"{name}.safetensors", metadata=header)
        refused(tmp_path / f"{name}.safetensors", words)
    (tmp_path / "a.ckpt").write_bytes(b"x")
    refused(tmp_path / "a.ckpt", "can run code .* convert it to .safetensors")
    (tmp_path / "short.safetensors").write_bytes(good.read_bytes()[:-9])
    refused(tmp_path / "short.safetensors", "truncated")


@pytest.mark.parametrize("name", ["../evil.json", "unet/../../evil.json", "unet/evil.py", "/etc/evil.json"])
def test_a_header_cannot_write_elsewhere(name: str, folders: Any, tmp_path: Path) -> None:
    file = written(folders("sd"), tmp_path / "a.safetensors")
    with safe_open(file, framework="pt") as opened:
        header = opened.metadata()
    texts = json.loads(zlib.decompress(base64.b64decode(header[EMBEDDED]))) | {name: "evil"}
    packed = base64.b64encode(zlib.compress(json.dumps(texts).encode())).decode()
    save_file(load_file(file), file, metadata=header | {EMBEDDED: packed})
    refused(file, "header is damaged")


def refused(path: Path, words: str) -> None:
    with pytest.raises(UserError, match=words) as error:
        resolve(str(path), say=silent)
    assert "\n" not in str(error.value) and path.name in str(error.value)
    assert not list(path.parent.glob("cache/single/*"))


def test_a_taken_name_is_left_alone(folders: Any, tmp_path: Path) -> None:
    taken = tmp_path / "a.safetensors"
    taken.write_bytes(b"mine")
    with pytest.raises(UserError, match="exists already"):
        written(folders("sd"), taken)
    assert taken.read_bytes() == b"mine"
