"""Answers along the fast walk: packed prompts fill a cache, and each step adds one place to every row.

What all prompts begin with (virtual tokens, a system message) is computed once; so is a prompt that is asked more than
once while one of its answers is still in the cache.

Shapes: R slots, B rows that are being written, T tokens of packed prompts, N tokens that all of them begin with,
L layers, H heads, K key/value heads, D width of a head, V vocabulary.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tunesmith.core.batch import WORTH_SHARING, Example, pack
from tunesmith.core.virtual import virtual_of
from tunesmith.models.attention import Packing
from tunesmith.models.cache import Cache, Sizes, Step
from tunesmith.models.language import behind, logit_shape, rounded, rung
from tunesmith.models.thin import Switch
from tunesmith.models.walk import mixing, serves, through, way_of, window_of

LEAST = 4  # rows of a product: fewer take another kernel, which rounds otherwise
PASS = 2048  # tokens of prompts that are read in one pass
STEADY = ("default", "linear", "llama3", "yarn")  # rotations that do not depend on the length of the text
Prompt = tuple[int, ...]


def walks(network: Any) -> bool:
    """Whether this file serves `network`."""
    rope = getattr(network.config, "rope_parameters", None) or {}
    return serves(network) and rope.get("rope_type", "default") in STEADY


class PackedRows:
    """The rows that are being written, up to `slots` of them; a slot can be filled while its neighbours go on."""

    refills = True

    def __init__(self, network: Any, slots: int, prompts: Sequence[Sequence[int]], switch: Switch) -> None:
        """`prompts`: all that will come, for what they have in common."""
        self.network, self.switch = network, switch
        self.embed, self.head = network.get_input_embeddings(), network.get_output_embeddings()
        self.device, self.shape = self.embed.weight.device, logit_shape(network.config)
        heads = network.config.num_key_value_heads
        width = network.model.layers[0].self_attn.head_dim
        sizes = Sizes(len(network.model.layers), heads, width, network.dtype, self.device)
        self.cache = Cache(sizes, max(slots, LEAST))
        self.lengths = [0] * self.cache.slots  # places that are filled
        self.held: list[Prompt | None] = [None] * self.cache.slots  # whose keys a slot has, ended or not
        self.first: dict[Prompt, Tensor] = {}  # what follows each of those, (V,)
        self.prefix: Tensor | None = None  # (N, 2 L, K, D)
        self.virtual = self._read_virtual()  # places before the first token
        self.common = self._read_common(prompts)  # tokens

    def fill(self, rows: Sequence[int], prompts: Sequence[Sequence[int]]) -> Tensor:
        """Begin a row with each prompt. -> (n, V), the logits of what follows, float32."""
        wanted = list(map(tuple, prompts))
        self.cache.make_room(self.virtual + max(map(len, wanted)) + 1)
        where: dict[Prompt, list[int]] = {}
        for row, prompt in zip(rows, wanted, strict=True):
            where.setdefault(prompt, []).append(row)
        self._copy_those_that_are_here(where)
        missing = {prompt: slots for prompt, slots in where.items() if self.held[slots[0]] != prompt}
        for some in _passes(list(missing), self.common):
            self._read_prompts(some, [missing[prompt] for prompt in some])
        for row, prompt in zip(rows, wanted, strict=True):
            self.held[row], self.lengths[row] = prompt, self.virtual + len(prompt)
        self.first = {prompt: self.first[prompt] for prompt in self.held if prompt is not None}
        return torch.stack([self.first[prompt] for prompt in wanted])

    def step(self, tokens: Sequence[int]) -> Tensor:
        """Read the newest token of each row. -> (B, V), what follows."""
        count = max(len(tokens), LEAST)
        padded = torch.tensor([*tokens, *[0] * (count - len(tokens))], device=self.device)
        lengths = torch.tensor(self.lengths[:count], device=self.device)
        self.cache.make_room(max(self.lengths[:count]) + 1)
        step = Step(self.cache, lengths)

        def mix(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = step.write(attention.layer_idx, k, v)
            grouped = q.view(count, k.shape[1], -1, q.shape[-1])  # (B, K, G, D): the queries of a group are its rows
            mask = step.mask(window_of(attention))
            mixed = F.scaled_dot_product_attention(grouped, keys, values, mask, scale=attention.scaling)
            return mixed.reshape(q.shape)

        x = self.embed(padded)
        self.switch.on = True
        logits = self._logits(through(self.network, x, way_of(self.network, x, lengths, mix), None))
        self.switch.on = False
        for row in range(len(tokens)):
            self.lengths[row] += 1
        return logits[: len(tokens)]

    def move(self, source: int, target: int) -> None:
        """A row goes on in another slot."""
        self.cache.copy(source, [target], self.lengths[source])
        self.held[target], self.lengths[target] = self.held[source], self.lengths[source]

    def _copy_those_that_are_here(self, where: dict[Prompt, list[int]]) -> None:
        """Asked again while a slot still has it. A slot that is about to hold another prompt is no source."""
        taken = {row: prompt for prompt, rows in where.items() for row in rows}
        here = {p: row for row, p in enumerate(self.held) if p in where and taken.get(row, p) == p}
        for prompt, source in here.items():
            self.cache.copy(source, where[prompt], self.virtual + len(prompt))
            for row in where[prompt]:
                self.held[row] = prompt

    def _read_prompts(self, prompts: Sequence[Prompt], where: Sequence[Sequence[int]]) -> None:
        known, begun = len(self.common), self._begun
        examples = [Example(p[known:], [False] * (len(p) - known), row) for row, p in enumerate(prompts)]
        batch = pack(examples, share=True)
        shared, ends = batch.shared, torch.tensor(batch.lengths).cumsum(0).tolist()
        targets = _targets(batch.lengths, shared, begun, where)
        source, slots, places = (torch.tensor(one, device=self.device) for one in targets)

        def store(layer: int, k: Tensor, v: Tensor) -> None:
            self.cache.put(layer, slots, places, k.index_select(0, source), v.index_select(0, source))

        if self.prefix is not None:
            self.cache.spread([row for rows in where for row in rows], self.prefix)
        batch = behind(batch, begun, own_places=False)
        batch = rounded(batch, self._filled(len(batch.tokens))).to(self.device)
        packing = Packing.of(batch.lengths, None, shared, self.prefix)
        last = [shared + end - 1 for end in ends]
        wanted = torch.tensor([*last, *last[-1:] * (LEAST - len(last))], device=self.device)
        hidden = self._through(self.embed(batch.tokens), batch.positions, packing, store, wanted)
        self.first.update(zip(prompts, self._logits(hidden), strict=False))

    def _through(
        self, x: Tensor, positions: Tensor, packing: Packing, store: "Store", wanted: Tensor | None = None
    ) -> Tensor:
        packed = mixing(packing)

        def mix(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            store(attention.layer_idx, k, v)
            return packed(attention, q, k, v)

        return through(self.network, x, way_of(self.network, x, positions, mix), wanted)

    def _logits(self, hidden: Tensor) -> Tensor:
        logits = self.head(hidden)
        return (logits if self.shape is None else self.shape(logits)).float().cpu()

    @property
    def _begun(self) -> int:
        """How many places each row has before its own prompt."""
        return 0 if self.prefix is None else len(self.prefix)

    def _filled(self, tokens: int) -> int:
        """-> the length that a pass of so many tokens is filled up to, see `rounded`."""
        if self.device.type == "cpu" and self.network.dtype == torch.bfloat16:
            return rung(tokens)
        return -(-tokens // LEAST) * LEAST

    def _read_virtual(self) -> int:
        virtual = virtual_of(self.network)
        if virtual is None:
            return 0
        keys_values, embeddings = virtual.keys_values(), virtual.embeddings()
        if keys_values is not None:
            self.prefix = keys_values.to(self.network.dtype)
        if embeddings is not None:
            self._go_on(embeddings.to(self.network.dtype))
        return virtual.count

    def _read_common(self, prompts: Sequence[Sequence[int]]) -> Prompt:
        common = _common(prompts)
        if len(common) * (len(set(map(tuple, prompts))) - 1) < WORTH_SHARING:
            return ()
        self._go_on(self.embed(torch.tensor(common, device=self.device)))
        return common

    def _go_on(self, x: Tensor) -> None:
        """Put (n, width) embeddings behind the prefix."""
        n, idle = len(x), self._filled(len(x)) - len(x)
        x = torch.cat([x, x[-1:].expand(idle, -1)])
        seen: list[Tensor] = []
        positions = torch.arange(self._begun, self._begun + n + idle, device=self.device)
        packing = Packing.of([n + idle], None, 0, self.prefix)
        self._through(x, positions, packing, lambda _, k, v: seen.extend((k[:n], v[:n])))
        own = torch.stack(seen, 1)  # (n, 2 L, K, D)
        self.prefix = own if self.prefix is None else torch.cat([self.prefix, own])


Store = Callable[[int, Tensor, Tensor], None]


def _common(prompts: Sequence[Sequence[int]]) -> Prompt:
    """-> what all begin with; the last token of each is its own."""
    texts = [tuple(prompt) for prompt in prompts]
    least, most = min(texts), max(texts)  # what these two share lies in all
    length = 0
    while length < min(map(len, prompts)) - 1 and least[length] == most[length]:
        length += 1
    return least[:length]


def _passes(prompts: Sequence[Prompt], common: Prompt) -> Iterator[list[Prompt]]:
    """Parts of at most `PASS` tokens, but at least one prompt."""
    some: list[Prompt] = []
    for prompt in prompts:
        if some and sum(map(len, some)) + len(prompt) - (len(some) + 1) * len(common) > PASS:
            yield some
            some = []
        some.append(prompt)
    if some:
        yield some


def _targets(
    lengths: Sequence[int], shared: int, begun: int, where: Sequence[Sequence[int]]
) -> tuple[list[int], list[int], list[int]]:
    """-> for each place that is to be filled: the token of the packed row, the slot, the place in it."""
    source: list[int] = []
    slots: list[int] = []
    places: list[int] = []
    start = shared
    for length, rows in zip(lengths, where, strict=False):  # a last, idle example is nobody's
        tokens = [*range(shared), *range(start, start + length)]
        for row in rows:
            source += tokens
            slots += [row] * len(tokens)
            places += range(begun, begun + len(tokens))
        start += length
    return source, slots, places
