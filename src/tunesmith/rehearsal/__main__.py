"""A run in small: its real parts in a process of its own, in their order; what they hold and how long they take.

`python -m tunesmith.rehearsal` is such a process; `clock` says how one talks with it.
"""

from collections.abc import Sequence
from pathlib import Path

import torch

from tunesmith.artifact import save
from tunesmith.core.freed import give_back
from tunesmith.core.order import steps_per_epoch
from tunesmith.models.language import Packed
from tunesmith.opening import Opened, open_base, open_source
from tunesmith.probing import epochs, ranks
from tunesmith.probing.rates import Size
from tunesmith.probing.trial import ROWS
from tunesmith.proof import Proof
from tunesmith.recipe import Recipe
from tunesmith.rehearsal.clock import Clock, answer, refuse_too_large, save_checkpoint
from tunesmith.rehearsal.excerpt import Calendar, outline
from tunesmith.rehearsal.measured import STAGES, Measured, most_held, resident
from tunesmith.rehearsal.questions import Asked, ask_a_little
from tunesmith.rehearsal.rollouts import play_a_little
from tunesmith.rehearsal.training import optimizer_of, refer_a_little, train_a_little, validate_a_little
from tunesmith.stages import attach, model_of, probe, updates_of
from tunesmith.train.config import MOST_EPOCHS

PLANNED = {
    "train.learning_rate": "train.learning_rate: trials will find it; it changes nothing here",
    "train.epochs": f"train.epochs: trials will find it; this is for the most that it can be, {MOST_EPOCHS}",
    "method.rank": "method.rank: trials will find it; this is for the method's own",
}


def rehearse(recipe: Recipe, scratch: Path, clock: Clock) -> Measured:
    """Play the run of `recipe` in small; what it writes goes below `scratch`. Raises what the run would raise."""
    with clock.stage("data"):
        source = open_source(recipe, clock.say)
    free = refuse_too_large(source.place, clock.device)
    for sentence in source.prepared.said:
        clock.say(sentence)
    with clock.stage("load"):
        opened = open_base(source, None, clock.say)
    for key, choice in opened.choices.items():
        clock.say(f"{key} = {choice['value']}: {choice['reason']}")
    left = opened.recipe.left_to_trial
    for key in left:
        clock.say(PLANNED[key])
    if "method.rank" in left:
        opened = ranks.with_rank(opened, ranks.own_rank(opened))
    fresh = most_held(torch.device("cpu"))
    with clock.stage("attach"):
        model = model_of(opened)
        attach(opened, model, clock.say)
        Proof.begin(opened.base.network, opened.base.folder, probe(opened))
    return _played(opened, model, scratch, clock, left).model_copy(update={"fresh": fresh, "free": free})


def _played(opened: Opened, model: Packed, scratch: Path, clock: Clock, left: Sequence[str]) -> Measured:
    config, prepared = opened.recipe.train, opened.prepared
    steps = config.steps(updates_of(opened) * steps_per_epoch(len(prepared.train), config.batch_size))
    calendar = Calendar.of(config, steps, bool(prepared.validation))
    optimizer = optimizer_of(config, {name: p for name, p in model.named_parameters() if p.requires_grad})
    with clock.stage("training"):
        if prepared.eats == "prompts":
            trained = play_a_little(opened, model, optimizer, steps)
        else:
            # With privacy each example passes alone.
            run = outline(prepared.train, config, steps, 1 if config.privacy else opened.tokens_per_pass)
            trained = train_a_little(opened, model, optimizer, run)
    if trained.limit is not None:
        clock.say(f"passes did not fit the memory; at most {trained.limit} tokens a pass")
    with clock.stage("validation"):
        validation = validate_a_little(opened, model)
        reference = refer_a_little(opened, model)
    with clock.stage("checkpoints"):
        checkpoint = save_checkpoint(config.keep_checkpoints, optimizer, model, scratch)
    give_back()  # as a run does behind its last step
    with clock.stage("artifact"):
        artifact = save(scratch, opened, model).described.bytes
    beside = resident()
    with clock.stage("proof"):
        Proof.begin(opened.base.network, opened.base.folder, probe(opened))  # its end looks at the same once more
    with clock.stage("evaluation"):
        measured = opened.recipe.evaluate.enabled and prepared.test
        asked = ask_a_little(opened, model) if measured else Asked(0.0, 0.0)
    taken = clock.seconds
    return Measured(
        steps=steps,
        tokens=trained.tokens,
        tokens_per_pass=opened.tokens_per_pass,
        seconds=_probing(left, opened, trained.seconds / steps, validation)
        | {
            "opening": taken["start"] + taken["data"] + taken["load"] + taken["attach"],
            **({"reference": reference} if reference else {}),
            **({"rollouts": trained.rollouts} if trained.rollouts else {}),
            "training": trained.seconds,
            "validation": validation * calendar.validations,
            "checkpoints": taken["checkpoints"] * calendar.saves,
            "artifact": taken["artifact"],
            "proof": taken["proof"] + taken["start"] + taken["load"],  # a fresh process starts and loads as this one
            "scoring": asked.scoring,
            "answers": asked.answers,
        },
        longest=trained.longest,
        held=clock.held,
        beside=beside,
        fresh=0,
        free=0,
        checkpoint=checkpoint,
        kept=calendar.kept,
        artifact=artifact,
    )


def _probing(keys: Sequence[str], opened: Opened, step: float, validation: float) -> dict[str, float]:
    """-> seconds of trying what the recipe leaves open to a trial."""
    size, each = Size.of(opened), epochs.steps_of_epoch(opened)
    tried = {  # steps, validations
        "train.learning_rate": (size.all_steps, len(size.rates) + 1),
        "method.rank": (len(ranks.FACTORS) * size.steps, 2 * len(ranks.FACTORS)),
        "train.epochs": (each * MOST_EPOCHS, MOST_EPOCHS + 1),
    }
    asked = [tried[key] for key in keys]
    share = min(1.0, ROWS / max(1, len(opened.prepared.validation)))
    seconds = sum(steps * step + validations * validation * share for steps, validations in asked)
    return {"probe": seconds} if asked else {}


if __name__ == "__main__":
    answer(rehearse, STAGES)
