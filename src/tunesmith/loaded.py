"""A model to use: the base with what a run made of it, each to be switched off.

model = load("runs/quickstart")
print(model.generate("A question"), model.generate("A question", adapter="off"))
other = model.add("runs/other/adapter")  # many adapters over one base
print(model.generate("A question", adapter=other))
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from tunesmith.bases import load_base, resolve
from tunesmith.catalogue.fetch import default_cache
from tunesmith.core.batch import pack
from tunesmith.core.errors import UserError
from tunesmith.data.config import Data
from tunesmith.data.encode import Encoder
from tunesmith.data.forms import Conversation, Message
from tunesmith.data.messages import ROLES
from tunesmith.data.rows import Row
from tunesmith.export.adapter import FACTS, adapter_head, base_quantize
from tunesmith.export.peft_config import NAME as ADAPTER
from tunesmith.export.peft_config import parse_object
from tunesmith.models.answer import spelled
from tunesmith.models.generate import AT_ONCE, Sampling, generate, step_by_step
from tunesmith.models.language import CausalLM
from tunesmith.models.load import Base, Place, Say
from tunesmith.models.load import load_base as load_place
from tunesmith.models.precision import choose
from tunesmith.models.stops import pieces
from tunesmith.opening import CHOICES, RECIPE, read_run_recipe
from tunesmith.outcome import finished
from tunesmith.recipe import Recipe
from tunesmith.shelf import Adapter, Shelf, Use

Turn = Mapping[str, str]  # {"role": ..., "content": ...}
Prompt = str | Sequence[Turn]
Side = str
"""`on`: what is in use; `off`: the base; or the beginning of the id of one adapter on the shelf."""
Asked = Literal["auto", "float32", "bfloat16"]
GROUP = 64  # prompts whose answers are written before the first of them is handed out
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True)
class Loaded:
    """A network that answers. `adapter="off"` is the base as it was before the run."""

    network: Any
    tokenizer: Any
    name: str
    context: int  # the most tokens, prompt and answer together
    kind: Literal["adapter", "model", "base"]  # what the run made; `base`: nothing, there is no other side
    shelf: Shelf  # the adapters over `network`; the one that was trained is among them
    _encoder: Encoder
    _open_base: Callable[[], Any] | None = None  # of a whole model: the base is another network
    _held: list[Any] = field(default_factory=list)

    @contextmanager
    def adapter_off(self) -> Iterator[Any]:
        """Inside the block the network that is yielded is the base."""
        if self.kind == "model":
            assert self._open_base is not None
            if not self._held:
                self._held.append(self._open_base())
            yield self._held[0]
        else:
            with self.shelf.only():
                yield self.network

    @contextmanager
    def side(self, adapter: Side) -> Iterator[Any]:
        if adapter == "off":
            with self.adapter_off() as network:
                yield network
        elif adapter == "on":
            yield self.network
        else:
            with self.shelf.only(adapter):
                yield self.network

    def add(self, place: str | Path, *, insist: bool = False) -> str:
        """Load another adapter, or the one of another run, beside those that are here. -> its id.

        It is not in use yet. `insist` loads one that was trained on another base of the same shapes.
        """
        return self.shelf.load(adapter_folder(Path(place)), insist=insist)

    def use(self, *wanted: Use) -> None:
        """From now on `adapter="on"` means these: pairs with a strength or ids alone, stacked if there are several."""
        self.shelf.use(*wanted)

    @property
    def has_sides(self) -> bool:
        """Whether there is something to switch off."""
        return self.kind != "base" or bool(self.shelf.in_use)

    @property
    def adapters(self) -> list[Adapter]:
        """Those on the shelf, in the order in which they were loaded."""
        return list(self.shelf.adapters.values())

    def generate(self, prompt: Prompt, *, adapter: Side = "on", sampling: Sampling | None = None, **how: Any) -> str:
        """The answer to a text, or to turns of `role` and `content`.

        `how` are the fields of `Sampling`: tokens (the longest answer), temperature (0: the likeliest), top_k, top_p,
        min_p, repetition_penalty, seed, stop, schema. Raises UserError when the prompt leaves no room for an answer.
        """
        return "".join(self.stream(prompt, adapter=adapter, sampling=sampling, **how))

    def stream(
        self, prompt: Prompt, *, adapter: Side = "on", sampling: Sampling | None = None, **how: Any
    ) -> Iterator[str]:
        """As `generate`, in pieces while they are written."""
        tokens, sampling = self._room(self.asked(prompt)), replace(sampling or Sampling(), **how)
        with self.side(adapter) as network:
            steps = step_by_step(network, [tokens], self.stop, sampling, tokenizer=self.tokenizer)
            with closing(steps):
                yield from pieces(steps, spelled(self.tokenizer), sampling.stop)

    def generate_all(
        self,
        prompts: Sequence[Prompt],
        *,
        adapter: Side | Sequence[Side] = "on",
        sampling: Sampling | None = None,
        **how: Any,
    ) -> Iterator[str]:
        """An answer to each prompt, in order; some are written side by side, which changes none of them.

        `adapter` may be a list: one for each prompt.
        """
        asked, sampling = [self._room(self.asked(one)) for one in prompts], replace(sampling or Sampling(), **how)
        if not isinstance(adapter, str) and len(adapter) != len(asked):
            raise UserError(f"adapter: {len(adapter)} of them for {len(asked)} prompts; give one for each")
        step = GROUP if isinstance(adapter, str) else AT_ONCE  # of a mixed batch all rows stand side by side
        for start in range(0, len(asked), step):
            part = slice(start, start + step)
            more: dict[str, Any] = {"seeds": range(len(asked))[part], "tokenizer": self.tokenizer}
            with self._sides(adapter if isinstance(adapter, str) else adapter[part]) as network:
                written = generate(network, asked[part], self.stop, sampling, **more)
            yield from (one.text or "" for one in written)  # outside: whoever reads them may use another side

    @contextmanager
    def _sides(self, adapter: Side | Sequence[Side]) -> Iterator[Any]:
        """`side`, or a side for each row of a batch."""
        if isinstance(adapter, str):
            with self.side(adapter) as network:
                yield network
            return
        if self.kind == "model" and "off" in adapter:
            raise UserError("adapter: the base of a full fine-tune is another model; ask it alone, with adapter=off")
        ways: dict[str, Any] = {"on": list(self.shelf.in_use), "off": None}
        with self.shelf.rows([ways.get(side, side) for side in adapter]):
            yield self.network

    def logprob(self, prompt: Prompt, answer: str, *, adapter: Side = "on") -> float:
        """log p(answer | prompt) in nats, the token that ends the answer included, as it was trained."""
        turns = (*(replace(turn, weight=0) for turn in _messages(prompt)), Message("assistant", answer))
        encoded = self._encoder.encoded(_conversation(prompt, turns), ask=False)
        assert encoded is not None, "an example that is too long is refused"
        with self.side(adapter) as network, torch.no_grad():
            batch = pack(encoded.examples).to(network.device)
            return float(CausalLM(network, "padded")(batch).double().sum())

    def asked(self, prompt: Prompt) -> list[int]:
        """-> the tokens that stand before the answer."""
        turns = _messages(prompt)
        if turns[-1].role == "assistant":
            raise UserError("prompt: the last message is the assistant's; it must be the one to answer")
        return self._encoder.asked(_conversation(prompt, turns))

    @property
    def stop(self) -> set[int]:
        """The tokens that end an answer."""
        return {token for token in (self._encoder.stop, self.tokenizer.eos_token_id) if token is not None}

    def _room(self, asked: list[int]) -> list[int]:
        if (count := len(asked)) >= self.context:
            raise UserError(f"prompt: {count} tokens, and the model reads {self.context} with the answer; shorten it")
        return asked


def load(
    place: str | Path, *, base: str | None = None, precision: Asked | None = None, say: Say | None = None
) -> Loaded:
    """The run in the folder `place`, an adapter's folder, or a base by its name or path.

    `base`: what an adapter belongs to, when it lies elsewhere now. `precision`: None for the run's own, or for the one
    that is fast here. `say` hears what takes long. Raises UserError when there is nothing to use: no such thing, a run
    that did not end well, an adapter of another base.
    """
    folder, say = Path(place), say or _silent
    if (folder / RECIPE).is_file():
        return _of_run(folder, base, _dtype(folder, precision), say)
    if (folder / ADAPTER).is_file() and not (folder / "config.json").is_file():
        if adapter_head(folder) is not None:
            raise _scores_only(folder)
        dtype, packed = _dtype(None, precision), base_quantize(folder)
        opened = load_base(base or base_of(folder), dtype=dtype, say=say, quantize=packed)
        return _tuned(opened, folder, Data(train="prompt"))
    if base is not None:
        raise UserError(f"{place}: neither a run nor an adapter, so that no base belongs to it")
    resolve(str(place), allow_download=None, say=say)  # refuses before the machine is measured
    return _whole(load_base(str(place), dtype=_dtype(None, precision), say=say), "base", Data(train="prompt"))


def _scores_only(place: Path) -> UserError:
    return UserError(f"{place}: scores texts and writes none; use `tunesmith predict`, or load_scorer in Python")


def finished_run(folder: Path) -> tuple[Recipe, Path]:
    """-> the recipe of a run that ended well, and the folder of what it made. Raises UserError for any other."""
    recipe, result = read_run_recipe(folder), finished(folder)
    if result is None or result.artifact is None:
        raise UserError(f"{folder}: this run did not end well; see its result.json, and give its command again")
    artifact = (folder / result.artifact.path).parent
    if not artifact.is_dir():
        raise UserError(f"{folder}: {artifact.name}/ is gone from this run; train it again")
    return recipe, artifact


def adapter_folder(place: Path) -> Path:
    """-> `place`, or what the run in it made. Raises UserError for a run of full fine-tuning."""
    if not (place / RECIPE).is_file():
        return place
    recipe, artifact = finished_run(place)
    if recipe.method.kind == "full":
        raise UserError(f"{place}: a full fine-tune is a whole model, not an adapter; `adapters extract` makes one")
    return artifact


def base_of(adapter: Path) -> str:
    """-> the name of the base that an adapter's own files give. Raises UserError when they give none."""
    own = adapter / FACTS
    found = parse_object(own).get("base", {}).get("name") if own.is_file() else None
    found = found or parse_object(adapter / ADAPTER).get("base_model_name_or_path")
    if not isinstance(found, str) or not found:
        raise UserError(f"{adapter}: does not say what base it belongs to; name it with --base")
    return found


