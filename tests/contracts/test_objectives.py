"""Every objective: its gradient does not depend on the cut, it asks for what it is for, and frozen models stay so."""

from dataclasses import replace

import pytest
import torch

from tests.families import tiny, tiny_scored
from tests.painters import tiny_unet
from tunesmith.core.answers import PairBatch, RatedBatch, tree
from tunesmith.core.batch import Example, pack
from tunesmith.core.distributions import DistributionBatch
from tunesmith.core.latent_pairs import LatentPairs
from tunesmith.core.latents import LatentBatch, Prompts
from tunesmith.core.rollouts import SIGNALS, Rollout, pack_rollouts
from tunesmith.core.targets import Target, pack_targets
from tunesmith.ends import face
from tunesmith.methods.head import with_head
from tunesmith.methods.lora import LoRA
from tunesmith.models.diffusion.denoiser import Denoiser, Parts
from tunesmith.models.diffusion.family import FAMILIES as FAMILIES_OF_PICTURES
from tunesmith.models.language import Packed
from tunesmith.models.valued import ValuedLM
from tunesmith.objectives import OBJECTIVES
from tunesmith.tasks import TASKS

EXACT = 1e-5
GIVEN = {
    "distill": {"teacher": "x"},
    "dreambooth": {"prompt": "a zwx cat", "class_prompt": "a cat"},
    "textual-inversion": {"token": "<zwx>", "init": "cat"},
    "diffusion-dpo": {"beta": 1.0},
}
VARIANTS = {
    "dpo robust": {"formula": "robust", "label_smoothing": 0.2},
    "grpo dapo": {"variant": "dapo"},
    "grpo dr_grpo": {"variant": "dr_grpo"},
    "ppo penalty": {"kl": "penalty"},
    "distill reverse": {"divergence": "reverse"},
    "distill jsd": {"divergence": "jsd", "mix": 0.3},
}
NAMES = [*OBJECTIVES, *VARIANTS]
FAMILIES = ("llama", "gpt2", "mistral")  # walk, packed, and a window; all the others are in test_packing


def _answered(row: int, draw: torch.Generator, lengths: tuple[int, ...]) -> list[Example]:
    prompt = torch.randint(4, 300, (5,), generator=draw).tolist()
    found = []
    for length in lengths:
        answer = torch.randint(4, 300, (length,), generator=draw).tolist()
        found.append(Example([*prompt, *answer], [False] * 5 + [True] * length, row))
    return found


def _made(name: str):
    kind = name.split()[0]
    given = {"prompts": {"reward": "exact"}}.get(OBJECTIVES[kind].eats, GIVEN.get(kind, {}))
    return OBJECTIVES[kind](**given, **VARIANTS.get(name, {}))


def _fed(objective):
    """What its task would feed it with."""
    batch = _batch(objective.eats)
    if objective.kind == "diffusion-dpo":
        draw = torch.Generator().manual_seed(2)
        return LatentPairs(_pictures(draw, masked=False), torch.rand(8, generator=draw) + 1.0)
    if objective.kind != "distill":
        return batch
    draw = torch.Generator().manual_seed(1)
    sure = torch.log_softmax(torch.randn(batch.units, 9, generator=draw), 1) - 0.1  # a tenth is left to the rest
    choices = torch.stack([torch.randperm(300, generator=draw)[:9] for _ in sure])
    return DistributionBatch(batch, choices, sure, (("answer_length", 4.0),))


def _batch(eats: str):
    draw = torch.Generator().manual_seed(0)
    rows = [_answered(row, draw, lengths) for row, lengths in enumerate([(4, 7), (9, 3), (5, 5), (12, 2)])]
    if eats == "tokens":
        return pack([one for answers in rows for one in answers])
    if eats == "prompts":
        return pack_rollouts([_rollout(answers, draw) for answers in rows])
    reference = [(-30.0 - row, -31.0 + row) for row in range(len(rows))]
    if eats == "targets":
        rows = [one for answers in rows for one in answers]
        return pack_targets(
            [Target(r.tokens, [False] * len(r), i, target=float(i % 3), weight=1 + 0.1 * i) for i, r in enumerate(rows)]
        )
    if eats in ("pairs", "ranked"):
        return PairBatch.of([tree(r, better=((0, 1),), margins=(0.5,)) for r in rows], reference)
    if eats == "pictures":
        return _pictures(draw)
    assert eats == "rated"
    made = RatedBatch.of([tree(r, wanted=(True, False)) for r in rows], reference)
    return replace(made, drift=torch.tensor(0.3))


