"""General text that needs no download: speeches that ship, and the docstrings and functions of Python's own library."""

import ast
import hashlib
import json
import sysconfig
import warnings
from collections.abc import Iterator
from pathlib import Path

from tunesmith.catalogue.fetch import fetch
from tunesmith.suites.suite import Item

EACH = 60  # texts of each domain
MODULES = 50  # that are read: enough for so many texts
WORDS = range(40, 130)  # of a docstring
LINES = range(8, 25)  # of a function


def domains() -> list[Item]:
    """-> {domain, text}: `speeches`, `docstrings` and `code`, which this Python came with."""
    path = fetch("state-of-the-union", allow_download=False)
    found: list[Item] = [
        {"domain": "speeches", "text": json.loads(line)["text"]}
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    docstrings, functions = [], []
    for docstring, function in _functions(Path(sysconfig.get_paths()["stdlib"])):
        if len(docstring.split()) in WORDS:
            docstrings.append(docstring)
        if function.count("\n") in LINES:
            functions.append(function)
    for domain, texts in (("docstrings", docstrings), ("code", functions)):
        found += [{"domain": domain, "text": text} for text in sorted(set(texts), key=_draw)[:EACH]]
    return found


def _functions(folder: Path) -> Iterator[tuple[str, str]]:
    """-> docstring and source of the functions and classes of the modules at the top. They are read, never run."""
    for path in sorted(folder.glob("*.py"), key=lambda path: _draw(path.name))[:MODULES]:
        source = path.read_text(encoding="utf-8", errors="replace")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of code that is not ours
                tree = ast.parse(source)
        except SyntaxError:
            continue
        lines = source.split("\n")
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                whole = "\n".join(lines[node.lineno - 1 : node.end_lineno])
                yield ast.get_docstring(node) or "", whole if isinstance(node, ast.FunctionDef) else ""


def _draw(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
