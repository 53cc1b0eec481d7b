"""YAML of the user as plain values: no objects, no references, no key twice, no more than a person writes."""

from pathlib import Path
from typing import Any

import yaml

from tunesmith.core.errors import UserError

LARGEST = 1 << 20  # bytes of a file


def read_mapping(path: Path, what: str, example: str) -> dict[str, Any]:
    """-> the keys and values of the file. UserError names it; `what` it should be, with an `example` of a line."""
    if not path.is_file():
        raise UserError(f"{path}: no such {what} file")
    if path.stat().st_size > LARGEST:
        raise UserError(f"{path}: larger than a {what} can be ({LARGEST} bytes)")
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=StrictLoader)
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: not UTF-8 at byte {error.start}") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise UserError(f"{path}: a {what} is a list of keys and values, for example `{example}`")
    return values


class StrictLoader(yaml.SafeLoader):
    """Plain values only; a key given twice is an error, and so is a reference (the bomb of many laughs)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if str(key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key `{key.value}` is given twice", key.start_mark
                )
            seen.add(str(key.value))
        return super().construct_mapping(node, deep)

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(
                None, None, "references (*name) are not read", self.peek_event().start_mark
            )
        return super().compose_node(parent, index)