def _of_run(folder: Path, base: str | None, dtype: torch.dtype, say: Say) -> Loaded:
    recipe, artifact = finished_run(folder)
    if recipe.objective.ending == "pictures":
        raise UserError(f"{folder}: paints pictures and writes no text; use `tunesmith generate`")
    if recipe.objective.ending != "words":
        raise _scores_only(folder)
    name, allowed = base or recipe.base, recipe.allow_download or None
    if recipe.method.kind != "full":
        packed = base_quantize(artifact)
        opened = load_base(name, dtype=dtype, allow_download=allowed, say=say, quantize=packed)
        return _tuned(opened, artifact, recipe.texts)
    whole = load_place(Place(str(folder), artifact), dtype=dtype, cache=default_cache(), say=say)

    def original() -> Any:
        network = load_base(name, dtype=dtype, allow_download=allowed, say=say).network
        return network.to(whole.network.device)

    return _whole(whole, "model", recipe.texts, original)


def _tuned(base: Base, adapter: Path, data: Data) -> Loaded:
    tuned = _whole(base, "adapter", data)
    tuned.use(tuned.add(adapter))
    return tuned


def _whole(
    base: Base, kind: Literal["adapter", "model", "base"], data: Data, original: Callable[[], Any] | None = None
) -> Loaded:
    network = base.network.to("cuda" if torch.cuda.is_available() else "cpu").eval()
    asking = data.model_copy(update={"train_on": "assistant", "too_long": "refuse", "max_length": None})
    encoder = Encoder(asking, base.tokenizer, base.context)
    shelf = Shelf(network, base.fingerprint, base.quantize)
    return Loaded(network, base.tokenizer, base.name, base.context, kind, shelf, encoder, original)


def _dtype(run: Path | None, asked: Asked | None) -> torch.dtype:
    if asked is None and run is not None and (run / CHOICES).is_file():
        kept = json.loads((run / CHOICES).read_text(encoding="utf-8"))
        return _DTYPES[kept["train.precision"]["value"]]
    return choose(asked or "auto", torch.device("cuda" if torch.cuda.is_available() else "cpu")).dtype


def _messages(prompt: Prompt) -> tuple[Message, ...]:
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if not turns:
        raise UserError("prompt: empty")
    for turn in turns:
        if turn.get("role") not in ROLES:
            raise UserError(f"prompt: unknown role `{turn.get('role')}`; known are {', '.join(ROLES)}")
        if not isinstance(turn.get("content"), str) or not turn["content"].strip():
            raise UserError(f"prompt: the message of the {turn['role']} is empty")
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)


def _conversation(prompt: Prompt, turns: tuple[Message, ...]) -> Conversation:
    alone = prompt if isinstance(prompt, str) else None
    if alone is None and [turn.role for turn in _messages(prompt)] == ["user"]:
        alone = turns[0].content
    return Conversation(Row("prompt", 1, {}), turns, plain=alone)


def _silent(line: str) -> None:
    """A program has no one to talk to."""
