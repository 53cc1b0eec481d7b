"""The two long stages of a run: training, and measuring base against tuned."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from tunesmith.core.batch import Example, pack
from tunesmith.core.errors import Interrupted
from tunesmith.core.files import write_json
from tunesmith.core.freed import give_back
from tunesmith.core.order import steps_per_epoch
from tunesmith.ends import face
from tunesmith.evaluate.before_after import Evaluation, Outcome, recalibrated
from tunesmith.evaluate.items import Measured, same_items, write_items
from tunesmith.evaluate.score import grouped
from tunesmith.evidence import Questions, Watch, compared, evidence, measured
from tunesmith.guarantee import forget_key, noise_of
from tunesmith.methods.method import Given
from tunesmith.models.language import Packed
from tunesmith.models.load import Say
from tunesmith.models.valued import VALUE_HEAD, ValuedLM
from tunesmith.opening import Opened, base_of
from tunesmith.show import Show
from tunesmith.streams.answers import no_reference
from tunesmith.streams.stream import Feed, Stream, alone, drawn_steps, steps
from tunesmith.tasks import TASKS
from tunesmith.tasks.linear_probe import fit_head
from tunesmith.tasks.prompts import rewarded
from tunesmith.tasks.reference import referring
from tunesmith.tasks.task import LiveFeed, Refer, attended, validate
from tunesmith.train.loop import fit
from tunesmith.train.private_step import Noise
from tunesmith.train.progress import Fitted
from tunesmith.train.world import World

FED = 8  # passes of training rows that a method may look at before the first step
PROBE = 4  # rows that the proof looks at
PROBE_TOKENS = 64


def attach(opened: Opened, model: Packed, say: Say) -> None:
    """Put the method into the network, with first values from the training rows where they are wanted."""
    network, method = opened.base.network, opened.method
    torch.manual_seed(opened.recipe.train.seed)
    method.attach(network)
    model.eval()  # new layers begin in training mode, and what follows must not draw dropout
    if method.needs_data:
        rows, tokenizer, limit = opened.prepared.train, opened.base.tokenizer, opened.tokens_per_pass
        groups = list(grouped(rows, limit))
        some = [rows[place] for group in groups[:: -(-len(groups) // FED)] for place in group]
        method.prepare(
            network,
            Given(
                examples=[list(example.tokens) for example in rows],
                encode=lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"]),
                feed=partial(_read, model, some, opened),
            ),
        )
    if getattr(opened.recipe.objective, "head_start", "random") == "fitted":
        say(fit_head(opened, model, feed_of(opened, model, lambda _: no_reference)))


def _read(model: Packed, rows: Sequence[Example], opened: Opened) -> None:
    with torch.no_grad():
        for places in grouped(rows, opened.tokens_per_pass):
            model(pack([rows[place] for place in places]).to(opened.device))


def train(opened: Opened, model: Packed, folder: Path, show: Show) -> Fitted:
    """Train until the end. Raises Interrupted when a signal came first."""
    config, prepared = opened.recipe.train, opened.prepared
    updates = updates_of(opened)
    per_epoch = updates * steps_per_epoch(len(prepared.train), config.batch_size)
    noise = noise_of(config, prepared.facts["privacy"], folder) if config.privacy else None
    count = config.steps(per_epoch)
    feed = feed_of(opened, model, referring(opened, model, show))
    show.averaging(config.ema)

    def judge() -> Mapping[str, float]:
        if isinstance(feed, LiveFeed):
            return feed.validate(prepared.validation)
        passes = feed(prepared.validation, None)
        return validate(model, opened.recipe.objective, passes, opened.device)

    with show.training(count) as shown, attended(feed, show.say, shown) as hear:
        fitted = fit(
            model,
            opened.recipe.objective,
            stream_of(opened, feed, noise),
            config=config,
            steps=count,
            folder=folder,
            fingerprints=fingerprints(opened),
            world=World(opened.device),
            evaluate=judge if prepared.validation else None,
            on_event=hear,
            epoch_steps=per_epoch,
            rates=rates(opened),
            noise=noise,
        )
    give_back()
    if fitted.interrupted:
        raise Interrupted(f"stopped after step {fitted.steps} of {count}; give the same command again to go on")
    forget_key(folder)
    return fitted


def stream_of(opened: Opened, feed: Feed, noise: Noise | None) -> Stream:
    """-> the passes of each step; with noise, of examples that are drawn one by one and pass one by one."""
    config, rows = opened.recipe.train, opened.prepared.train
    if noise is not None:
        return drawn_steps(alone(feed), rows, keyed=noise.keyed, share=noise.expected / len(rows))
    return steps(feed, rows, seed=config.seed, batch_size=config.batch_size, updates=updates_of(opened))


def updates_of(opened: Opened) -> int:
    """-> how many steps in a row learn from the same rows."""
    return int(getattr(opened.recipe.objective, "updates", 1))


def feed_of(opened: Opened, model: Packed, refer: Refer) -> Feed:
    """-> how examples become passes. `refer`: what the frozen base says of answers, where the objective asks."""
    return TASKS[opened.prepared.eats].feed(opened, model, refer)


def rates(opened: Opened) -> dict[str, float]:
    """-> by the names that parameters have in the model."""
    own = {f"network.{name}": times for name, times in opened.method.rates(opened.base.network).items()}
    value = getattr(opened.recipe.objective, "value_rate", None)
    return own if value is None else own | dict.fromkeys(VALUE_HEAD, value)


def fingerprints(opened: Opened) -> dict[str, str]:
    facts = opened.prepared.facts
    known = {"recipe": opened.recipe.fingerprint, "base": opened.base.fingerprint, "data": facts["mask_sha256"]}
    files = [term["sha256"] for term in facts.get("reward", ()) if term["sha256"]]
    return known | ({"reward": " ".join(files)} if files else {})


def model_of(opened: Opened) -> Packed:
    """-> the network with what the objective needs of it."""
    recompute = opened.recipe.train.recompute
    if getattr(opened.recipe.objective, "valued", False):
        return ValuedLM(opened.base.network, recompute=recompute)
    return face(opened.base.network, recompute=recompute)


def probe(opened: Opened) -> list[list[int]]:
    """The beginnings of a few training rows."""
    return [list(example.tokens[:PROBE_TOKENS]) for example in opened.prepared.train[:PROBE]]


def measure(
    opened: Opened, model: Packed, folder: Path, show: Show, known: Measured | None = None
) -> Evaluation | None:
    """Before and after on the test part; written to the run folder.

    `known`: what the base did on the same items, when it was measured for several runs at once.
    """
    config = opened.recipe.asked
    if not config.enabled:
        return None
    if not opened.prepared.test:
        show.say("no test rows: nothing is measured before and after (give data.test or a larger data.split)")
        return None
    judge = rewarded(opened) if opened.prepared.eats == "prompts" else None
    questions = Questions.of(opened.prepared, opened.base.tokenizer, config, judge)

    if opened.head is not None:
        show.say("before: the base with its head as it starts; after: the tuned model")
    before, after = _asked(opened, model, questions, show, known)
    found, answers = compared(questions, before, after)
    if found.calibration and opened.prepared.validation:
        found = recalibrated(found, after.outcomes, _on_validation(opened, model), opened.prepared.labels)
    write_items(folder, {"base": before, "tuned": after})
    write_json(folder / "evaluation.json", found.document())
    write_json(folder / "examples.json", answers)
    return found


def _on_validation(opened: Opened, model: Packed) -> list[Outcome]:
    prepared = opened.prepared
    rows = replace(prepared, test=prepared.validation, test_items=prepared.validation_items)
    config = opened.recipe.asked.model_copy(update={"items": None})
    questions = Questions.of(rows, opened.base.tokenizer, config)
    return measured(model, opened.base.tokenizer, questions, opened.tokens_per_pass, Watch()).outcomes


def _asked(
    opened: Opened, model: Packed, questions: Questions, show: Show, known: Measured | None
) -> tuple[Measured, Measured]:
    tokenizer = opened.base.tokenizer
    if known is None:
        return evidence(
            model,
            tokenizer,
            questions,
            base=lambda: base_of(opened, model),
            tokens_per_pass=opened.tokens_per_pass,
            watch=show.watch,
        )
    model.eval()
    with show.watch("measuring the tuned model", questions.tokens) as seen:
        after = measured(model, tokenizer, questions, opened.tokens_per_pass, seen)
    assert same_items(known.outcomes, after.outcomes), "the base was measured on these very items"
    show.say("the base was measured once, for all runs on these rows")
    return known, after
