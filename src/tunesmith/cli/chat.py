"""`tunesmith chat`: talk with the tuned model, the base, or both."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.drawing import MinP, Penalty, Seed, Stop, Temperature, Tokens, TopK, TopP, drawing
from tunesmith.cli.generate import NAMES, Model
from tunesmith.cli.stack import Insist, With, put_over, told_apart

if TYPE_CHECKING:
    from tunesmith.loaded import Loaded, Side
    from tunesmith.models.sampling import Sampling

HELP = """/tuned  the tuned model answers
/base   the base answers
/both   the base, then the tuned model; the talk goes on from the tuned answer
/adapters  those that are loaded, and which of them are in use
/use ID[=STRENGTH] ...  these adapters and no other, by the beginning of their ids
/reset  forget what was said
/quit   leave (so does Ctrl-D)"""


def chat(
    model: Model,
    system: Annotated[str | None, typer.Option(help="A system message.")] = None,
    max_tokens: Tokens = 512,
    temperature: Temperature = 0.0,
    top_k: TopK = None,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    penalty: Penalty = 1.0,
    seed: Seed = 0,
    stop: Stop = None,
    over: With = None,
    insist: Insist = False,
) -> None:
    """Talk, with /base, /tuned and /both to switch the adapter off and on."""
    from tunesmith.cli.ending import to_stderr
    from tunesmith.loaded import load

    sampling = drawing(
        stop=stop, tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p,
        repetition_penalty=penalty, seed=seed,
    )  # fmt: skip
    loaded = load(model, say=to_stderr)
    put_over(loaded, over, insist)
    talk = Talk(loaded, sampling, system)
    if sys.stdin.isatty():
        import readline  # noqa: F401 - lines can be edited once it is there

        print(f"{talk.who} answers; /help lists what else you can say")
    while (line := _heard()) is not None and talk.hear(line):
        pass


def _heard() -> str | None:
    """The next line, or None at the end."""
    try:
        return input("> " if sys.stdin.isatty() else "").strip()
    except EOFError:
        return None


@dataclass
class Talk:
    """A conversation and who answers in it."""

    loaded: "Loaded"
    sampling: "Sampling"
    system: str | None = None
    sides: tuple["Side", ...] = ("on",)
    turns: list[dict[str, str]] = field(default_factory=list)

    @property
    def who(self) -> str:
        if not self.loaded.has_sides:
            return self.loaded.name
        return " and ".join(f"the {'base' if side == 'off' else 'tuned model'}" for side in self.sides)

    def hear(self, line: str) -> bool:
        """Answer, or do what a command says. -> whether the talk goes on."""
        if line.startswith("/"):
            return self._command(line)
        if line:
            self._answer(line)
        return True

    def _command(self, line: str) -> bool:
        commands: dict[str, Callable[[], None]] = {
            "/base": lambda: self._switch("off"),
            "/tuned": lambda: self._switch("on"),
            "/both": lambda: self._switch("off", "on"),
            "/adapters": lambda: print(self._listed()),
            "/reset": self.turns.clear,
            "/help": lambda: print(HELP),
        }
        if line in ("/quit", "/exit"):
            return False
        if line in commands:
            commands[line]()
        elif line.split()[0] == "/use":
            self._use(line.split()[1:])
        else:
            print(f"`{line}` is no command; /help lists them")
        return True

    def _switch(self, *sides: "Side") -> None:
        if not self.loaded.has_sides:
            print(f"{self.loaded.name} is a base: nothing is attached to it")
            return
        self.sides = sides
        print(f"{self.who} answer{'s' if len(sides) == 1 else ''} now")

    def _listed(self) -> str:
        from tunesmith.shelf import SHORT

        used = dict(self.loaded.shelf.in_use)
        lines = [
            f"{one.id[:SHORT]}  {one.kind}  {one.folder}" + (f"  in use at {used[one.id]:g}" if one.id in used else "")
            for one in self.loaded.adapters
        ]
        return "\n".join(lines) or "no adapter is loaded; begin with `tunesmith chat ... --with ADAPTER`"

    def _use(self, words: list[str]) -> None:
        from tunesmith.core.errors import UserError

        try:
            self.loaded.use(*map(told_apart, words))
        except UserError as error:
            print(f"tunesmith: {error}", file=sys.stderr)
        else:
            self.sides = ("on",)
            print(self._listed())

    def _answer(self, line: str) -> None:
        from tunesmith.core.errors import UserError

        self.turns.append({"role": "user", "content": line})
        try:
            self._forget_what_is_too_long()
            answer = [self._written(side) for side in self.sides][-1]
        except UserError as error:
            print(f"tunesmith: {error}", file=sys.stderr)
            self.turns.pop()
        except KeyboardInterrupt:  # stops this answer, not the talk
            print()
            self.turns.pop()
        else:
            if answer.strip():
                self.turns.append({"role": "assistant", "content": answer})
            else:  # an empty turn could not be shown to the model again
                self.turns.pop()

    def _written(self, side: "Side") -> str:
        if len(self.sides) > 1:
            print(f"{NAMES[side]}: ", end="")
        pieces = []
        for piece in self.loaded.stream(self._shown(), adapter=side, sampling=self.sampling):
            print(piece, end="", flush=True)
            pieces.append(piece)
        print(flush=True)
        return "".join(pieces)

    def _shown(self) -> list[dict[str, str]]:
        return ([{"role": "system", "content": self.system}] if self.system else []) + self.turns

    def _forget_what_is_too_long(self) -> None:
        """Leave room for the answer: the oldest question and its answer go first."""
        forgotten = 0
        room = self.loaded.context - min(self.sampling.tokens, self.loaded.context // 2)
        while len(self.turns) > 1 and len(self.loaded.asked(self._shown())) > room:
            del self.turns[:2]
            forgotten += 1
        if forgotten:
            print(f"(the first {forgotten} questions no longer fit and are forgotten)", file=sys.stderr)
