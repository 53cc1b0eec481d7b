"""`tunesmith best-of`: rows for SFT from sampled answers."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import PLAIN, write_rows

Folder = Callable[[str], Path]


@pytest.fixture
def prompts(tmp_path: Path) -> Path:
    rows = [{"prompt": f"say {i}", "answer": str(i)} for i in range(9)]
    rows.append({"messages": [{"role": "user", "content": "say it"}, {"role": "assistant", "content": "old"}]})  # type: ignore[dict-item]
    return write_rows(tmp_path / "prompts.jsonl", rows)


@pytest.fixture
def reward(tmp_path: Path) -> str:
    (tmp_path / "my.py").write_text("def vowels(p, answer, row):\n    return sum(c in 'aeiou' for c in answer)\n")
    return f"{tmp_path}/my.py:vowels"


def test_the_best_of_n_is_kept(
    tunesmith: Command, tiny_folder: Folder, prompts: Path, reward: str, tmp_path: Path
) -> None:
    base, found = tiny_folder("llama"), {}
    for n in (1, 6):
        output = tmp_path / f"best-{n}.jsonl"
        words = ("best-of", base, "--data", prompts, "--reward", reward, "--n", n, "--output", output)
        said = tunesmith(*words, "--max-tokens", 8)
        assert said.status == 0 and " rows of 10 prompts; one answer is worth" in said.out
        found[n] = [json.loads(line) for line in output.read_text().splitlines()]
    assert set(found[6][0]) == {"prompt", "completion", "reward"}
    assert found[6][9]["messages"][-1] == {"role": "assistant", "content": found[6][9]["messages"][-1]["content"]}
    assert len(found[6][9]["messages"]) == 2 and found[6][9]["messages"][-1]["content"] != "old"
    # The first of six is the one that is drawn alone: more can only be better.
    alone = {row["prompt"]: row["reward"] for row in found[1] if "prompt" in row}
    several = {row["prompt"]: row["reward"] for row in found[6] if "prompt" in row}
    assert all(several[prompt] >= alone[prompt] for prompt in alone) and sum(several.values()) > sum(alone.values())
    for row in found[6][:9]:
        assert sum(c in "aeiou" for c in row["completion"]) == row["reward"]

    plain = write_rows(
        tmp_path / "sft.jsonl", [{k: v for k, v in row.items() if k != "reward"} for row in found[6][:9]]
    )
    assert tunesmith("train", "--base", base, "--data", plain, "--output", tmp_path / "run", *PLAIN).status == 0


def test_rows_below_a_reward_are_left_out(
    tunesmith: Command, tiny_folder: Folder, prompts: Path, reward: str, tmp_path: Path
) -> None:
    words = [
        "best-of",
        tiny_folder("llama"),
        "--data",
        prompts,
        "--reward",
        f"{reward}=0.5",
        "--reward",
        "length:1-9=0",
    ]
    said = tunesmith(*words, "--output", tmp_path / "x.jsonl")
    assert said.status == 2 and "the weight of `length:1-9` is 0.0" in said.err
    words = ["best-of", tiny_folder("llama"), "--data", prompts, "--reward", reward, "--output", tmp_path / "y.jsonl"]
    said = tunesmith(*words, "--n", 2, "--max-tokens", 4, "--at-least", 100)
    assert said.status == 2 and "no answer is worth 100" in said.err and not (tmp_path / "y.jsonl").exists()


@pytest.mark.parametrize(
    ("rows", "reward", "message"),
    [
        ([{"text": "a"}], "length:1-2", "needs a text `prompt`"),
        ([{"prompt": "a"}], "exact", "row 1: the reward `exact` cannot judge it"),
        ([{"prompt": "a"}], "exactly", "`exactly` is no verifier"),
    ],
)
def test_what_is_refused(
    tunesmith: Command, tiny_folder: Folder, tmp_path: Path, rows: list[dict[str, str]], reward: str, message: str
) -> None:
    source = write_rows(tmp_path / "rows.jsonl", rows)
    said = tunesmith(
        "best-of", tiny_folder("llama"), "--data", source, "--reward", reward, "--output", tmp_path / "out.jsonl"
    )
    assert said.status == 2 and message in said.err and not (tmp_path / "out.jsonl").exists()
