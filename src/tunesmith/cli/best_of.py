"""`tunesmith best-of`: several answers to each prompt, the best of them as rows for SFT."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tunesmith.cli.drawing import MinP, Penalty, Seed, TopK, TopP, drawing

if TYPE_CHECKING:
    from tunesmith.best_of import Best

Model = Annotated[
    str, typer.Argument(metavar="RUN|BASE", help="A run folder, an adapter, or a base.", show_default=False)
]


def best_of(
    model: Model,
    data: Annotated[str, typer.Option(help="Rows with `prompt` or `messages`, or a name of the catalogue.")],
    reward: Annotated[
        list[str], typer.Option(help="A verifier, my.py:function, or a folder; again for a sum, as NAME=WEIGHT.")
    ],
    output: Annotated[Path, typer.Option(help="The new .jsonl file.")],
    n: Annotated[int, typer.Option("--n", min=1, help="Answers to each prompt.")] = 8,
    at_least: Annotated[
        float | None, typer.Option(help="Leave rows out whose best answer is worth less.", show_default="keep all")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="The longest answer.")] = 64,
    temperature: Annotated[float, typer.Option(min=0.01, help="1 draws as the model says.")] = 1.0,
    top_k: TopK = None,
    top_p: TopP = 1.0,
    min_p: MinP = 0.0,
    penalty: Penalty = 1.0,
    seed: Seed = 0,
    reward_seconds: Annotated[float, typer.Option(min=0.01, help="The time that one judgement may take.")] = 10.0,
) -> None:
    """Sample answers, keep the best of each prompt, and write rows to fine-tune on."""
    from tunesmith.best_of import best_of as play
    from tunesmith.best_of import prompts_of
    from tunesmith.cli.ending import to_stderr
    from tunesmith.core.errors import UserError
    from tunesmith.core.files import write_text
    from tunesmith.loaded import load
    from tunesmith.rewards.named import open_reward
    from tunesmith.tasks.judging import reward_model

    if output.exists():
        raise UserError(f"{output}: exists already; choose another file or remove it")
    rows = prompts_of(_source(data))
    sampling = drawing(
        tokens=max_tokens, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, repetition_penalty=penalty,
        seed=seed,
    )  # fmt: skip
    found: list[Best] = []
    with open_reward(_spec(reward), seconds=reward_seconds, model=reward_model) as judge:
        loaded = load(model, say=to_stderr)
        for best in play(loaded, rows, judge, answers=n, sampling=sampling):
            found.append(best)
            if len(found) % 32 == 0 or len(found) == len(rows):
                to_stderr(f"{len(found)} of {len(rows)} prompts answered")
    kept = [best for best in found if best.answer and (at_least is None or best.reward >= at_least)]
    if not kept:
        raise UserError(
            f"--at-least: no answer is worth {at_least}; the best is worth {max(b.reward for b in found):g}"
        )
    write_text(output, "".join(json.dumps(best.values, ensure_ascii=False) + "\n" for best in kept))
    print(_summary(output, found, len(kept), n))


def _summary(output: Path, found: list["Best"], kept: int, answers: int) -> str:
    one, best = (sum(values) / len(found) for values in ([b.first for b in found], [b.reward for b in found]))
    flat = sum(b.equal for b in found)
    return (
        f"{output}: {kept} rows of {len(found)} prompts; one answer is worth {one:.4g} on average, the best of "
        f"{answers} {best:.4g}; for {flat} prompts all answers are worth the same"
    )


def _source(data: str) -> Path:
    from tunesmith.catalogue.entries import CATALOGUE
    from tunesmith.catalogue.fetch import fetch

    if data in CATALOGUE and CATALOGUE[data].kind == "data":
        return fetch(data, allow_download=False) / "train.jsonl"
    return Path(data)


def _spec(terms: list[str]) -> str | dict[str, float]:
    """`exact`, or `exact=1.0` and `my.py:brevity=0.2`."""
    from tunesmith.core.errors import UserError

    if len(terms) == 1 and not _weighted(terms[0])[1]:
        return terms[0]
    found: dict[str, float] = {}
    for term in terms:
        name, weight = _weighted(term)
        if name in found:
            raise UserError(f"--reward: `{name}` is given twice")
        found[name] = float(weight or 1)
    return found


def _weighted(term: str) -> tuple[str, str]:
    """-> the name and the weight, where what stands behind the last = is a number."""
    name, equals, weight = term.rpartition("=")
    try:
        float(weight)
    except ValueError:
        return term, ""
    return (name, weight) if equals else (term, "")
