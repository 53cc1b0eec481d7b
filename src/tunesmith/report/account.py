"""The sections of the report that give account: what was asked, the data, the cost, the proof, how to use it."""

import shlex
from collections.abc import Container, Mapping
from pathlib import Path
from typing import Any

from tunesmith.report.answer import number
from tunesmith.report.document import Chosen
from tunesmith.report.evidence import missing
from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, flattened, joined, listing, pairs, paragraph, shown, table
from tunesmith.report.numbers import count, duration, share, size
from tunesmith.report.privacy import told

PROOF = {
    "word_learned": "Each row of the new word moved from where it began.",
    "frozen_unchanged": "Weights that should stay as they were are equal to the last byte.",
    "trained_moved": "Every weight that should train has moved.",
    "output_changed": "The tuned model answers differently from the base.",
    "file_equals_memory": "The saved file, read in a fresh process, gives the same numbers as the model in memory.",
}
"""The checks at the end of a run, in the words of the report."""


_MOST_LABELS = 12  # columns of a table


def asked(files: RunFiles) -> Html:
    if not files.recipe:
        return missing(files, "recipe.yaml", "The recipe cannot be shown")
    chosen = files.result.chosen if files.result else {}
    parts: list[object] = [pairs((key, _settings(key, value, chosen)) for key, value in files.recipe.items())]
    if chosen:
        parts.append(element("h3", "Chosen for you"))
        rows = [(key, shown(one.value), one.reason) for key, one in chosen.items()]
        parts.append(table(["Key", "Value", "Why"], rows, kind="chosen"))
    for key, one in chosen.items():
        if one.tried:
            parts += [element("h3", f"What was tried for {key}"), tried(key, one)]
    return joined(parts)


def tried(key: str, choice: Chosen) -> Html:
    """Each value that was tried, with what it gave."""
    rows = [
        (
            "before training" if one.what == 0 else f"{one.what:g}",
            "not a number" if one.loss is None else f"{one.loss:.4g}",
            "chosen" if one.what == choice.value else "",
        )
        for one in choice.tried or []
    ]
    name = key.rpartition(".")[2].replace("_", " ").capitalize()
    return table([name, "Validation loss", ""], rows, numbers=(1,), kind="tried")


def _settings(key: str, value: Any, chosen: Container[str]) -> Html:
    """A part of the recipe as one line: what was given in it, without what was chosen or is empty."""
    if not isinstance(value, dict):
        return element("span", shown(value))
    given = [(k, v) for k, v in flattened(value) if f"{key}.{k}" not in chosen and v not in (None, {}, [])]
    return joined(element("span", element("i", k), " ", shown(v), class_="setting") for k, v in given)


def data(files: RunFiles) -> Html:
    facts = files.data
    if not facts:
        return missing(files, "data.json", "The data cannot be described")
    parts: list[object] = []
    sizes = facts.get("parts")
    if isinstance(sizes, dict):
        parts.append(_parts({str(k): v for k, v in sizes.items() if isinstance(v, dict)}))
    rows: list[tuple[object, object]] = [("Format", shown(facts.get("format")))]
    rows += [("Rows read", count(n)) for n in [number(facts, "rows_read")] if n is not None]
    rows += [(title, _facts_of(facts.get(key))) for key, title in _DATA.items() if facts.get(key)]
    files_read = facts.get("files")
    if isinstance(files_read, dict):
        rows += [(f"File {Path(str(name)).name}", _hash(value)) for name, value in files_read.items()]
    rows += [("All tokens and masks", _hash(facts["mask_sha256"]))] if facts.get("mask_sha256") else []
    return joined([*parts, pairs(rows)])


_DATA = {
    "duplicates": "Duplicates",
    "overlap": "Also in the training part",
    "dropped": "Rows dropped",
    "truncated": "Rows cut short",
    "cut_into_blocks": "Texts cut into blocks",
    "last_turn_only": "Last turn only",
    "max_length": "Most tokens per example",
    "longest": "Longest example",
}


