"""The section of the report that shows what the objective told on the way: one small chart for each measure."""

from tunesmith.report.answer import number
from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, joined, paragraph
from tunesmith.report.svg import measure_chart

UNITS = {
    "sft": "nats per token",
    "distill": "nats per token",
    "kto": "per answer",
    "grpo": "per token",
    "rloo": "per token",
    "ppo": "per token",
}
"""What a loss is per, by objective; of all others per pair."""
_MANY = 5000  # points of a measure: more are not read


MEASURES = {
    "accuracy": "the share of pairs in the right order",
    "margin": "how far the better answer is ahead of the other",
    "chosen": "what the better answers are worth to the objective",
    "rejected": "what the other answers are worth to it: if both fall together, more is unlearned than should be",
    "log_odds_ratio": "the logarithm of the odds ratio of the two answers",
    "wanted_gain": "how much likelier wanted answers became, nats",
    "unwanted_gain": "how much likelier unwanted answers became, nats",
    "drift": "how much likelier answers became that belong to other prompts, nats",
    "reward": "what the answers are worth: of sampled ones in training, of the likeliest ones on validation rows",
    "reward_std": "how much that differs among the answers of a step",
    "agreement": "the share of tokens at which both models find the same one likeliest, among those that are kept",
    "sampled": "the share of rows whose answer the model wrote itself",
    "kl": "how far the policy has moved from the base, nats per token",
    "entropy": "how undecided it is, nats per token",
    "answer_length": "tokens of an answer",
    "ended": "the share of answers that end by themselves",
    "groups_without_signal": "the share of prompts whose answers are all worth the same",
    "redrawn": "how many prompts came in the place of such, as a share of those of a step",
    "clipped": "the share of tokens that the clip keeps from counting",
    "sampler_gap": "between what sampler and trainer say of the same tokens, nats: rounding, or something is wrong",
    "value_error": "how wrong the expected reward is, squared and halved",
}
"""What objectives log of themselves, in the order in which it is shown."""


def measures(files: RunFiles) -> Html | None:
    """-> the charts, or None when the objective told nothing but its loss."""
    charts = []
    for name, meaning in (MEASURES | _terms(files)).items():
        train, held = (points(files, prefix + name) for prefix in ("", "validation_"))
        if train or held:
            chart = Html(measure_chart(name.replace("_", " "), train, held))
            charts.append(element("figure", chart, element("figcaption", meaning, class_="note")))
    if not charts:
        return None
    note = (
        "Each step and its smoothed course; points are the validation rows. Sums over an answer's tokens are in nats."
    )
    return joined([element("div", *charts, class_="measures"), paragraph(note, class_="note")])


def _terms(files: RunFiles) -> dict[str, str]:
    """-> the terms of a reward, each by itself."""
    first = files.metrics[0] if files.metrics else {}
    return {name: "what this term alone says" for name in first if name.startswith("reward/")}


def points(files: RunFiles, name: str) -> list[tuple[float, float]]:
    """-> (step, value) of a measure, in the order of the steps."""
    found = ((number(line, "step"), number(line, name)) for line in files.metrics)
    return [(step, value) for step, value in found if step is not None and value is not None][-_MANY:]


def unit(files: RunFiles) -> str:
    """-> what the loss of the run is counted per."""
    return UNITS.get(files.result.objective, "per pair") if files.result else "per unit"
