"""The parts of the report about pictures: what base and tuned model paint, and the loss at each noise level."""

import base64
from collections.abc import Mapping
from pathlib import Path

from tunesmith.report.folder import RunFiles
from tunesmith.report.markup import Html, element, joined, paragraph, table
from tunesmith.report.suites_table import compared

_LARGEST = 4 << 20  # bytes of a grid that is put into the page
_SHOWN = 6  # grids of the course


def before_after(files: RunFiles) -> Html | None:
    """-> the grids of base and tuned model side by side; None where nothing was painted."""
    found: dict[str, Path] = {name: files.pictures[name] for name in ("base", "tuned") if name in files.pictures}
    if not found:
        return None
    note = "A row for each prompt, a column for each seed; the same noise on both sides."
    prompts = files.prompts
    parts: list[object] = [paragraph(note, class_="note")]
    if prompts:
        parts.append(element("ol", *(element("li", prompt) for prompt in prompts)))
    parts.append(grids(found))
    return joined(parts)


def grids(found: Mapping[str, Path]) -> Html:
    """-> pictures side by side, each with its title; one that is gone is said."""
    return element("div", *(_figure(path, name) for name, path in found.items()), class_="grids")


def subject(files: RunFiles) -> Html | None:
    """-> what was found of the subject that was learned; None where nobody judged."""
    found = files.result.fidelity if files.result is not None else {}
    if not found:
        return None
    rows = [(*name.partition(".")[::2], metric) for name, metric in found.items()]
    note = "Base and tuned model at the same prompts and noise; pictures and scales are in suites.html."
    return joined([compared(rows), paragraph(note, class_="note")])


def course(files: RunFiles) -> Html | None:
    """-> grids that were painted on the way."""
    names = sorted(name for name in files.pictures if name.startswith("step-"))
    if not names:
        return None
    most = min(_SHOWN, len(names))
    some = [names[round(place * (len(names) - 1) / max(1, most - 1))] for place in range(most)]
    figures = (_figure(files.pictures[name], f"step {int(name.removeprefix('step-'))}") for name in some)
    return element("div", *figures, class_="grids")


def levels(files: RunFiles) -> Html | None:
    """-> the loss of base and tuned model at each noise level."""
    base, tuned = (files.levels.get(side) for side in ("base", "tuned"))
    if not base or not tuned or len(base) != len(tuned):
        return None
    rows = [
        (f"{100 * (place + 0.5) / len(base):.0f} %", f"{one:.4f}", f"{two:.4f}", f"{two - one:+.4f}")
        for place, (one, two) in enumerate(zip(base, tuned, strict=True))
    ]
    note = "On pictures that were held out, with noise that never changes; 100 % is noise alone."
    return joined([paragraph(note, class_="note"), table(("Noise level", "Base", "Tuned", "Change"), rows, (1, 2, 3))])


def _figure(path: Path, caption: str) -> Html:
    if not path.is_file():
        return element("figure", element("figcaption", f"{caption}: {path.name} is gone"))
    data = path.read_bytes()
    if len(data) > _LARGEST:
        return element("figure", element("figcaption", f"{caption}: {path.name} is too large for this page"))
    source = "data:image/png;base64," + base64.b64encode(data).decode()
    return element("figure", element("img", src=source, alt=caption), element("figcaption", caption))