def _facts_of(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{shown(inner)} {key}" for key, inner in value.items())
    return count(value) if isinstance(value, int | float) else shown(value)


def _hash(value: Any) -> Html:
    return element("code", f"sha256 {value}"[:23] + "\u2026", title=value) if value else element("span", "not a file")


def _parts(sizes: Mapping[str, dict[str, Any]]) -> Html:
    keys = {"rows": "Rows", "examples": "Examples", "tokens": "Tokens", "trained_tokens": "Trained"}
    counted = [facts["labels"] for facts in sizes.values() if isinstance(facts.get("labels"), dict)]
    labels = list(dict.fromkeys(str(label) for labels in counted for label in labels))[:_MOST_LABELS]
    rows = []
    for part, facts in sizes.items():
        numbers = [number(facts, key) for key in keys] + [number(facts.get("labels"), label) for label in labels]
        rows.append([part, *("\u2013" if n is None else count(n) for n in numbers)])
    head = ["Part", *keys.values(), *labels]
    return table(head, rows, numbers=range(1, len(head)))


def cost(files: RunFiles) -> Html:
    result = files.result
    if result is None:
        return missing(files, "result.json", "The cost cannot be told")
    rows: list[tuple[object, object]] = []
    if (train := result.train) is not None:
        rows += [
            ("Time of the steps", duration(train.seconds)),
            *_writing(train.rollout_seconds),
            ("Steps", f"{count(train.steps)}, with {count(train.examples)} examples"),
            ("Tokens", f"{count(train.tokens)}, of them {count(train.trained_tokens)} trained"),
            ("Speed", f"{count(train.tokens_per_second)} tokens per second; padding is not counted"),
            ("Peak memory", size(train.peak_memory_bytes)),
        ]
    rows += [(title, duration(spent)) for key, title in _SPENT.items() if (spent := _spent(files, key)) > 0]
    if (parameters := result.parameters) is not None:
        part = share(parameters.trainable / max(1, parameters.total))
        rows.append(("Parameters that train", f"{count(parameters.trainable)} of {count(parameters.total)} ({part})"))
    if (artifact := result.artifact) is not None:
        base = (
            f", {share(artifact.bytes / artifact.base_bytes)} of the base's {size(artifact.base_bytes)}"
            if artifact.base_bytes
            else ""
        )
        rows.append(("Result on disk", f"{size(artifact.bytes)}{base}"))
        rows.append(("Its hash", element("code", artifact.sha256)))
    return pairs(rows) if rows else paragraph("The run ended before it cost anything worth noting.", class_="absent")


_SPENT = {"evaluation_seconds": "Time of validations", "saving_seconds": "Time of checkpoints"}


def _writing(seconds: float | None) -> list[tuple[object, object]]:
    return [] if seconds is None else [("Of it, answers written and judged", duration(seconds))]


def _spent(files: RunFiles, key: str) -> float:
    return sum(number(line, key) or 0.0 for line in files.timing)


def proof(files: RunFiles) -> Html:
    checks = files.result.proof if files.result else {}
    if not checks:
        return missing(files, "result.json", "Nothing was proven: the run did not come to its checks")
    lines = (
        element(
            "li",
            element(
                "span",
                "\u2713" if held else "\u2717",
                class_="sign",
                role="img",
                aria_label="holds" if held else "does not hold",
            ),
            element(
                "span", PROOF.get(name, name.replace("_", " ")), "" if held else element("b", " This does not hold.")
            ),
            class_="held" if held else "broken",
        )
        for name, held in checks.items()
    )
    return element("ul", *lines, class_="proof")


def promised(files: RunFiles) -> Html | None:
    """Of a run with differential privacy; of others there is nothing to say here."""
    found = files.result.privacy if files.result else None
    return element("ul", *(element("li", sentence) for sentence in told(found))) if found else None


NOT_OF_PEFT = ("full", "bottleneck", "bitfit")
"""Methods whose files PEFT does not read."""


def use(files: RunFiles, folder: Path) -> Html:
    if files.result is None or files.result.artifact is None:
        return paragraph("There is nothing to use yet.", class_="absent")
    place = shlex.quote(str(folder))
    if files.result.paints:
        return _painting(files, folder)
    scores = files.result.scores
    commands = (
        f"tunesmith chat {place}          # /base, /tuned and /both switch the tuning off and on\n"
        f"tunesmith generate {place} --prompt '...'"
    )
    if scores:
        asked = "rows.jsonl       # of prompt and completion" if files.result.objective == "reward" else "rows.csv"
        commands = f"tunesmith predict {place} --input {asked}"
    if files.result.artifact.mergeable and files.result.method != "full":
        commands += f"\ntunesmith merge {place}         # a plain model that needs no adapter"
    load = "scorer = tunesmith.load_scorer" if scores else "model = tunesmith.load"
    python = f"import tunesmith\n\n{load}({str(folder)!r})"
    parts: list[object] = [listing(commands), paragraph("From Python:"), listing(python)]
    if files.result.method not in NOT_OF_PEFT:
        at = str(folder / Path(files.result.artifact.path).parent)
        parts += [
            paragraph("With PEFT, without tunesmith:"),
            listing(_PEFT.format(adapter=repr(at), kind="SequenceClassification" if scores else "CausalLM")),
        ]
    return joined(parts)


def _painting(files: RunFiles, folder: Path) -> Html:
    place = shlex.quote(str(folder))
    commands = (
        f"tunesmith generate {place} --prompt '...' --count 8 --output pictures\n"
        f"tunesmith generate {place} --prompt '...' --adapter both --output both    # base beside tuned"
    )
    assert files.result is not None and files.result.artifact is not None
    at = str(folder / Path(files.result.artifact.path).parent)
    loading = f"pipeline.load_lora_weights({at!r})"
    parts: list[object] = [listing(commands)]
    if files.result.method == "token":
        loading = f"pipeline.load_textual_inversion({at!r})"  # of SDXL: see the README there
    if files.result.method in ("lora", "token"):
        parts += [paragraph("With diffusers, without tunesmith, over a pipeline of the same base:"), listing(loading)]
    return joined(parts)


_PEFT = """from peft import PeftModel
from transformers import AutoModelFor{kind}

base = AutoModelFor{kind}.from_pretrained("...")  # the base this adapter was trained on
model = PeftModel.from_pretrained(base, {adapter})"""


def environment(files: RunFiles) -> Html:
    known = files.result.environment if files.result else {}
    if not known:
        return missing(files, "result.json", "The machine was not written down")
    return pairs(
        (_plain(key), size(value) if _is_size(key, value) else shown(value)) for key, value in flattened(known)
    )


def _is_size(key: str, value: Any) -> bool:
    return key.endswith("_bytes") and isinstance(value, int)


def _plain(key: str) -> str:
    return key.removesuffix("_bytes").removeprefix("versions.").replace("_", " ")


def notes(files: RunFiles) -> Html | None:
    said = files.result.notes if files.result else []
    return element("ul", *(element("li", sentence) for sentence in said)) if said else None
