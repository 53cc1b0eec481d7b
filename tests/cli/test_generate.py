"""`tunesmith generate` and `chat`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.cli.rows import write_rows


@pytest.fixture
def asked(trained: Path) -> list[dict[str, str]]:
    """Questions of the test part, with the answers that the run wrote at its end."""
    found: list[dict[str, str]] = json.loads((trained / "examples.json").read_text())
    return found


def test_answers_are_those_of_the_run(tunesmith: Command, trained: Path, asked: list[dict[str, str]]) -> None:
    said = tunesmith("generate", trained, "--prompt", asked[0]["prompt"], "--adapter", "both", "--max-tokens", "8")
    assert said.status == 0 and said.err == ""
    assert f"tuned: {asked[0]['tuned']}\n" in said.out
    alone = tunesmith("generate", trained, "--prompt", asked[0]["prompt"])
    assert alone.out == asked[0]["tuned"] + "\n"


def test_a_file_of_prompts(tunesmith: Command, trained: Path, asked: list[dict[str, str]], tmp_path: Path) -> None:
    rows = [{"prompt": one["prompt"]} for one in asked]
    rows[1] = {"messages": [{"role": "user", "content": asked[1]["prompt"]}]}  # type: ignore[dict-item]
    source, output = write_rows(tmp_path / "in.jsonl", rows), tmp_path / "out.jsonl"
    words = ["generate", trained, "--input", source, "--output", output, "--adapter", "both", "--max-tokens", "8"]
    assert tunesmith(*words).status == 0
    written = [json.loads(line) for line in output.read_text().splitlines()]
    assert [line["tuned"].strip() for line in written] == [one["tuned"] for one in asked]
    assert all(line["base"] != line["tuned"] for line in written)
    again = tunesmith(*words)
    assert again.status == 2 and "exists already" in again.err


def test_prompts_from_stdin_as_json(tunesmith: Command, trained: Path) -> None:
    said = tunesmith("generate", trained, "--prompt", "-", "--json", "--max-tokens", "4", stdin="one\n\ntwo\n")
    assert [json.loads(line)["prompt"] for line in said.out.splitlines()] == ["one", "two"]


def test_drawing_depends_on_the_seed_alone(tunesmith: Command, trained: Path) -> None:
    def draw(seed: int) -> str:
        words = ("--prompt", "hello", "--temperature", "2", "--seed", seed, "--adapter", "off", "--max-tokens", "12")
        return tunesmith("generate", trained, *words).out

    assert draw(1) == draw(1) != draw(2)


def test_how_an_answer_is_drawn_and_where_it_ends(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    def said(*words: object) -> str:
        found = tunesmith("generate", trained, "--prompt", "hello", "--adapter", "off", "--max-tokens", "40", *words)
        assert found.status == 0, found.err
        return found.out.removesuffix("\n")

    free = said("--temperature", "2")
    assert said("--temperature", "2", "--top-k", "1") == said() == said("--temperature", "1", "--min-p", "1")
    assert said("--temperature", "2", "--repetition-penalty", "5") != free
    middle = free[len(free) // 2 :][:2]
    assert said("--temperature", "2", "--stop", middle) == free[: free.index(middle)]
    schema = tmp_path / "schema.json"
    schema.write_text(
        json.dumps(
            {"type": "object", "properties": {"n": {"enum": [1, 2]}}, "required": ["n"], "additionalProperties": False}
        )
    )
    assert json.loads(said("--schema", schema, "--temperature", "1"))["n"] in (1, 2)


def test_chat_is_drawn_in_the_same_way(tunesmith: Command, trained: Path) -> None:
    words = (
        "--max-tokens",
        "8",
        "--temperature",
        "2",
        "--top-k",
        "9",
        "--min-p",
        "0.01",
        "--repetition-penalty",
        "1.2",
    )
    alone = tunesmith("generate", trained, "--prompt", "hello", *words).out
    assert tunesmith("chat", trained, *words, stdin="hello\n").out == alone
    assert tunesmith("chat", trained, *words, "--stop", alone[:1], stdin="hello\n").out == "\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--top-k", "0"], "top-k"),
        (["--top-k", "5"], "--top-k: at a temperature of 0"),
        (["--min-p", "0.1"], "--min-p: at a temperature of 0"),
        (["--stop", ""], "--stop: an empty text"),
        (["--repetition-penalty", "0"], "repetition-penalty"),
        (["--schema", "nowhere.json"], "nowhere.json: cannot be read"),
        (["--schema", "{"], "not JSON"),
        (["--schema", "[]"], "a schema is a JSON object"),
        (["--schema", '{"type": "nonsense"}'], "Invalid type: nonsense"),
    ],
)
def test_what_cannot_be_drawn_is_refused_before_the_model_is_loaded(
    tunesmith: Command, words: list[str], said: str, tmp_path: Path
) -> None:
    if words[0] == "--schema" and not words[1].endswith(".json"):
        path = tmp_path / "schema.json"
        path.write_text(words[1])
        words = ["--schema", str(path)]
    found = tunesmith("generate", "no-such-model", "--prompt", "x", *words)
    assert found.status == 2 and said in found.err and found.err.count("\n") == 1


def test_a_base_answers_without_an_adapter(tunesmith: Command, tiny_folder: Callable[[str], Path]) -> None:
    base = tiny_folder("qwen3")
    said = tunesmith("generate", base, "--prompt", "hello", "--max-tokens", "4", "--json")
    assert said.status == 0 and "base" in json.loads(said.out)
    both = tunesmith("generate", base, "--prompt", "hello", "--adapter", "both")
    assert both.status == 2 and "nothing is attached" in both.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "one of --prompt and --input"),
        (["--prompt", " "], "empty"),
        (["--prompt", "word " * 400], "tokens, and the model reads 256"),
    ],
)
def test_what_cannot_be_asked(tunesmith: Command, trained: Path, words: list[str], said: str) -> None:
    found = tunesmith("generate", trained, *words)
    assert found.status == 2 and said in found.err


def test_a_row_without_a_prompt_is_named(tunesmith: Command, trained: Path, tmp_path: Path) -> None:
    source = write_rows(tmp_path / "in.jsonl", [{"prompt": "x"}, {"promt": "y"}])
    found = tunesmith("generate", trained, "--input", source)
    assert found.status == 2 and "row 2" in found.err and "has 'promt'" in found.err


def test_chat_switches_sides(tunesmith: Command, trained: Path, asked: list[dict[str, str]]) -> None:
    prompt = asked[0]["prompt"].replace("\n", " ")
    lines = [prompt, "/base", prompt, "/reset", "/both", prompt, "/nonsense", "/help", "/quit", "never read"]
    said = tunesmith("chat", trained, "--max-tokens", "8", stdin="\n".join(lines))
    assert said.status == 0
    assert "the base answers now" in said.out and "the base and the tuned model answer now" in said.out
    assert "base: " in said.out and "tuned: " in said.out
    assert "`/nonsense` is no command" in said.out and "/reset  forget" in said.out and "never" not in said.out


def test_chat_remembers_until_it_is_reset(tunesmith: Command, trained: Path) -> None:
    first = tunesmith("chat", trained, "--max-tokens", "6", stdin="/base\nhello\n").out.splitlines()[-1]
    said = tunesmith("chat", trained, "--max-tokens", "6", stdin="/base\nhi there\nhello\n/reset\nhello\n")
    assert said.status == 0  # the end of stdin is a way to leave
    answers = said.out.splitlines()
    assert answers[-1] == first and first not in answers[1:-1]


def test_chat_forgets_the_oldest_when_the_model_reads_no_more(tunesmith: Command, trained: Path) -> None:
    said = tunesmith("chat", trained, "--max-tokens", "4", stdin="/base\n" + "tell me of the mill\n" * 12)
    assert said.status == 0 and "no longer fit and are forgotten" in said.err
