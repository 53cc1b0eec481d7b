"""Adapters of image models go both ways between us and diffusers with equal predictions, on every family."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.export.pictures import MAKERS, PARTS, attached, far, outputs, pipeline, read_by_diffusers, read_by_us, stir
from tunesmith.core.errors import RunFailed, UserError
from tunesmith.export.diffusion_adapter import (
    FACTS,
    OWN,
    PLAIN,
    base_of_pictures,
    read_adapter_pictures,
    write_adapter_pictures,
)
from tunesmith.methods.ia3 import IA3
from tunesmith.methods.lora import LoRA

pytestmark = pytest.mark.filterwarnings("ignore")
EXACT = 1e-4  # float32 through a deep net of random weights; adapters that differ at all are above 1e-2
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
WIDE = {
    "sd1": (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "conv2", "conv_shortcut", "conv",
            "time_emb_proj", "conv_in", "conv_out", "time_embedding.linear_1"),
    "sdxl": (*ATTENTION, "ff.net.0.proj", "ff.net.2", "proj_in", "proj_out", "conv1", "time_emb_proj",
             "add_embedding.linear_1"),
    "sd3": (*ATTENTION, "add_k_proj", "to_add_out", "ff.net.0.proj", "ff_context.net.2", "norm1.linear", "proj_out"),
    "flux": ("to_q", "to_k", "to_v", "proj_mlp", "proj_out", "ff.net.2", "x_embedder", "context_embedder"),
}  # fmt: skip
TEXT = ("q_proj", "k_proj", "out_proj", "fc1", "fc2")


def methods(family: str, **more: Any) -> dict[str, LoRA]:
    """Ranks and strengths that differ from layer to layer, in every part."""
    own = {"rank": 4, "alpha": 6, "ranks": {"to_k": 2}, "alphas": {"to_q": 3}} | more
    return {PARTS[family][0]: LoRA(targets=WIDE[family], **own)} | {
        part: LoRA(rank=3, alpha=5, targets=TEXT, alphas={"fc1": 2}) for part in PARTS[family][1:]
    }


def written(folder: Path, family: str, chosen: dict[str, Any]) -> tuple[Any, list[Path]]:
    made, stored, described = attached(family, chosen)
    files = write_adapter_pictures(folder, stored, described, base_name="b", base_fingerprint="0" * 64, family=family)
    return made, files


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return max(far(a, b).values()) < EXACT


@pytest.mark.parametrize("family", MAKERS)
def test_others_read_ours(family: str, tmp_path: Path) -> None:
    made, files = written(tmp_path / "adapter", family, methods(family, rank_stabilized=family != "sd1"))
    whole = outputs(family, made)
    assert min(far(whole, outputs(family, pipeline(family))).values()) > 0.05, "an adapter that does nothing"
    assert [file.name for file in files] == [PLAIN, "adapter.kohya.safetensors"]
    assert same(outputs(family, read_by_diffusers(family, files[0])), whole)
    assert same(outputs(family, read_by_us(family, files[1])), whole)
    if family in ("sd1", "sdxl"):  # of a transformer diffusers reads flat names at the published widths alone
        assert same(outputs(family, read_by_diffusers(family, files[1])), whole)


@pytest.mark.parametrize("family", MAKERS)
def test_we_read_ours_to_the_bit(family: str, tmp_path: Path) -> None:
    _, stored, described = attached(family, methods(family))
    write_adapter_pictures(tmp_path / "a", stored, described, base_name="b", base_fingerprint=None, family=family)
    parts, read = read_adapter_pictures(tmp_path / "a", family=family)  # type: ignore[arg-type]
    assert read == described
    assert {part: set(own) for part, own in parts.items()} == {part: set(own) for part, own in stored.items()}
    assert all(torch.equal(parts[part][name], tensor) for part, own in stored.items() for name, tensor in own.items())
    assert base_of_pictures(tmp_path / "a") == (family, "b", None)


def by_peft(family: str, **more: Any) -> tuple[Any, dict[str, dict[str, Tensor]], dict[str, Any]]:
    """-> a pipeline with PEFT's own layers, their tensors and their configurations."""
    made = pipeline(family)
    tensors, configs = {}, {}
    for part in PARTS[family]:
        network = getattr(made, part)
        targets = list(TEXT if part.startswith("text") else more.get("targets", WIDE[family]))
        own = {key: value for key, value in more.items() if key != "targets"} if part == PARTS[family][0] else {}
        network.add_adapter(LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": targets, **own}))
        stir(network)
        tensors[part] = get_peft_model_state_dict(network)
        configs[part] = network.peft_config["default"]
    return made, tensors, configs


@pytest.mark.parametrize("family", MAKERS)
def test_we_read_theirs(family: str, tmp_path: Path) -> None:
    """E3: PEFT's names, ranks and strengths in the header, any target."""
    from diffusers.loaders.lora_base import _pack_dict_with_prefix

    made, tensors, configs = by_peft(
        family, rank_pattern={"to_q": 2}, alpha_pattern={"to_v": 3}, use_rslora=family == "sd1"
    )
    packed = {k: v for part, c in configs.items() for k, v in _pack_dict_with_prefix(c.to_dict(), part).items()}
    layers = {f"{part}_lora_layers": tensors[part] for part in PARTS[family]}
    type(made).write_lora_layers(
        state_dict={f"{part}.{n}": t for part in PARTS[family] for n, t in layers[f"{part}_lora_layers"].items()},
        save_directory=str(tmp_path), is_main_process=True, weight_name=PLAIN, save_function=None,
        safe_serialization=True, lora_adapter_metadata=packed,
    )  # fmt: skip
    assert same(outputs(family, read_by_us(family, tmp_path)), outputs(family, made))


@pytest.mark.parametrize("targets", [ATTENTION, (*ATTENTION, "proj_in", "proj_out", "ff.net.2")])
def test_we_read_the_scripts_names(targets: tuple[str, ...], tmp_path: Path) -> None:
    """E1 and E5: where an early name is PEFT's diffusers leaves the others unread; each name is read by itself here."""
    made, tensors, _ = by_peft("sd1", r=4, lora_alpha=4, targets=targets)
    text = LoraConfig(r=4, lora_alpha=8, target_modules=list(TEXT))
    assert text.lora_alpha != text.r
    del tensors["text_encoder"]  # its strength is not one, and the names say no strength
    named = {f"unet.{name}": tensor for name, tensor in convert_state_dict_to_diffusers(tensors["unet"]).items()}
    assert any(".to_k.lora.down" in name for name in named)
    save_file(named, tmp_path / PLAIN)
    ours, theirs = read_by_us("sd1", tmp_path / PLAIN), read_by_diffusers("sd1", tmp_path / PLAIN)
    whole = outputs("sd1", made)["unet"]
    assert far({"unet": outputs("sd1", ours)["unet"]}, {"unet": whole})["unet"] < EXACT
    lost = far({"unet": outputs("sd1", theirs)["unet"]}, {"unet": whole})["unet"]
    assert lost < EXACT if targets == ATTENTION else lost > 0.05


def test_strengths_that_only_tensors_hold(tmp_path: Path) -> None:
    """E2: without header and alpha nobody can know the strength; with `.alpha` tensors we do."""
    made, tensors, configs = by_peft("sd1")
    named = {f"{part}.{name}": tensor for part in tensors for name, tensor in tensors[part].items()}
    save_file(named, tmp_path / "without.safetensors")
    layers = [name.removesuffix(".lora_A.weight") for name in named if name.endswith(".lora_A.weight")]
    alpha = float(configs["unet"].lora_alpha)
    save_file(named | {f"{name}.alpha": torch.tensor(alpha) for name in layers}, tmp_path / "with.safetensors")
    assert same(outputs("sd1", read_by_us("sd1", tmp_path / "with.safetensors")), outputs("sd1", made))
    halved = outputs("sd1", read_by_us("sd1", tmp_path / "without.safetensors"))
    assert not same(halved, outputs("sd1", made))
    assert same(halved, outputs("sd1", read_by_diffusers("sd1", tmp_path / "without.safetensors")))


def test_the_oldest_names(tmp_path: Path) -> None:
    """Style C: attention processors in the UNet, `to_q_lora` in the text encoder."""
    made, stored, _ = attached(
        "sd1",
        {"unet": LoRA(rank=4, alpha=4, targets=ATTENTION),
         "text_encoder": LoRA(rank=2, alpha=2, targets=("q_proj", "k_proj", "v_proj", "out_proj"))},
    )  # fmt: skip
    ends = {"lora_A": "down", "lora_B": "up"}
    named = {}
    for part, own in stored.items():
        for name, tensor in own.items():
            layer, factor = name.removesuffix(".weight").rsplit(".", 1)
            head, _, last = layer.removesuffix(".0").rpartition(".")
            which = last.replace("_proj", "").removeprefix("to_")
            middle = ".processor" if part == "unet" else ""
            wrapped = "" if part == "unet" else "text_model."
            named[f"{part}.{wrapped}{head}{middle}.to_{which}_lora.{ends[factor]}.weight"] = tensor.detach()
    save_file(named, tmp_path / "old.safetensors")
    assert same(outputs("sd1", read_by_us("sd1", tmp_path / "old.safetensors")), outputs("sd1", made))
    assert same(outputs("sd1", read_by_diffusers("sd1", tmp_path / "old.safetensors")), outputs("sd1", made))


def test_text_encoder_alone(tmp_path: Path) -> None:
    made, files = written(tmp_path / "a", "sd1", {"text_encoder": LoRA(rank=2, alpha=6, targets=("q_proj", "fc1"))})
    for file in files:
        again = read_by_us("sd1", file)
        assert same(outputs("sd1", again), outputs("sd1", made))


@pytest.mark.parametrize("targets", [("fc1", "fc2"), ("q_proj",)])
def test_any_layers_of_a_text_encoder(targets: tuple[str, ...], tmp_path: Path) -> None:
    chosen = {"unet": LoRA(rank=2, targets=ATTENTION), "text_encoder": LoRA(rank=2, alpha=6, targets=targets)}
    made, files = written(tmp_path / "a", "sd1", chosen)
    assert same(outputs("sd1", read_by_diffusers("sd1", files[0])), outputs("sd1", made))
    for path in (tmp_path / "a", *files):
        assert same(outputs("sd1", read_by_us("sd1", path)), outputs("sd1", made))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_dora(family: str, tmp_path: Path) -> None:
    own = {"rank": 4, "alpha": 6, "magnitude": True}
    targets = ("to_q", "to_k", "ff.net.2", "time_emb_proj")
    chosen = {"unet": LoRA(targets=targets, **own), "text_encoder": LoRA(targets=TEXT, **own)}
    made, files = written(tmp_path / "a", family, chosen)
    whole = outputs(family, made)
    assert same(outputs(family, read_by_diffusers(family, files[0])), whole)
    assert same(outputs(family, read_by_us(family, files[1])), whole)
    scales = {name: t for name, t in load_file(files[1]).items() if name.endswith(".dora_scale")}
    assert scales
    assert all(tensor.shape == (len(tensor), 1) for tensor in scales.values())


def test_several_adapters_at_once(tmp_path: Path) -> None:
    """E9: two files at half strength each, read by diffusers, are the mean of their changes of the weights."""
    made = pipeline("sd1")
    for number in (1, 2):
        source, stored, described = attached("sd1", {"unet": LoRA(rank=2, alpha=4, targets=ATTENTION)})
        stir(source.unet, seed=number)
        folder = tmp_path / str(number)
        (plain, _) = write_adapter_pictures(
            folder, stored, described, base_name="b", base_fingerprint=None, family="sd1"
        )
        made.load_lora_weights(str(folder), weight_name=plain.name, adapter_name=f"a{number}")
    made.set_adapters(["a1", "a2"], [0.5, 0.5])
    live = outputs("sd1", made)
    summed = pipeline("sd1")
    weights = dict(summed.unet.named_parameters())
    for number in (1, 2):
        parts, read = read_adapter_pictures(tmp_path / str(number))
        for name, down in parts["unet"].items():
            if name.endswith(".lora_A.weight"):
                layer = name.removesuffix(".lora_A.weight")
                change = parts["unet"][f"{layer}.lora_B.weight"] @ down
                weights[f"{layer}.weight"].data += 0.5 * read["unet"]["lora_alpha"] / down.shape[0] * change
    assert same(outputs("sd1", summed), live)


def test_what_has_no_name_elsewhere_is_ours_alone(tmp_path: Path) -> None:
    chosen = {"text_encoder": IA3(targets=("k_proj", "v_proj"), feedforward=("fc2",))}
    _, stored, described = attached("sd1", chosen)
    files = write_adapter_pictures(
        tmp_path / "a", stored, described, base_name="b", base_fingerprint=None, family="sd1"
    )
    assert [file.name for file in files] == [OWN]
    assert "no names for IA3" in (tmp_path / "a" / "README.md").read_text()
    parts, read = read_adapter_pictures(tmp_path / "a")
    assert read == described
    assert all(torch.equal(parts["text_encoder"][n], t) for n, t in stored["text_encoder"].items())


def test_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path / name / "adapter", "sd1", methods("sd1"))
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / name / "adapter").iterdir()} for name in ("a", "b"))
    assert first == second
    with safe_open(tmp_path / "a" / "adapter" / "adapter.kohya.safetensors", framework="pt") as file:
        header = file.metadata()
    assert list(header) == list(dict(header))
    assert header["ss_base_model_version"] == "sd_v1"
    assert header["ss_network_dim"] == "4"


