"""Diffusion DPO: its formula by other hands, its pairs at one noise, whole runs, and tables that do not fit."""

import json
import math
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw

from tests.stopping import Stopping
from tests.studio.test_runs import QUICK, _recipe, bases, cache  # noqa: F401 - fixtures
from tunesmith.core.errors import Interrupted, UserError
from tunesmith.core.latent_pairs import LatentPairs
from tunesmith.core.latents import LatentBatch, Prompts
from tunesmith.objectives.diffusion_dpo import DiffusionDPO
from tunesmith.pictures.config import Pictures
from tunesmith.pictures.pairs import prepare_pairs
from tunesmith.run import run
from tunesmith.show import Show
from tunesmith.studio import preferences

COLOURS = ("red", "green", "blue", "yellow", "purple", "orange")


def _table(folder: Path, lines: list[object]) -> None:
    (folder / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture(scope="module")
def pairs(tmp_path_factory) -> Path:
    """A ball is better than a square of its colour; the third square is of another size."""
    folder = tmp_path_factory.mktemp("pairs")
    for place, colour in enumerate(COLOURS):
        for kind, edge in (("ball", 20), ("square", 24 if place == 2 else 20)):
            picture = Image.new("RGB", (edge, 20), "white")
            draw = ImageDraw.Draw(picture)
            shape = (place, 2, place + 10, 12)
            (draw.ellipse if kind == "ball" else draw.rectangle)(shape, fill=colour)
            picture.save(folder / f"{colour}-{kind}.png")
    _table(
        folder, [{"chosen": f"{c}-ball.png", "rejected": f"{c}-square.png", "text": f"a {c} thing"} for c in COLOURS]
    )
    return folder


def _by_hand(said, wanted, reference, beta: float) -> float:
    """Equation 14 in plain numbers, one picture after the other."""
    errors = [
        sum((a - b) ** 2 for a, b in zip(one.flatten().tolist(), two.flatten().tolist(), strict=True)) / one.numel()
        for one, two in zip(said, wanted, strict=True)
    ]
    total = 0.0
    for place in range(0, len(errors), 2):
        better, worse = (errors[k] - float(reference[k]) for k in (place, place + 1))
        total += math.log(1 + math.exp(0.5 * beta * (better - worse)))
    return total


def test_the_loss_is_the_papers_formula():
    draw = torch.Generator().manual_seed(3)
    said, targets = torch.randn(2, 6, 4, 3, 3, generator=draw)
    reference = torch.rand(6, generator=draw) + 1.5
    batch = LatentBatch(
        targets, torch.zeros(6), targets, torch.ones(6), None, Prompts({}), (True,) * 6, (1, 1, 2, 2, 3, 3)
    )

    class Says(torch.nn.Module):
        def forward(self, batch):
            return said

    for beta in (1.0, 7.5):
        loss = DiffusionDPO(beta=beta)(Says(), LatentPairs(batch, reference))
        assert float(loss.total) == pytest.approx(_by_hand(said, targets, reference, beta), rel=1e-5)
    assert LatentPairs(batch, reference).rows == (1, 2, 3)


def test_a_run_learns_which_picture_is_better_and_proves_it(pairs, bases, tmp_path, monkeypatch):  # noqa: F811
    """The same noise, level and caption for both; the margin grows; the base is where it was."""
    seen = []
    referred = preferences.PairFeed.referred
    monkeypatch.setattr(preferences.PairFeed, "referred", lambda feed, made: seen.extend(made) or referred(feed, made))
    train = QUICK["train"] | {"max_steps": 12, "learning_rate": 3e-3}
    more = {"objective": {"kind": "diffusion-dpo", "beta": 500.0}, "train": train}
    lines: list[str] = []
    result = run(_recipe(bases("sd"), pairs, tmp_path / "run", **more), Show(lines.append))
    assert all(result.proof.values()) and "diffusers_reads_it" in result.proof
    schedule = {}
    for better, worse in seen:
        assert torch.equal(better.times, worse.times) and better.source == worse.source
        assert torch.equal(better.targets, worse.targets)  # of an epsilon base: the noise itself
        assert better.prompts.context is not None and torch.equal(better.prompts.context, worse.prompts.context)
        assert not torch.equal(better.noisy, worse.noisy)
        schedule[float(better.times)] = True
    assert len(schedule) > 8
    steps = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in steps if "loss" in line]
    margins = [line["margin"] for line in steps if "margin" in line]
    assert losses[0] == pytest.approx(math.log(2), abs=1e-4) and margins[0] == pytest.approx(0, abs=1e-4)
    assert sum(margins[-4:]) > sum(margins[:4]) and sum(losses[-4:]) < 4 * math.log(2)
    assert result.evaluation is not None and result.evaluation.before["picture_preference_loss"] == pytest.approx(
        math.log(2), abs=1e-4
    )
    assert any("6 pairs of pictures" in line for line in lines) and any("another size" in line for line in lines)


