"""Which layers PEFT's `adapter_config.json` means: its rules for names and patterns, with a bound on patterns.

A list of targets holds full names or ends of names; a string is a regular expression over the full name. In tables of
ranks and alphas the first pattern that matches the end of a name counts. `target_parameters` holds names of parameters
or ends of them: stacked weights, and the weights of linear layers. https://github.com/huggingface/peft
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from torch import nn

from tunesmith.core.errors import UserError, near
from tunesmith.core.headed import outside_head
from tunesmith.core.layers import LinearMap, is_linear_map
from tunesmith.methods.experts import owner, stacks
from tunesmith.methods.inject import ALL_LINEAR, TABLES, find_targets, packed_maps

FILE = "adapter_config.json"
MAX_REPEATS = 5  # of one pattern: the time of a match grows with the length of a name to this power
Value = TypeVar("Value")


def targeted(network: nn.Module, described: Mapping[str, Any]) -> dict[str, str]:
    """-> the full names of the layers and stacked weights that the file means: the names that its patterns match.

    Raises UserError for what the network has not and for what cannot be adapted.
    """
    parameters = described.get("target_parameters") or []
    if parameters and not described.get("target_modules"):
        return _parameters(network, parameters)
    return {name: name for name in _modules(network, described)} | _parameters(network, parameters)


def _modules(network: nn.Module, described: Mapping[str, Any]) -> list[str]:
    targets = described.get("target_modules")
    if not targets:
        raise UserError(f"{FILE}: `target_modules` is missing; write which layers the adapter changes")
    excluded = described.get("exclude_modules") or []
    if isinstance(targets, str) and targets.lower() == ALL_LINEAR:
        linear = [name for name, found in find_targets(network, ALL_LINEAR).items() if isinstance(found, nn.Module)]
        names = [name for name in linear if not _meant(name, excluded, "exclude_modules")]
    else:
        names = [
            name
            for name, _ in outside_head(network)
            if name
            and _meant(name, targets, "target_modules")
            and not _meant(name, excluded, "exclude_modules")
            and (isinstance(targets, str) or _in_layers(name, described))
        ]
    if not names:
        known = {name.rsplit(".", 1)[-1] for name, module in outside_head(network) if is_linear_map(module)}
        shown = targets if isinstance(targets, str) else sorted(targets)[0]
        raise UserError(f"{FILE}: `target_modules` ({shown}, ...) matches no layer of this base{near(shown, known)}")
    for name in names:
        module = network.get_submodule(name)
        if not (is_linear_map(module) or isinstance(module, TABLES)):
            kind = type(module).__name__
            raise UserError(f"{FILE}: `target_modules` means {name}, a {kind}, which cannot be adapted")
    return names


def _parameters(network: nn.Module, wanted: list[str]) -> dict[str, str]:
    """-> name of a stacked weight, or of a linear layer: the name of the parameter."""
    known, found = stacks(network), {}
    for name in _weights(network):
        if not _meant(name, wanted, "target_parameters"):
            continue
        layer = network.get_submodule(owner(name))
        if name in known:
            found[name] = name
        elif isinstance(layer, nn.Linear | LinearMap) and name.endswith(".weight"):
            found[owner(name)] = name
        else:
            kind = type(layer).__name__
            raise UserError(f"{FILE}: `target_parameters` means {name} of a {kind}; only stacked experts and linear "
                            "layers are supported")  # fmt: skip
    if wanted and not found:
        ends = {name.rpartition(".")[2] for name in known}
        raise UserError(
            f"{FILE}: `target_parameters` ({wanted[0]}, ...) matches none of this base{near(wanted[0], ends)}"
        )
    return found


def _weights(network: nn.Module) -> list[str]:
    """-> the names of all parameters, and those that packed weights have where they are not packed."""
    packed = [f"{name}.weight".lstrip(".") for name in packed_maps(network)]
    return [name for name, _ in network.named_parameters(remove_duplicate=False)] + packed


def described_targets(network: nn.Module, wrapped: Mapping[str, nn.Module], targets: list[str]) -> dict[str, list[str]]:
    """-> `target_modules`, and `target_parameters` where it is needed, for the file.

    `wrapped`: name of what stands in the tree for a target or its module: the module that it wraps.
    Short names where they mean the same targets, full names where only some of them were chosen.
    """
    mixture = bool(stacks(network))
    modules = [name for name in targets if name in wrapped and not (mixture and _renamed(name))]
    parameters = [name if name not in wrapped else name + ".weight" for name in targets if name not in modules]
    ends = {name.rpartition(".")[2] for name in modules}
    others = {name for name, _ in network.named_modules() if name.rpartition(".")[2] in ends and name not in modules}
    described = {"target_modules": sorted(modules if others else ends)}
    if parameters:
        described["target_parameters"] = sorted(_shortest(parameters, _parameter_names(network, wrapped)))
    return described


def short_names(network: nn.Module, targets: list[str]) -> list[str]:
    """-> the shortest ends of names (one word, two, or all) that mean the modules `targets` and no others."""
    return sorted(_shortest(targets, [name for name, _ in network.named_modules()]))


def refuse(described: Mapping[str, Any], keys: Iterable[str]) -> None:
    """UserError for a key that would change what the tensors mean."""
    for key in keys:
        if described.get(key):
            raise UserError(f"{FILE}: `{key}` is not supported; merge the adapter with the tool that made it")


# PEFT takes these ends of names for the layers that older transformers had in the place of a mixture's stacked weights.
_OLD_NAMES = {"gate", "w1", "w2", "w3", "gate_proj", "up_proj", "down_proj"}


def _renamed(name: str) -> bool:
    return name.rpartition(".")[2] in _OLD_NAMES


def _parameter_names(network: nn.Module, wrapped: Mapping[str, nn.Module]) -> list[str]:
    """-> the names that the parameters have in the base."""
    inside = tuple(name + "." for name in wrapped)
    names = [name for name in _weights(network) if not name.startswith(inside)]
    return names + [f"{name}.{own}" for name, base in wrapped.items() for own in _weights(base)]


def _shortest(targets: list[str], names: list[str]) -> set[str]:
    """-> for each target its last word, its last two, or all of it: the first that means nothing but targets."""
    meant = set(targets)
    others = [name for name in names if name not in meant]
    taken = {end for name in others for end in _ends(name)}
    return {next((end for end in _ends(name) if end not in taken), name) for name in targets}


def _ends(name: str) -> list[str]:
    words = name.split(".")
    return [words[-1], ".".join(words[-2:])]


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


def any_end(name: str, wanted: str | list[str], key: str) -> bool:
    """PEFT's looser rule of some keys: any text at the end of a name counts, whole words or not."""
    return _meant(name, wanted, key) if isinstance(wanted, str) else name.endswith(tuple(wanted))


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
