"""Many adapters over one base: all of them resident, any of them in use, the base never copied.

    shelf = Shelf(network, fingerprint)
    a, b = shelf.load(Path("a")), shelf.load(Path("b"))  # what they are called is a hash of what they hold
    shelf.use(a)                                         # switch
    shelf.use((a, 0.5), b)                               # stack, with strengths
    with shelf.rows([a, b, None]):                       # one batch, each row with its own
        network(input_ids=...)
    shelf.off()                                          # the base's own modules stand in the tree again

The layers of an adapter are built once and kept beside the tree. To use them is to put twins of them there, the same
tensors over another module: over the base's, or over the layer of the adapter before.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from tunesmith.attached import attach_read, other_base
from tunesmith.core.errors import UserError
from tunesmith.core.layers import Quantization
from tunesmith.core.virtual import NAME, VirtualTokens
from tunesmith.export.adapter import base_fingerprint, base_quantize, read_adapter
from tunesmith.export.identity import identity
from tunesmith.methods.inject import wrapped
from tunesmith.methods.layer import Layer
from tunesmith.methods.mixed import Batch, Mixed, MixedTokens
from tunesmith.methods.virtual import hang, take_down

Use = str | tuple[str, float]
"""The beginning of an id that no other id has, alone or with a strength."""
Stack = tuple[tuple[str, float], ...]
"""Ids with their strengths, the innermost first; nothing is the base."""
SHORT = 12  # characters of an id that are shown


@dataclass(frozen=True, slots=True)
class Adapter:
    """One adapter on the shelf."""

    id: str  # sha256 of what it holds
    folder: Path  # where it was read
    kind: str  # PEFT's word for it, in small letters
    layers: dict[str, Layer]  # by the name of the module that each stands for
    tokens: VirtualTokens | None  # what it puts before every text
    notes: tuple[str, ...]  # what is doubtful about it over this base


class Shelf:
    """The adapters of one network, which is frozen and in evaluation mode. Move it to its device before the first."""

    def __init__(
        self, network: nn.Module, fingerprint: str | None = None, quantize: Quantization | None = None
    ) -> None:
        self.network, self.fingerprint, self.quantize = network, fingerprint, quantize
        self.adapters: dict[str, Adapter] = {}
        self.in_use: Stack = ()
        self._bases: dict[str, nn.Module] = {}  # what stood in the tree, by name, wherever a layer stands now

    def load(self, folder: Path, *, insist: bool = False) -> str:
        """Read an adapter and keep it. -> its id; the same numbers are kept once, whatever they are called.

        Raises UserError, with everything as it was, for what cannot be read, does not fit, or was trained on another
        base; `insist` loads it over another base of the same shapes, with a warning. So does a base that is packed
        otherwise than the one it was trained on.
        """
        described, tensors = read_adapter(folder)
        known = identity(described, tensors)
        if known in self.adapters:
            return known
        other = other_base(folder, self.fingerprint)
        if other and not insist:
            raise UserError(f"{folder}: {other}; name the base that it was trained on, or insist (--insist)")
        with self.only():
            try:
                method = attach_read(self.network, described, tensors, folder)
            except UserError as error:
                raise UserError(str(error) if str(folder) in str(error) else f"{folder}: {error}") from error
            layers = dict(wrapped(self.network, Layer))
            tokens = getattr(self.network, NAME, None)
            method.detach(self.network)
        for part in (*layers.values(), *filter(None, [tokens])):
            part.eval().requires_grad_(False)
        notes = tuple(filter(None, [other, self._packed_otherwise(folder)]))
        for note in notes:
            warnings.warn(f"{folder}: {note}", stacklevel=2)
        kind = described["peft_type"].lower()
        self.adapters[known] = Adapter(known, folder, kind, layers, tokens, notes)
        return known

    def _packed_otherwise(self, folder: Path) -> str | None:
        trained = base_quantize(folder)
        if base_fingerprint(folder) is None or trained == self.quantize:
            return None
        was, now = (f"in {one}" if one else "in its own precision" for one in (trained, self.quantize))
        return f"trained over its base {was}, and used over one {now}"

    def remove(self, wanted: str) -> None:
        """Let go of an adapter; it leaves the stack that is in use."""
        gone = self.find(wanted)
        self._put(tuple(part for part in self.in_use if part[0] != gone))
        del self.adapters[gone]

    def find(self, wanted: str) -> str:
        """-> the id that begins with `wanted`. Raises UserError when none does, or more than one."""
        found = [known for known in self.adapters if wanted and known.startswith(wanted)]
        if len(found) == 1:
            return found[0]
        here = ", ".join(known[:SHORT] for known in (found or self.adapters)) or "none"
        what = f"`{wanted}` is the beginning of {len(found)} ids" if found else f"no adapter here has the id `{wanted}`"
        raise UserError(f"adapter: {what}; here {'is' if len(found or self.adapters) == 1 else 'are'} {here}")

    def use(self, *wanted: Use) -> None:
        """Put these adapters into the tree, and no other: each over the one before, with its strength, 1 by default."""
        self._put(self._stack(wanted))

    def off(self) -> None:
        """The base as it was, module for module."""
        self._put(())

    @contextmanager
    def only(self, *wanted: Use) -> Iterator[None]:
        """These adapters inside the block, those of before behind it. None given: the base."""
        before = self.in_use
        self.use(*wanted)
        try:
            yield
        finally:
            self._put(before)

    @contextmanager
    def rows(self, wanted: Sequence[Use | list[Use] | None]) -> Iterator[None]:
        """Inside the block each row of a batch has its own adapter, a list of them for a stack, or with None the base.

        Calls of the network must have as many rows as `wanted`, side by side and padded.
        """
        stacks = [self._stack(_listed(one)) for one in wanted]
        different = list(dict.fromkeys(stacks))
        ways = [different.index(stack) for stack in stacks]
        batch, before = Batch(len(stacks)), self.in_use
        tokens = self._mixed_tokens(stacks)
        self.off()
        hooks = [
            self.network.register_forward_pre_hook(batch.begin, with_kwargs=True),
            self.network.register_forward_hook(batch.end, always_call=True),
        ]
        try:
            for name in self._names(different):
                base = self._covered(name)
                modules = [self._over(base, name, stack) for stack in different]
                self.network.set_submodule(name, Mixed(base, modules, ways, batch).eval())
            if tokens is not None:
                hang(self.network, tokens)
            yield
        finally:
            for hook in hooks:
                hook.remove()
            self._put(before)

    def _mixed_tokens(self, stacks: Sequence[Stack]) -> MixedTokens | None:
        each = [self._tokens(stack) for stack in stacks]
        if not any(each):
            return None
        config: Any = self.network.config
        if getattr(config.get_text_config(), "sliding_window", None) is not None:
            raise UserError("rows: virtual tokens over a base with a sliding window cannot be mixed; ask one by one")
        return MixedTokens(each)

    def _tokens(self, stack: Stack) -> VirtualTokens | None:
        return next((tokens for known, _ in stack if (tokens := self.adapters[known].tokens) is not None), None)

    def _put(self, stack: Stack) -> None:
        if hasattr(self.network, NAME):
            take_down(self.network)
        for name, base in reversed(self._bases.items()):
            self.network.set_submodule(name, base)
        self._bases.clear()
        for name in self._names([stack]):
            self.network.set_submodule(name, self._over(self._covered(name), name, stack))
        if (tokens := self._tokens(stack)) is not None:
            hang(self.network, tokens)
        self.in_use = stack

    def _covered(self, name: str) -> nn.Module:
        """-> the base's module of that name, which is remembered to be put back."""
        self._bases[name] = self.network.get_submodule(name)
        return self._bases[name]

    def _over(self, base: nn.Module, name: str, stack: Stack) -> nn.Module:
        module = base
        for known, strength in stack:
            if (layer := self.adapters[known].layers.get(name)) is not None:
                module = layer.over(module, strength)
        return module

    def _names(self, stacks: Sequence[Stack]) -> list[str]:
        """-> where layers go, inner modules before those that hold them."""
        names = {name: None for stack in stacks for known, _ in stack for name in self.adapters[known].layers}
        return sorted(names, key=lambda name: -name.count("."))

    def _stack(self, wanted: Sequence[Use]) -> Stack:
        named = [(one, 1.0) if isinstance(one, str) else one for one in wanted]
        stack = tuple((self.find(known), float(strength)) for known, strength in named)
        if len({known for known, _ in stack}) < len(stack):
            raise UserError("adapter: one of them is named twice; name it once, with a strength")
        virtual = [strength for known, strength in stack if self.adapters[known].tokens is not None]
        if len(virtual) > 1:
            raise UserError("adapter: two with virtual tokens cannot stand over each other; use one of them")
        if virtual and virtual[0] != 1:
            raise UserError(f"adapter: virtual tokens are there or not, a strength of {virtual[0]:g} is none; give 1")
        return stack


def _listed(one: Use | list[Use] | None) -> Sequence[Use]:
    if one is None:
        return ()
    return one if isinstance(one, list) else (one,)
