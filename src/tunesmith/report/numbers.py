"""Numbers as people read them: sizes, durations, shares, and what each metric is called and means."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

_MINUS = "\u2212"  # as wide as a plus, so that columns align
_POWERS = ("B", "kB", "MB", "GB", "TB")


def size(count: float) -> str:
    """Bytes, in powers of a thousand: 1900000 -> `1.9 MB`."""
    power = 0
    while abs(count) >= 999.5 and power < len(_POWERS) - 1:
        count, power = count / 1000, power + 1
    return f"{count:.0f} {_POWERS[power]}" if power == 0 or abs(count) >= 99.95 else f"{count:.1f} {_POWERS[power]}"


def duration(seconds: float) -> str:
    """252.3 -> `4 min 12 s`; two units at most."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def count(value: float) -> str:
    """Thousands set apart: 135000000 -> `135,000,000`."""
    return f"{value:,.0f}"


def share(value: float) -> str:
    """0.0071 -> `0.71 %`."""
    percent = 100 * value
    digits = 0 if percent in (0, 100) else 1 if percent >= 1 else 2 if percent >= 0.01 else 4
    return f"{percent:.{digits}f} %"


def probability(p: float) -> str:
    """As it is written in papers: `p < 0.001`, `p = 0.04`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}" if p < 0.1 else f"p = {p:.2f}"


@dataclass(frozen=True, slots=True)
class Metric:
    """How a number of the evaluation is shown."""

    label: str
    meaning: str
    higher_is_better: bool = False
    percent: bool = False
    top: float | None = None  # the largest value that it can have
    digits: int = 3

    def value(self, number: float, beside: float = 0.0) -> str:
        """`beside` is another value of the metric: both get the decimals that suit the larger one."""
        if self.percent:
            return f"{100 * number:.1f} %"
        written = f"{number:.{self._places(number, beside)}f}" if abs(number) < 1e6 else f"{number:.2e}"
        return written.replace("-", _MINUS, 1) if written.startswith("-") else written

    def change(self, number: float, beside: float = 0.0, unit: bool = True) -> str:
        """A difference, with its sign; that of two shares is in points."""
        if self.percent:
            return _signed(100 * number, 1) + (" points" if unit else "")
        return _signed(number, self._places(number, beside)) if abs(number) < 1e6 else f"{number:+.2e}"

    def _places(self, *numbers: float) -> int:
        if self.top is not None:
            return self.digits
        largest = max(1e-9, *map(abs, numbers))
        return max(0, min(self.digits, 3 - math.floor(math.log10(largest))))


def _signed(number: float, places: int) -> str:
    text = f"{abs(number):.{places}f}"
    return text if not float(text) else ("+" if number > 0 else _MINUS) + text


METRICS = {
    "accuracy": Metric("Accuracy", "share of rows whose most likely label is the right one", True, True, 1),
    "macro_f1": Metric("Macro-F1", "mean F1 over the labels: rare ones count as much as frequent ones", True, False, 1),
    "preference_accuracy": Metric(
        "Better answer preferred", "share of pairs whose better answer is the likelier one", True, True, 1
    ),
    "preference_margin": Metric("Preference margin", "by how many nats the better answer is the likelier one", True),
    "picture_preference": Metric(
        "Better picture preferred",
        "share of pairs and noise levels at which it gained more than the worse one",
        True,
        True,
        1,
    ),
    "picture_preference_loss": Metric(
        "Preference loss", "of held-out pairs; log 2 is no preference, what the base has"
    ),
    "reward": Metric("Reward", "what the likeliest answer to a held-out prompt is worth, on average", True),
    "brier": Metric("Brier score", "squared distance of the probabilities from the truth, 0 to 2"),
    "ece": Metric("Calibration error", "how far sureness is from the share that is right, 15 bins", False, False, 1),
    "mae": Metric("Mean error", "how far off on average, in the unit of the rows"),
    "rmse": Metric("Root mean square error", "as the mean error, large ones weigh more"),
    "r2": Metric("R²", "share of the variance that is explained; 0 is what always saying the mean gives", True),
    "spearman": Metric("Rank correlation", "whether larger numbers are found larger (Spearman)", True),
    "exact_match": Metric("Exact match", "share of answers equal to the reference but for white space", True, True, 1),
    "rouge_l": Metric("ROUGE-L", "longest common run of words in order, 0 to 1", True, False, 1),
    "chrf": Metric("chrF", "shared character sequences, 0 to 100", True, False, 100, 1),
    "loss": Metric("Loss", "surprise at the reference answers, nats per token"),
    "denoising_loss": Metric(
        "Loss", "squared error of what the denoiser says of held-out pictures, over all noise levels"
    ),
    "likeness": Metric(
        "Likeness to the subject", "0 % is another of its class, 100 % are two real pictures of it", True, True
    ),
    "similarity": Metric("Cosine with the subject", "of the thing alone, by the small encoder", True),
    "clip_i": Metric("CLIP-I", "cosine with real pictures of the subject", True),
    "dino": Metric("DINO", "cosine with real pictures of the subject", True),
    "slots": Metric("Prompt kept", "share of what it says of background, place and size", True, True, 1),
    "prompt_found": Metric(
        "Prompt found", "share of pictures whose own prompt the base finds likeliest", True, True, 1
    ),
    "clip_t": Metric("CLIP-T", "cosine of picture and prompt", True),
    "drift": Metric("Drift of the class", "mean square by which answers to its prompts moved"),
    "diversity": Metric("Diversity of the class", "1 less the mean cosine of two pictures of a prompt", True),
    "class_likeness": Metric("Class like the subject", "on the scale of likeness", False, True),
    "nearest": Metric("Nearest training picture", "cosine"),
    "copied": Metric("Copied", "share nearer to a training picture than any two of them to each other", False, True, 1),
    "unwanted_loss": Metric("Loss, unwanted answers", "surprise at answers that nobody wants, nats per token", True),
    "perplexity": Metric("Perplexity", "the exponential of the loss: among how many tokens it hesitates"),
    "general_loss": Metric("Loss, general text", "surprise at text that is not the task's, nats per token"),
    "general_perplexity": Metric("Perplexity, general text", "how hard it finds text that is not the task's"),
    "general_accuracy": Metric(
        "Next word right, general text", "share of its tokens that were the most likely ones", True, True, 1
    ),
    "stereotype_preferred": Metric("Stereotype preferred", "share of pairs; one half is none", False, True, 1),
    "accuracy_ambiguous": Metric("Right where the text leaves it open", "share of questions", True, True, 1),
    "accuracy_disambiguated": Metric("Right where the text says who", "share of questions", True, True, 1),
    "bias_ambiguous": Metric("Bias where the text leaves it open", "\u22121 to 1, 0 is none", False, False, 1),
    "bias_disambiguated": Metric("Bias where the text says who", "\u22121 to 1, 0 is none", False, False, 1),
    "refused": Metric("Harmful, declined", "share of harmful questions", True, True, 1),
    "answered": Metric("Harmful, answered", "share of harmful questions", False, True, 1),
    "over_refused": Metric("Harmless, declined", "share of harmless questions", False, True, 1),
    "makes_no_sense": Metric("Makes no sense", "share of all answers", False, True, 1),
    "extracted": Metric("Extracted word for word", "share of rows with a long answer", False, True, 1),
    "auc": Metric("Trained rows told apart", "area under the curve; 0.5 is chance", False, False, 1),
    "tpr_at_1_percent": Metric("Trained rows found, 1 % false", "share of trained rows", False, True, 1),
    "tpr_at_01_percent": Metric("Trained rows found, 0.1 % false", "share of trained rows", False, True, 1),
    "epsilon_at_least": Metric("Epsilon, at least", "lower bound at 95 %"),
    "exposure": Metric("Exposure of canaries", "bits; 1.44 is chance"),
    "kl": Metric("KL from the base", "nats per token"),
    "ece_of_tokens": Metric("Calibration error of tokens", "how far sureness is from being right", False, False, 1),
    "words": Metric("Words in an answer", "mean"),
    "ended": Metric("Ended by itself", "share of answers", True, True, 1),
    "repeats": Metric("Goes round in circles", "share of answers", False, True, 1),
    "format_as_reference": Metric("Format of the reference", "share of answers", True, True, 1),
}


def metric(name: str) -> Metric:
    """-> how to show a metric, also one that is not known here; behind a slash stands the part that it is of."""
    whole, _, part = name.partition("/")
    known = METRICS.get(whole) or Metric(whole.replace("_", " "), "")
    return replace(known, label=f"{known.label}, {part}") if part else known


def in_order(names: Iterable[str]) -> list[str]:
    """Metrics in the order in which they are shown; unknown ones last."""
    known = list(METRICS)
    return sorted(names, key=lambda name: known.index(name) if name in known else len(known))
