"""Which layers PEFT's `adapter_config.json` means: its rules for names and patterns, with a bound on patterns.

A list of targets holds full names or ends of names; a string is a regular expression over the full name. In tables of
ranks and alphas the first pattern that matches the end of a name counts. https://github.com/huggingface/peft
"""

import re
from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

from tunesmith.core.errors import UserError, near
from tunesmith.core.layers import is_linear_map
from tunesmith.methods.inject import ALL_LINEAR, find_linear

FILE = "adapter_config.json"
MAX_REPEATS = 5  # of one pattern: the time of a match grows with the length of a name to this power
Value = TypeVar("Value")


def targeted(network: nn.Module, described: Mapping[str, Any]) -> list[str]:
    """-> the full names of the layers that the file means, in the order of the tree. Raises UserError."""
    targets = described.get("target_modules")
    if not targets:
        raise UserError(f"{FILE}: `target_modules` is missing; write which layers the adapter changes")
    excluded = described.get("exclude_modules") or []
    if isinstance(targets, str) and targets.lower() == ALL_LINEAR:
        names = [name for name in find_linear(network, ALL_LINEAR) if not _meant(name, excluded, "exclude_modules")]
    else:
        names = [
            name
            for name, _ in network.named_modules()
            if name
            and _meant(name, targets, "target_modules")
            and not _meant(name, excluded, "exclude_modules")
            and (isinstance(targets, str) or _in_layers(name, described))
        ]
    if not names:
        known = {name.rsplit(".", 1)[-1] for name, module in network.named_modules() if is_linear_map(module)}
        shown = targets if isinstance(targets, str) else sorted(targets)[0]
        raise UserError(f"{FILE}: `target_modules` ({shown}, ...) matches no layer of this base{near(shown, known)}")
    for name in names:
        if not is_linear_map(module := network.get_submodule(name)):
            kind = type(module).__name__
            raise UserError(f"{FILE}: `target_modules` means {name}, a {kind}; only linear layers are supported")
    return names


def first_match(name: str, table: Mapping[str, Value], default: Value, key: str) -> Value:
    """The value of the first pattern of `table` that matches `name` or its end."""
    for pattern, value in table.items():
        if _expression(rf"(.*\.)?({pattern})$", pattern, key).match(name):
            return value
    return default


def _meant(name: str, wanted: str | list[str], key: str) -> bool:
    if isinstance(wanted, str):
        return _expression(wanted, wanted, key).fullmatch(name) is not None
    return any(name == end or name.endswith("." + end) for end in wanted)


def _in_layers(name: str, described: Mapping[str, Any]) -> bool:
    """`layers_to_transform` keeps only some of the numbered layers."""
    wanted = described.get("layers_to_transform")
    if wanted is None or wanted == []:
        return True
    patterns = described.get("layers_pattern") or [r"[^.]*"]
    for pattern in [patterns] if isinstance(patterns, str) else patterns:
        whole = rf"(?:^|.*?\.){pattern}\.(\d+)\."
        if found := _expression(whole, pattern, "layers_pattern").match(name):
            return int(found[1]) in ([wanted] if isinstance(wanted, int) else wanted)
    return False


def _expression(whole: str, written: str, key: str) -> re.Pattern[str]:
    """Compile a pattern from a file that a stranger may have made: one that could run for years is refused."""
    repeats = re.findall(r"(?<!\\)(?:\\\\)*[*+{]", written)
    if len(repeats) > MAX_REPEATS or re.search(r"\)[*+{]", written):
        raise UserError(f"{FILE}: `{key}` has a pattern with too many repeats; list the names of the layers instead")
    try:
        return re.compile(whole)
    except (re.error, RecursionError, OverflowError) as error:
        raise UserError(f"{FILE}: `{key}` has a broken pattern ({error}); list the names of the layers") from error
