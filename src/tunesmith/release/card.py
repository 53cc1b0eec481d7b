"""The model card of a run: what was done, measured and proven, and what was not. No sentence that no file supports."""

from collections.abc import Iterable, Sequence

from tunesmith.core.files import dump
from tunesmith.release.known import SUITES, command
from tunesmith.release.measured import Known
from tunesmith.release.shown import lines as verdict_lines
from tunesmith.release.sources import rows_of, settings
from tunesmith.release.verdict import Verdict
from tunesmith.report.account import PROOF
from tunesmith.report.answer import answer
from tunesmith.report.document import RunResult
from tunesmith.report.numbers import count, duration, share, size
from tunesmith.report.privacy import told

UNSTATED = "nobody stated it"
UNKNOWN = "not recorded: the run is of an older version"


def card(known: Known, verdict: Verdict | None) -> str:
    """-> the whole page, in Markdown."""
    parts = [
        ("What it is", _identity(known)),
        ("Training data", _data(known)),
        ("What is promised about training rows", _promised(known.result)),
        ("What was measured", _measured(known)),
        ("What was not measured", _not_measured(known)),
        ("Verdict", _verdict(verdict)),
        ("Proof", _proof(known.result)),
        ("How it was made", _made(known)),
        ("What nobody stated", _unstated(known)),
    ]
    sections = "\n\n".join(f"## {title}\n\n" + "\n".join(inner) for title, inner in parts)
    title = f"{known.result.base.rstrip('/').rpartition('/')[2]}, tuned with {known.result.method}"
    return f"{_head(known)}\n# {title}\n\n{answer(known.files)}\n\n{sections}\n"


def _head(known: Known) -> str:
    base = known.result.base.rstrip("/").rpartition("/")[2]
    return f"---\nbase_model: {dump(base).strip()}\ntags:\n- tunesmith\n- {known.result.method}\n---\n"


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """-> a Markdown table; what would break it is escaped."""
    body = [[str(cell).replace("|", "\\|").replace("\n", " ") for cell in row] for row in rows]
    return [f"| {' | '.join(line)} |" for line in (list(head), ["---"] * len(head), *body)]


def _identity(known: Known) -> list[str]:
    result, origin = known.result, known.result.origin
    artifact = result.artifact
    assert artifact is not None, "only finished runs get papers"
    kind = "a whole model" if result.method == "full" else "an adapter over the base, of no use without it"
    rows: list[tuple[str, object]] = [
        ("Kind", kind),
        ("Base", result.base.rstrip("/").rpartition("/")[2]),
        ("Licence of the base", (origin.licence or UNSTATED) if origin else UNKNOWN),
        ("Source of the base", origin.source if origin else UNKNOWN),
        ("sha256 of the base", f"`{origin.fingerprint}`" if origin else UNKNOWN),
        ("Objective", result.objective),
        ("File", f"`{artifact.path}`, {size(artifact.bytes)}"),
        ("sha256 of the file", f"`{artifact.sha256}`"),
    ]
    if origin is not None and origin.note:
        rows.append(("Note on the base", origin.note))
    if result.parameters is not None:
        trained, total = result.parameters.trainable, result.parameters.total
        rows.append(("Parameters", f"{count(trained)} trained of {count(total)} ({share(trained / max(1, total))})"))
    return table(("", ""), rows)


def _data(known: Known) -> list[str]:
    found = rows_of(known)
    told = table(
        ("File", "sha256", "Licence"),
        [(r.name, f"`{r.sha256}`" if r.sha256 else "no file", r.licence or UNSTATED) for r in found],
    )
    told += ["", *dict.fromkeys(f"Source: {r.source}. Note: {r.note}." for r in found if r.source)]
    parts = known.files.data.get("parts")
    if isinstance(parts, dict):
        keys = ("rows", "examples", "tokens", "trained_tokens")
        sizes = [(name, *(count(facts.get(key) or 0) for key in keys)) for name, facts in parts.items()]
        told += ["", *table(("Part", "Rows", "Examples", "Tokens", "Trained tokens"), sizes)]
    odd = {key: known.files.data.get(key) for key in ("duplicates", "overlap", "dropped", "truncated")}
    return [*told, "", *(f"- {key}: {said}" for key, value in odd.items() if (said := _flat(value)))]