def _pictures(draw: torch.Generator, masked: bool = True) -> LatentBatch:
    """Four of one shape: three to learn, one of the prior. Not masked: eight, in pairs."""
    count = 4 if masked else 8
    noisy, targets = torch.randn(2, count, 4, 8, 8, generator=draw)
    weights = torch.rand(count, generator=draw)
    masks = torch.rand(count, 1, 8, 8, generator=draw) if masked else None
    prompts = Prompts({}, torch.randn(count, 16, 16, generator=draw))
    times = torch.tensor([10, 300, 700, 999] if masked else [10, 10, 300, 300, 700, 700, 999, 999])
    counted = (True, True, False, True) if masked else (True,) * 8
    rows = (1, 2, 2, 3) if masked else (1, 1, 2, 2, 3, 3, 4, 4)
    return LatentBatch(noisy, times, targets, weights, masks, prompts, counted, rows)


def _rollout(answers: list[Example], draw: torch.Generator) -> Rollout:
    lengths = tuple(len(one) - 5 for one in answers)
    signals = {name: torch.randn(sum(lengths), generator=draw) for name in SIGNALS}
    known = {"old": torch.full((sum(lengths),), -6.0), "reference": torch.full((sum(lengths),), -6.0)}
    known["weight"] = torch.ones(sum(lengths))
    return Rollout(tree(answers), lengths, signals | known)


def _model(family: str, ending: str = "words") -> Packed | Denoiser:
    torch.manual_seed(0)
    if ending == "pictures":
        model = Denoiser(Parts({"unet": tiny_unet(16)}), FAMILIES_OF_PICTURES["StableDiffusionPipeline"])
        LoRA(rank=4).attach(model.network)
        for parameter in model.parameters():
            if parameter.requires_grad:
                torch.nn.init.normal_(parameter, std=0.05)
        return model.train()
    network = tiny(family) if ending == "words" else tiny_scored(family, 1 if ending == "value" else 3)
    with_head(LoRA(rank=4), network).attach(network)
    for parameter in network.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.05)
    return (ValuedLM if ending == "words" else face)(network).train()


def _gradient(model, objective, batches):
    model.zero_grad()
    for batch in batches:
        objective(model, batch).total.backward()
    return torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


def test_each_kind_has_a_task_and_its_name():
    for name, kind in OBJECTIVES.items():
        assert _made(name).kind == name and (kind.eats in TASKS or kind.eats == "pictures")


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", NAMES)
def test_the_gradient_does_not_depend_on_the_cut(name, family):
    objective = _made(name)
    model = _model(family, objective.ending)
    whole = _fed(objective)
    halves = whole.halves()
    quarters = [part for half in halves for part in half.halves()]
    expected = _gradient(model, objective, [whole])
    for cuts in (halves, quarters):
        assert sum(cut.units for cut in cuts) == whole.units
        found = _gradient(model, objective, cuts)
        assert float((found - expected).abs().max()) <= EXACT * float(expected.abs().max())


@pytest.mark.parametrize("name", NAMES)
def test_steps_along_the_gradient_lower_it(name):
    objective = _made(name)
    model = _model("llama", objective.ending)
    batch = _fed(objective)
    before = objective(model, batch)
    assert all(not value.requires_grad for value in before.metrics.values())
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        objective(model, batch).total.backward()
        optimizer.step()
    assert objective(model, batch).total.item() < before.total.item()


@pytest.mark.parametrize("name", [n for n, kind in OBJECTIVES.items() if kind.eats == "pairs"])
def test_better_pairs_cost_less(name):
    """The gap between chosen and rejected is what it asks for (IPO: up to its size)."""

    class Given(torch.nn.Module):
        """A model that finds each label of the chosen answers as likely as it is told."""

        def __init__(self, gap: float) -> None:
            super().__init__()
            self.gap = gap

        def forward(self, packed):
            made = _batch("pairs")
            chosen = torch.isin(made.owner, made.pairs[:, 0])
            return torch.where(chosen, -5.0 + self.gap, -5.0 - self.gap).float()

    objective = OBJECTIVES[name]()
    costs = [float(objective(Given(gap), _batch("pairs")).total) for gap in (-1.0, 0.0, 1.0)]
    assert costs[0] > costs[1] > costs[2]
