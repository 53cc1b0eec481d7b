"""Runs that learn a new word: textual inversion, pivotal tuning, with full tuning; proven, painted, merged, resumed."""

import json

import pytest
from safetensors.torch import load_file

from tests.stopping import Stopping
from tests.studio.test_runs import QUICK, _recipe, balls, bases, cache  # noqa: F401 - fixtures
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.models.load import Place
from tunesmith.recipe import Recipe
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.studio.merging import merge_pictures
from tunesmith.studio.painter import load_painter

WORD = {"token": "<zwx>", "init": "b"}
INVERSION = {"kind": "textual-inversion", "templates": ["a {}", "my {}", "this {}"], **WORD}
SUBJECT = {"kind": "dreambooth", "prompt": "a <zwx> ball", "class_prompt": "a ball", **WORD}


@pytest.mark.parametrize(
    ("family", "more", "made"),
    [
        ("sd", {"objective": INVERSION | {"vectors": 2}}, {"embedding"}),
        ("sdxl", {"objective": INVERSION}, {"embedding"}),
        ("sd", {"objective": SUBJECT, "method": "lora"}, {"embedding", "adapter"}),
        pytest.param(
            "sdxl", {"objective": SUBJECT | {"text_encoder": True}, "method": "lora"}, {"embedding", "adapter"},
            marks=pytest.mark.slow,
        ),
        ("sd", {"objective": SUBJECT, "method": "full"}, {"model"}),
        pytest.param(
            "sd", {"objective": INVERSION, "method": "loha"}, {"embedding", "adapter"}, marks=pytest.mark.slow
        ),
    ],
    ids=["inversion", "inversion of sdxl", "pivotal", "pivotal with text", "full", "loha"],
)  # fmt: skip
def test_a_run_with_a_new_word_ends_with_its_proof(family, more, made, bases, balls, tmp_path):  # noqa: F811
    lines: list[str] = []
    result = run(_recipe(bases(family), balls, tmp_path / "run", **more), Show(lines.append))
    assert result.status == "ok" and all(result.proof.values()) and result.proof["word_learned"]
    assert ("diffusers_reads_it" in result.proof) == (more.get("method") != "loha")
    assert {name for name in ("adapter", "model", "embedding") if (tmp_path / "run" / name).exists()} == made
    if "embedding" in made:
        rows = load_file(tmp_path / "run/embedding/learned_embeds.safetensors")
        shapes = {key: tuple(value.shape) for key, value in rows.items()}
        one = {"<zwx>": (more["objective"].get("vectors", 1), 16)}
        assert shapes == (one if family == "sd" else {"clip_l": (1, 16), "clip_g": (1, 16)})
    if result.method == "token":
        assert result.parameters.trainable == 16 * (more["objective"].get("vectors", 1) if family == "sd" else 2)


def test_what_was_learned_is_painted_switched_off_and_merged(bases, balls, tmp_path):  # noqa: F811
    folder = tmp_path / "run"
    recipe = _recipe(bases("sd"), balls, folder, objective=INVERSION | {"vectors": 2}, evaluate={"enabled": False})
    run(recipe, Show(lambda _: None))
    painter = load_painter(str(folder))
    on, off, none = (painter.paint("a <zwx>", [3], **how) for how in ({}, {"adapter": "off"}, {"strength": 0.0}))
    plain = load_painter(str(bases("sd")), precision="float32")
    assert (on != off).any() and (off == none).all() and (off == plain.paint("a b b", [3])).all()
    assert (painter.paint("a red ball", [3]) == plain.paint("a red ball", [3])).all()
    merged = merge_pictures(Place("sd", bases("sd")), None, tmp_path / "merged", word=folder / "embedding")
    assert merged.apart < 1e-4
    again = load_painter(str(merged.path), precision="float32").paint("a <zwx>", [3])
    assert abs(again.astype(int) - on).max() <= 1
    with pytest.raises(UserError, match="made for sd1, the base is sdxl"):
        merge_pictures(Place("x", bases("sdxl")), None, tmp_path / "other", word=folder / "embedding")


def test_pivotal_tuning_goes_on_to_the_same_bytes(bases, balls, tmp_path):  # noqa: F811
    train = QUICK["train"] | {"max_steps": 6, "checkpoint_every": 2, "evaluate_every": 3, "ema": 0.9}
    more = {"objective": INVERSION, "method": "lora", "train": train, "evaluate": {"pictures": 0}}
    whole = _recipe(bases("sd"), balls, tmp_path / "whole", **more)
    run(whole, Show(lambda _: None))
    again = whole.model_copy(update={"output": str(tmp_path / "again")})
    with pytest.raises(Interrupted, match="step 3"):
        run(again, Stopping(lambda _: None))
    run(again, Show(lambda _: None))
    for name in ("adapter/pytorch_lora_weights.safetensors", "embedding/learned_embeds.safetensors", "metrics.jsonl"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    lines = [json.loads(line) for line in (tmp_path / "whole/metrics.jsonl").read_text().splitlines()]
    assert len([line for line in lines if "validation_loss" in line]) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"objective": {"kind": "textual-inversion"}}, "token: name the new word"),
        ({"objective": {"kind": "textual-inversion", "token": "<zwx>"}}, "init: a new word begins with"),
        ({"objective": INVERSION | {"token": "two words"}}, "without white space"),
        ({"objective": INVERSION | {"templates": ["a cat"]}}, "must have {} once"),
        ({"objective": INVERSION | {"token_rate": 2.0}}, "token_rate: with method=token"),
        ({"objective": {"kind": "denoise", "init": "b"}}, "init: read by token"),
        ({"objective": "denoise", "method": "token"}, "token learns a new word and nothing else"),
        ({"objective": SUBJECT | {"prompt": "a ball of mine"}}, "does not say the new word `<zwx>`"),
        ({"objective": SUBJECT | {"class_prompt": "<zwx>"}}, "no part of the class"),
        ({"objective": SUBJECT | {"text_encoder": True}, "method": "full"}, "full tuning would change the tables"),
    ],
)
def test_a_recipe_that_cannot_be_is_refused_in_one_line(more, message):
    with pytest.raises(UserError, match=message) as raised:
        Recipe(**{"base": "b", "data": "d", **more})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("family", "more", "message"),
    [
        ("sd3", {"objective": INVERSION}, "new words are for SD 1, SD 2 and SDXL, not for sd3"),
        ("sd", {"objective": INVERSION, "data": {"captions": "files"}}, "textual-inversion says sentences of its own"),
        ("sd", {"objective": INVERSION | {"init": "cat"}}, "`cat` is 3 tokens for this base"),
        ("sd", {"objective": {"kind": "denoise", **WORD}, "method": "token"}, "no caption says `<zwx>`"),
    ],
)
def test_what_only_the_base_and_the_captions_tell_is_refused_too(family, more, message, bases, balls, tmp_path):  # noqa: F811
    more = {**more, "data": {"train": str(balls), **more.get("data", {})}}
    with pytest.raises(UserError, match=message) as raised:
        run(_recipe(bases(family), balls, tmp_path / "run", **more), Show(lambda _: None))
    assert "\n" not in str(raised.value) and not (tmp_path / "run" / "embedding").exists()
