"""`report.html`: a run as one file that needs no network and no script."""

import re
from collections.abc import Sequence
from pathlib import Path

from tunesmith.core.files import write_text
from tunesmith.report import account, course, evidence, pictures, rewards
from tunesmith.report.answer import answer, headline, values, verdict
from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, joined
from tunesmith.report.numbers import duration, metric, share, size
from tunesmith.report.reliability import reliability
from tunesmith.report.style import STYLE

NAME = "report.html"
_UNITS = re.compile(r"(?<=\d) (?=(?:%|[kMGT]?B|s|min|h)\b|%)")
# The page may load nothing at all: a text that slipped through as markup could not do so either.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def write_report(folder: Path) -> Path:
    """Write `report.html` from the files of a run. What is missing or damaged is said in its place.

    Reads result.json, recipe.yaml, data.json, evaluation.json, examples.json, samples.jsonl, metrics.jsonl and
    timing.jsonl.
    """
    path = folder / NAME
    write_text(path, page(RunFiles.read(folder), folder))
    return path


def page(files: RunFiles, folder: Path) -> str:
    """-> the whole document. `folder` is named in the commands."""
    title = _title(files)
    return document(title, [_header(files, title), *_sections(files, folder), _footer(files)])


def document(title: str, parts: Sequence[object], kind: str | None = None) -> str:
    """-> a page that loads nothing: one file, no script. `kind`: a class of the style sheet."""
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", f"{title} \u2013 tunesmith"),
        element("style", Html(STYLE)),
    )
    body = element("body", element("main", *parts, class_=kind))
    return "<!doctype html>\n" + element("html", head, body, lang="en") + "\n"


def _title(files: RunFiles) -> str:
    if files.result is None:
        return files.name
    method, objective = files.result.method, files.result.objective
    by = "" if objective == "sft" else f" by {_OBJECTIVES.get(objective, objective.upper())}"
    return f"{Path(files.result.base).name or files.result.base}, tuned with {_METHODS.get(method, method)}{by}"


_OBJECTIVES = {
    "simpo": "SimPO",
    "classify": "its labels",
    "regress": "its numbers",
    "reward": "pairs, as a reward",
    "denoise": "its pictures",
    "dreambooth": "pictures of one subject",
    "textual-inversion": "a few pictures",
    "diffusion-dpo": "pairs of pictures",
}


_METHODS = {
    "lora": "LoRA",
    "full": "its own weights",
    "loha": "LoHa",
    "lokr": "LoKr",
    "ia3": "(IA)³",
    "prefix": "a prefix",
    "prompt": "a soft prompt",
    "ptuning": "p-tuning",
    "bottleneck": "bottleneck adapters",
    "bitfit": "its biases",
    "token": "a new word",
}


def _header(files: RunFiles, title: str) -> Html:
    status = files.result.status if files.result else "unknown"
    proven = ", proven" if files.result and files.result.proof and all(files.result.proof.values()) else ""
    pill = element("span", _STATUS.get(status, "unknown") + proven, class_=f"status {status}")
    return element(
        "header",
        element("p", f"tunesmith report of the run {files.name}", pill, class_="kind"),
        element("h1", title),
        element("p", unbroken(answer(files)), class_="answer"),
        _figures(files),
    )


_STATUS = {"ok": "ended well", "failed": "failed", "interrupted": "interrupted"}


def _figures(files: RunFiles) -> Html:
    """The four numbers that most people look for."""
    tiles = []
    for name in (headline(files), "general_perplexity"):
        if name is not None and (pair := values(files, name)) is not None:
            how = metric(name)
            note = verdict(files, name).partition(" (")[0]
            tiles.append(
                _tile(
                    how.label, how.value(pair[1], pair[0]), f"from {how.value(*pair)}" + (f", {note}" if note else "")
                )
            )
    result = files.result
    if result is not None and result.train is not None:
        tiles.append(
            _tile("Time", duration(result.train.seconds), f"{result.train.tokens_per_second:,.0f} tokens per second")
        )
        tiles.append(_tile("Peak memory", size(result.train.peak_memory_bytes), _artifact(files)))
    return element("dl", *tiles, class_="figures") if tiles else Html("")


def _artifact(files: RunFiles) -> str:
    artifact = files.result.artifact if files.result else None
    if artifact is None:
        return "no result on disk"
    part = f", {share(artifact.bytes / artifact.base_bytes)} of the base" if artifact.base_bytes else ""
    return f"{size(artifact.bytes)} on disk{part}"


def unbroken(text: str) -> str:
    """A number and its unit stay on one line."""
    return _UNITS.sub("\u00a0", text)


def _tile(label: str, value: str, note: str) -> Html:
    return element("div", element("dt", label), element("dd", value, element("small", unbroken(note))))


def _sections(files: RunFiles, folder: Path) -> list[Html]:
    parts = {
        "Pictures before and after": pictures.before_after(files),
        "The subject": pictures.subject(files),
        "Before and after": evidence.before_after(files),
        "Confusion tables": evidence.confusions(files),
        "Sureness": reliability(files),
        "Loss": evidence.curves(files),
        "What the objective saw": course.measures(files),
        "Loss by noise level": pictures.levels(files),
        "Pictures over time": pictures.course(files),
        "Answers side by side": evidence.answers(files),
        "Answers over time": rewards.samples(files),
        "Forgetting": evidence.forgetting(files),
        "Proof": account.proof(files),
        "What is promised about training rows": account.promised(files),
        "How to use it": account.use(files, folder),
        "What it cost": account.cost(files),
        "What was asked": account.asked(files),
        "The data": account.data(files),
        "What judged the answers": rewards.judges(files),
        "What was said on the way": account.notes(files),
        "Environment": account.environment(files),
    }
    return [element("section", element("h2", title), inner) for title, inner in parts.items() if inner is not None]


def _footer(files: RunFiles) -> Html:
    absent = joined(element("p", f"{name} {reason}.") for name, reason in files.missing.items())
    return element("footer", "Written by tunesmith from the files beside this page.", absent)