@pytest.mark.slow
def test_what_was_interrupted_goes_on_to_the_same_bytes(pairs, bases, tmp_path):  # noqa: F811
    train = QUICK["train"] | {"max_steps": 6, "checkpoint_every": 2, "evaluate_every": 3}
    more = {"objective": "diffusion-dpo", "train": train, "method": "full", "evaluate": {"pictures": 0}}
    whole = _recipe(bases("sdxl"), pairs, tmp_path / "whole", **more)
    run(whole, Show(lambda _: None))
    again = whole.model_copy(update={"output": str(tmp_path / "again")})
    with pytest.raises(Interrupted, match="step 3"):
        run(again, Stopping(lambda _: None))
    run(again, Show(lambda _: None))
    for name in ("model/unet/diffusion_pytorch_model.safetensors", "metrics.jsonl", "evaluation.json"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


GOOD = {"chosen": "red-ball.png", "rejected": "red-square.png", "text": "a red thing"}


@pytest.mark.parametrize(
    ("lines", "more", "message"),
    [
        (None, {}, "holds no metadata.jsonl; pairs are lines"),
        ([], {}, "metadata.jsonl: the file is empty"),
        (["x"], {}, "line 1: must be an object with chosen, rejected, text"),
        ([GOOD, {"file_name": "red-ball.png", "text": "x"}], {}, "line 2: `chosen` must be a text; the line holds"),
        ([GOOD | {"rejected": "gone.png"}], {}, "line 1: `rejected` names 'gone.png', which is not in"),
        ([GOOD | {"rejected": "red-ball.png"}], {}, "chosen and rejected are the same picture"),
        ([GOOD, {**GOOD, "chosen": GOOD["rejected"], "rejected": GOOD["chosen"]}], {}, "line 2: .* a pair of .*line 1"),
        ([GOOD], {"captions": "files"}, "data.captions"),
        ([GOOD], {"repeats": 2}, "data.repeats: not read for pairs"),
        ([GOOD], {"masks": "m"}, "data.masks: not read for pairs"),
    ],
)
def test_a_table_that_does_not_fit_is_refused_in_one_line(lines, more, message, pairs, tmp_path):
    for colour in ("red-ball", "red-square"):
        (tmp_path / f"{colour}.png").write_bytes((pairs / f"{colour}.png").read_bytes())
    if lines is not None:
        _table(tmp_path, lines)
    with pytest.raises(UserError, match=message) as raised:
        prepare_pairs(Pictures(train=str(tmp_path), **more), size=16, multiple=4)
    assert "\n" not in str(raised.value)


def test_pairs_that_share_a_picture_are_held_out_together(pairs, tmp_path):
    for path in pairs.glob("*.png"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    lines = [{"chosen": f"{c}-ball.png", "rejected": f"{c}-square.png", "text": c} for c in COLOURS]
    lines += [{"chosen": f"{c}-ball.png", "rejected": f"{COLOURS[0]}-square.png", "text": c} for c in COLOURS[1:2]]
    _table(tmp_path, lines)
    found = prepare_pairs(Pictures(train=str(tmp_path), split=0.3), size=16, multiple=4)
    assert found.validation and len(found.train) + len(found.validation) == len(lines) == len(found.rejected)

    def pictures(side):
        return {one.sha256 for picture in side for one in (picture, found.rejected[picture.row])}

    assert not pictures(found.train) & pictures(found.validation)
    assert all(found.rejected[picture.row].bucket == picture.bucket for picture in found.train)
