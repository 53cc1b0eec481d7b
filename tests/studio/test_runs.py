"""Runs on pictures: whole, on tiny models of each family, with their proofs; stopped and gone on to the same bytes."""

import json
from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from tests.painters import tiny_pipeline
from tests.stopping import Stopping
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.models.load import Place
from tunesmith.recipe import Recipe
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.studio.merging import merge_pictures
from tunesmith.studio.painter import load_painter

QUICK = {
    "train": {"max_steps": 4, "precision": "float32", "threads": 1, "batch_size": 4, "learning_rate": 1e-3},
    "evaluate": {"pictures": 1, "picture_steps": 1},
}
SUBJECT = {"kind": "dreambooth", "prompt": "a zwx ball", "class_prompt": "a ball"}


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    root = tmp_path_factory.mktemp("painters")

    def folder(family: str) -> Path:
        path = root / family
        return path if path.exists() else tiny_pipeline(family, path)

    return folder


@pytest.fixture(scope="session")
def balls(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("balls")
    for place, colour in enumerate(["red", "green", "blue", "yellow", "purple", "orange"]):
        picture = Image.new("RGB", (20, 16 if place % 2 else 20), "white")
        ImageDraw.Draw(picture).ellipse((place, 2, place + 10, 12), fill=colour)
        picture.save(folder / f"{place}.png")
        (folder / f"{place}.txt").write_text(f"a {colour} ball")
    return folder


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("TUNESMITH_CACHE", str(tmp_path_factory.mktemp("cache")))


def _recipe(base: Path, balls: Path, output: Path, **more) -> Recipe:
    return Recipe(**{"base": str(base), "data": str(balls), "output": str(output), **QUICK, **more})


@pytest.mark.parametrize(
    ("family", "more"),
    [
        ("sd3", {}),
        ("flux", {"objective": SUBJECT, "data": {"size": 16}}),
        ("sd", {}),
        ("sd-v", {"objective": SUBJECT}),
        ("sd", {"objective": SUBJECT | {"prior": "images", "class_images": 2}, "method": "loha"}),
        ("sd", {"objective": SUBJECT | {"text_encoder": True}, "method": "full"}),
        ("sdxl", {"objective": {"kind": "denoise", "text_encoder": True}, "data": {"flip": True}}),
        ("sd", {"method": {"kind": "lora", "targets": ["to_q", "conv1"], "magnitude": True}}),
        ("sd", {"method": "ia3", "objective": {"kind": "denoise", "loss": "huber", "noise_offset": 0.1}}),
    ],
    ids=[
        "sd3",
        "flux",
        "lora",
        "dreambooth",
        "class pictures",
        "full with text",
        "sdxl with text",
        "dora on convolutions",
        "ia3",
    ],
)
def test_a_run_ends_with_its_proof(family, more, bases, balls, tmp_path):
    more = {**more, "data": {"train": str(balls), **more.get("data", {})}}
    result = run(_recipe(bases(family), balls, tmp_path / "run", **more), Show(lambda _: None))
    assert result.status == "ok" and result.proof and all(result.proof.values())
    assert ("diffusers_reads_it" in result.proof) == (result.method in ("lora", "full"))
    assert result.evaluation is not None and result.evaluation.n == 1
    for name in ("base", "tuned"):
        assert Image.open(tmp_path / "run" / "samples" / f"{name}.png").info["prompts"]


def test_what_was_interrupted_goes_on_to_the_same_bytes(bases, balls, tmp_path):
    """Noise, variants, dropped captions and the base's own predictions are drawn again as they were."""
    more = {"objective": SUBJECT, "data": {"train": str(balls), "flip": True, "caption_dropout": 0.5}}
    train = QUICK["train"] | {"max_steps": 8, "checkpoint_every": 2, "evaluate_every": 4}
    whole = _recipe(bases("sd"), balls, tmp_path / "whole", **more, **{"train": train})
    run(whole, Show(lambda _: None))
    again = whole.model_copy(update={"output": str(tmp_path / "again")})
    with pytest.raises(Interrupted, match="step 3"):
        run(again, Stopping(lambda _: None))
    second = Stopping(lambda _: None)  # others count wrongly only when they go on a second time
    second.step = 5
    with pytest.raises(Interrupted, match="step 5"):
        run(again, second)
    run(again, Show(lambda _: None))
    for name in ("adapter/pytorch_lora_weights.safetensors", "metrics.jsonl", "evaluation.json", "samples/tuned.png"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_the_class_stays_nearer_with_a_prior(bases, balls, tmp_path):
    drifts = {}
    for prior in ({"prior": "none"}, {"prior": "prediction", "prior_weight": 5.0}):
        recipe = _recipe(bases("sd"), balls, tmp_path / prior["prior"], objective=SUBJECT | prior)
        train = recipe.train.model_copy(update={"max_steps": 12, "learning_rate": 1e-2})
        quiet = recipe.evaluate.model_copy(update={"pictures": 0})
        run(recipe.model_copy(update={"train": train, "evaluate": quiet}), Show(lambda _: None))
        lines = [json.loads(line) for line in (tmp_path / prior["prior"] / "metrics.jsonl").read_text().splitlines()]
        drifts[prior["prior"]] = [line["validation_drift"] for line in lines if "validation_drift" in line][-1]
    assert 0 < drifts["prediction"] < 0.8 * drifts["none"]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"objective": {"kind": "dreambooth", "prompt": "a zwx ball"}}, "class_prompt"),
        ({"objective": SUBJECT | {"prior": "none", "prior_weight": 2.0}}, "prior is none"),
        ({"objective": {"kind": "denoise", "huber_c": 0.2}}, "loss=huber"),
        ({"objective": {"kind": "denoise", "zero_terminal_snr": True}}, "epsilon"),
        ({"objective": {"kind": "denoise", "shift": 2.0}}, "only flows"),
        ({"data": {"train": "x", "rows": 3}}, "data.rows: not a field of pictures"),
        ({"objective": "sft"}, "image model"),
        ({"method": {"kind": "lora", "targets": ["to_z"]}}, "to_q"),
        ({"base_quantize": "nf4"}, "base_quantize"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(more, message, bases, balls, tmp_path):
    more = dict(more)
    if "data" in more:
        more["data"] = {**more["data"], "train": str(balls)}
    with pytest.raises(UserError, match=message) as raised:
        run(_recipe(bases("sd"), balls, tmp_path / "run", **more), Show(lambda _: None))
    assert "\n" not in str(raised.value) and not (tmp_path / "run" / "adapter").exists()


def test_a_flow_takes_no_weights_of_diffusion(bases, balls, tmp_path):
    with pytest.raises(UserError, match=r"weighting: debiased is for diffusion, sd3 is a flow"):
        run(_recipe(bases("sd3"), balls, tmp_path / "run", objective={"kind": "denoise", "weighting": "debiased"}),
            Show(lambda _: None))  # fmt: skip


def test_a_text_model_makes_no_pictures(tiny_folder, balls, tmp_path):
    with pytest.raises(UserError, match="this is a text model; it cannot make pictures"):
        run(_recipe(tiny_folder("llama"), balls, tmp_path / "run", objective="denoise"), Show(lambda _: None))


def test_what_was_trained_is_painted_merged_and_switched_off(bases, balls, tmp_path):
    folder = tmp_path / "run"
    run(_recipe(bases("sd"), balls, folder), Show(lambda _: None))
    painter = load_painter(str(folder))
    on, off = painter.paint("a red ball", [3]), painter.paint("a red ball", [3], adapter="off")
    none = painter.paint("a red ball", [3], strength=0.0)
    bare = load_painter(str(bases("sd")), precision="float32").paint("a red ball", [3])
    assert (on != off).any() and (off == none).all() and (off == bare).all()
    several = painter.paint("a red ball", [1, 2, 3])
    assert (several[2] == on[0]).all()
    merged = merge_pictures(Place("sd", bases("sd")), folder / "adapter", tmp_path / "merged")
    assert merged.apart < 1e-4
    assert abs(load_painter(str(merged.path), precision="float32").paint("a red ball", [3]).astype(int) - on).max() <= 1
    with pytest.raises(UserError, match="exists already"):
        merge_pictures(Place("sd", bases("sd")), folder / "adapter", tmp_path / "merged")


@pytest.mark.parametrize("name", ["sd3", "sdxl"])
def test_an_adapter_of_another_family_is_refused(name, bases, balls, tmp_path):
    folder = tmp_path / "run"
    run(_recipe(bases("sd"), balls, folder, evaluate={"enabled": False, "pictures": 0}), Show(lambda _: None))
    with pytest.raises(UserError, match="adapter"):
        merge_pictures(Place("other", bases(name)), folder / "adapter", tmp_path / "merged")
    assert not (tmp_path / "merged").exists()