def _flat(value: object) -> str:
    """-> what is not nothing."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {said}" for key, inner in value.items() if (said := _flat(inner)))
    return str(value or "")


def _promised(result: RunResult) -> list[str]:
    return ["Nothing: it was trained without differential privacy."] if result.privacy is None else told(result.privacy)


def _measured(known: Known) -> list[str]:
    if not known.metrics:
        return ["Nothing was measured."]
    rows = [
        (name, _number(m.base), _number(m.tuned), f"{_number(m.low)} to {_number(m.high)}", m.n, m.verdict)
        for name, m in known.metrics.items()
    ]
    head = ("Metric", "Base", "Tuned", "95 % interval of the difference", "Items", "In words")
    return ["Base and tuned model on the same items.", "", *table(head, rows)]


def _number(value: float) -> str:
    return f"{value:.4g}"


def _not_measured(known: Known) -> list[str]:
    there = {name.partition(".")[0] for name in known.metrics}
    medium = "pictures" if known.result.paints else "texts"
    missing = [
        name
        for name, suite in SUITES.items()
        if suite.command is not None and name not in there and suite.of in (medium, "all")
    ]
    if known.result.paints:
        return [
            "Bias and harmful pictures: no suite asks an image model about them yet.",
            *_pictures_missing(known, missing),
        ]
    if not missing:
        return ["Every suite that tunesmith has was measured; what those do not ask is not known."]
    return _commands(known, missing)


def _pictures_missing(known: Known, missing: Sequence[str]) -> list[str]:
    """The suites of pictures ask about one subject, and not every run learned one."""
    if known.result.objective != "dreambooth":
        return [
            "",
            "Likeness, obedience, drift and copies: the suites ask about one subject, and this run learned none.",
        ]
    return ["", *_commands(known, missing)] if missing else []


def _commands(known: Known, missing: Sequence[str]) -> list[str]:
    commands = {name: str(command(f"{name}.", known.run)).replace(str(known.run), "RUN") for name in missing}
    return [f"- {name} ({SUITES[name].area}): `{commands[name]}` measures it" for name in missing]


def _verdict(verdict: Verdict | None) -> list[str]:
    if verdict is None:
        return [
            "This run was not held against a policy (`tunesmith card RUN --policy company` does, and says so here)."
        ]
    return [f"Policy: {verdict.policy}. {verdict.about}".rstrip(), "", "```", *verdict_lines(verdict), "```"]


def _proof(result: RunResult) -> list[str]:
    return [f"- {'holds' if ok else 'DOES NOT HOLD'}: {PROOF.get(name, name)}" for name, ok in result.proof.items()]


def _made(known: Known) -> list[str]:
    told: list[str] = []
    result, environment = known.result, known.result.environment
    if (train := result.train) is not None:
        speed = f"{duration(train.seconds)}, at most {size(train.peak_memory_bytes)} of memory"
        told += [f"{train.steps} steps over {count(train.examples)} examples; {speed}.", ""]
    told += table(("Setting", "Value"), settings(known))
    versions = ", ".join(f"{name} {number}" for name, number in (environment.get("versions") or {}).items())
    where = f"{environment.get('device')}, {environment.get('system')}, {environment.get('precision')}"
    told += ["", f"Code: {versions}; sha256 of tunesmith's files `{environment.get('code_sha256', 'not recorded')}`."]
    return [*told, f"Machine: {where}."]


def _unstated(known: Known) -> list[str]:
    told = ["what it is meant for, and what it must not be used for", "the licence of the tuned model itself"]
    if any(rows.licence is None for rows in rows_of(known)):
        told.append("the licence of the rows (`data.licence` in the recipe)")
    if known.result.origin is not None and known.result.origin.licence is None:
        told.append("the licence of the base")
    return [f"- {line}" for line in told]