def test_the_header_says_more(tmp_path: Path) -> None:
    _, stored, described = attached("sd1", methods("sd1"))
    about = {"ss_output_name": "my cat/1", "ss_tag_frequency": json.dumps({"cats": {"a cat": 3}})}
    files = write_adapter_pictures(
        tmp_path / "a", stored, described, base_name="b", base_fingerprint=None, family="sd1", about=about
    )
    assert files[1].name == "my_cat_1.kohya.safetensors"
    with safe_open(files[1], framework="pt") as file:
        assert json.loads(file.metadata()["ss_tag_frequency"]) == {"cats": {"a cat": 3}}


def refused(path: Path, *words: str, **more: Any) -> None:
    with pytest.raises(UserError) as error:
        read_adapter_pictures(path, **more)
    assert "\n" not in str(error.value)
    for word in words:
        assert word in str(error.value)


def test_other_families_are_refused(tmp_path: Path) -> None:
    _, files = written(tmp_path / "a", "sd1", methods("sd1"))
    refused(tmp_path / "a", "made for sd1", "sdxl", family="sdxl")
    refused(files[1], "made for sd1", "sdxl", family="sdxl")
    refused(files[0], "UNet", "sd3", family="sd3")


def test_bad_files(tmp_path: Path) -> None:
    one = {"unet.down_blocks.0.attn1.to_q.lora_A.weight": torch.ones(2, 4)}
    pair = one | {"unet.down_blocks.0.attn1.to_q.lora_B.weight": torch.ones(4, 2)}

    def saved(tensors: dict[str, Tensor], **metadata: str) -> Path:
        save_file(tensors, tmp_path / "x.safetensors", metadata=metadata)
        return tmp_path / "x.safetensors"

    refused(tmp_path / "nothing", "missing")
    (tmp_path / "a.ckpt").write_bytes(b"x")
    refused(tmp_path / "a.ckpt", "can run code")
    (tmp_path / "b.safetensors").write_bytes(b"")
    refused(tmp_path / "b.safetensors", "not a whole safetensors file")
    refused(saved(one), "lora_B.weight", "missing")
    refused(saved({"vae.x.lora_A.weight": torch.ones(2, 2)}), "vae.x", "no part of an image model")
    refused(saved({"unet.x.weight": torch.ones(2, 2)}), "unet.x.weight", "no tensor of an adapter")
    refused(saved({k: 0 * t for k, t in pair.items()}), "changes nothing")
    refused(saved({k: t / 0 for k, t in pair.items()}), "NaN or infinite")
    refused(saved(pair, lora_adapter_metadata="{"), "broken JSON")
    refused(saved(pair, lora_adapter_metadata='{"unet.r": -1}'), "`r`")
    refused(saved(pair | {"unet.down_blocks.0.attn1.to_q.alpha": torch.tensor(-1.0)}), "alpha")
    refused(tmp_path, "safetensors files are there")


def test_an_untrained_adapter_is_not_written(tmp_path: Path) -> None:
    made = pipeline("sd1")
    method = LoRA(rank=2, targets=("to_q",))
    method.attach(made.unet)
    stored, described = {"unet": method.stored(made.unet)}, {"unet": method.described(made.unet)}
    with pytest.raises(RunFailed, match="changes nothing"):
        write_adapter_pictures(tmp_path / "a", stored, described, base_name="b", base_fingerprint=None, family="sd1")
    assert not list(tmp_path.iterdir())


def test_damaged_facts(tmp_path: Path) -> None:
    written(tmp_path / "a", "sd1", methods("sd1"))
    facts = tmp_path / "a" / FACTS
    body = json.loads(facts.read_text())
    facts.write_text(json.dumps(body | {"schema": 99}))
    refused(tmp_path / "a", "schema 1")
    facts.write_text(json.dumps(body | {"parts": {"unet": body["parts"]["unet"]}}))
    refused(tmp_path / "a", "text_encoder", "belongs to no part")
