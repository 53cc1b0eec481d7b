"""The running mean of the weights: the formula, what is validated, kept and exported, and resumption to the byte."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.train.test_loop import Cut, scripted, until
from tests.train.tiny_run import CONFIG, FINGERPRINTS, STEPS, WORLD, Tiny, noisy, result, stream, train
from tunesmith.core.files import commit_folder
from tunesmith.train.loop import fit
from tunesmith.train.progress import Event

EMA = CONFIG.model_copy(update={"ema": 0.7, "threads": 1})


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def _watched(model, seen):
    """Collects the weights after each step: they are what the mean is taken of."""

    def watch(event: Event) -> None:
        if event.kind in ("started", "step"):
            seen.append(model.head.weight.detach().double().clone())

    return watch


def _mean(seen, decay: float):
    """By the closed form: each weight with what is left of it after all later steps."""
    shares = [min(decay, (1 + n) / (10 + n)) for n in range(1, len(seen))]
    total = seen[0].clone()
    for share in shares:
        total *= share
    for place, value in enumerate(seen[1:]):
        left = 1 - shares[place]
        for share in shares[place + 1 :]:
            left *= share
        total += left * value
    return total


def test_it_is_the_mean_that_its_formula_says(tmp_path):
    model, seen = Tiny(), []
    fit(
        model, noisy, stream, world=WORLD, steps=9, fingerprints=FINGERPRINTS, config=EMA, folder=tmp_path,
        on_event=_watched(model, seen),
    )  # fmt: skip
    assert len(seen) == 10
    torch.testing.assert_close(model.head.weight.detach().double(), _mean(seen, 0.7), rtol=1e-5, atol=1e-6)
    last = load_file(tmp_path / "checkpoints/step-000009/trainable.safetensors")["head.weight"]
    assert torch.equal(last.double(), seen[-1]) and not torch.equal(last, model.head.weight)


def test_the_mean_is_validated_and_the_training_goes_on_from_the_weights(tmp_path):
    model, seen, judged = Tiny(), [], []

    def judge(network):
        judged.append((len(seen) - 1, network.head.weight.detach().double().clone()))
        return {"loss": 1.0}

    train(tmp_path, model, config=EMA, evaluate=judge, on_event=_watched(model, seen))
    assert [step for step, _ in judged] == [4, 8, 12, 14]
    for step, weights in judged:
        torch.testing.assert_close(weights, _mean(seen[: step + 1], 0.7), rtol=1e-5, atol=1e-6)
    plain, others = Tiny(), []
    train(tmp_path / "plain", plain, on_event=_watched(plain, others))
    assert all(torch.equal(a, b) for a, b in zip(seen, others, strict=True))


def test_the_best_mean_is_kept_and_loaded(tmp_path):
    model = Tiny()
    fitted = train(tmp_path, model, config=EMA, evaluate=scripted([3.0, 1.0, 2.0, 1.5]))
    best = load_file(tmp_path / "checkpoints/step-000008/average.safetensors")
    assert fitted.best_step == 8
    assert all(torch.equal(value, model.get_parameter(name)) for name, value in best.items())
    other = Tiny()
    train(tmp_path / "last", other, config=EMA, evaluate=scripted([3.0, 2.0, 2.0, 1.5]))
    last = load_file(tmp_path / f"last/checkpoints/step-{STEPS:06d}/average.safetensors")
    assert all(torch.equal(value, other.get_parameter(name)) for name, value in last.items())


def test_a_resumed_run_is_the_same_to_the_byte_and_the_mean_matters(tmp_path):
    train(tmp_path / "whole", config=EMA)
    with pytest.raises(Cut):
        train(tmp_path / "cut", config=EMA, on_event=until(9))
    shutil.copytree(tmp_path / "cut", tmp_path / "spoilt")
    train(tmp_path / "cut", config=EMA)
    assert result(tmp_path / "cut") == result(tmp_path / "whole")
    means = [(tmp_path / name / f"checkpoints/step-{STEPS:06d}/average.safetensors") for name in ("cut", "whole")]
    assert means[0].read_bytes() == means[1].read_bytes()
    newest = max((tmp_path / "spoilt/checkpoints").glob("step-*"))
    old = newest.rename(newest.with_name("old"))
    with commit_folder(newest, {"fingerprints": FINGERPRINTS}) as aside:
        for path in old.glob("*.*"):
            if path.name != "MANIFEST.json":
                shutil.copy(path, aside)
        save_file(
            {k: 0 * v for k, v in load_file(aside / "average.safetensors").items()}, aside / "average.safetensors"
        )
    train(tmp_path / "spoilt", config=EMA)
    assert result(tmp_path / "spoilt") != result(tmp_path / "whole")


def test_half_precision_is_averaged_in_float32(tmp_path):
    model = Tiny(dtype=torch.bfloat16)
    fit(model, noisy, stream, world=WORLD, steps=5, fingerprints=FINGERPRINTS, config=EMA, folder=tmp_path)
    folder = tmp_path / "checkpoints/step-000005"
    mean, master = load_file(folder / "average.safetensors"), load_file(folder / "optimizer.safetensors")
    assert mean["head.weight"].dtype == master["master/head.weight"].dtype == torch.float32
    assert not torch.equal(mean["head.weight"], mean["head.weight"].bfloat16().float())
    assert torch.equal(model.head.weight, mean["head.weight"].bfloat16())
