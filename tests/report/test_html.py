import copy
import json
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml

from tests.report.realistic import documents, realistic, recipe, write_lines
from tunesmith.report.folder import RunFiles
from tunesmith.report.html import page, write_report

EVIL = '<script>alert("x")</script><img src=http://a.b/c onerror=alert(1)>'
FILES = (
    "result.json", "recipe.yaml", "data.json", "evaluation.json", "examples.json", "metrics.jsonl", "timing.jsonl",
)  # fmt: skip


class Page(HTMLParser):
    """Collects what a page is made of, and that it closes what it opens."""

    ALONE = frozenset({"meta", "br", "hr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.words: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in self.ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data + ("" if self.open[-1:] != ["th"] else " "))

    @property
    def text(self) -> str:
        return " ".join("".join(self.words).replace("\u00a0", " ").split())


def page_of(folder) -> Page:
    path = write_report(folder)
    assert path == folder / "report.html"
    found = Page(path.read_text())
    assert not found.open
    return found


def poisoned(value: Any) -> Any:
    """The same document with something evil in each of its strings and keys, numbers as they are."""
    if isinstance(value, dict):
        return {key: poisoned(inner) for key, inner in value.items()} | {EVIL: EVIL}
    if isinstance(value, list):
        return [poisoned(inner) for inner in value]
    return value + EVIL if isinstance(value, str) else value


def test_the_answer_follows_from_the_numbers(tmp_path):
    text = page_of(realistic(tmp_path / "drug-reviews")).text
    assert (
        "The model learned the task: accuracy on 379 held-out rows went from 45.1 % to 74.1 % (always saying the most "
        "frequent label gives 64.9 %); no forgetting could be detected: perplexity on general text went from 21.31 to "
        "21.46; training took 3 min 23 s and at most 2.1 GB of memory, and gave an adapter of 19.6 MB."
    ) in text


def test_every_part_is_there(tmp_path):
    page = page_of(realistic(tmp_path / "drug-reviews"))
    for said in (
        "smollm2-135m, tuned with LoRA", "ended well, proven", "+29.0 points", "+23.2 to +34.8", "p < 0.001",
        "could have seen 0.41", "best 0.7008 at step 75: kept", "3 out of 5 stars.", "= reference", "7.3 % of the base",
        "Every weight that should train has moved.", "tunesmith chat", "bfloat16 was 2.3 times slower", "1,187 trained",
        "3 exact, 5 near", "AMD EPYC", "memory 8.2 GB", "979 rows of labelled text", "Time of validations", "rank 16",
    ):  # fmt: skip
        assert said in page.text, said
    assert page.tags.count("svg") == 7
    assert "is not in this folder" not in page.text


def test_the_page_loads_nothing_and_runs_nothing(tmp_path):
    page = page_of(realistic(tmp_path / "run"))
    assert not {"script", "link", "iframe", "img", "object"} & set(page.tags)
    assert not {"src", "href"} & {name for name, _ in page.attributes}
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes
    assert "@import" not in (tmp_path / "run" / "report.html").read_text()
    assert "url(" not in (tmp_path / "run" / "report.html").read_text()


def test_what_a_run_contains_is_text_and_never_markup(tmp_path):
    folder = realistic(tmp_path / "run")
    for name, value in documents().items():
        evil = poisoned(value)
        if name == "result.json":
            free = ("base", "method", "objective", "environment", "notes")
            evil = value | {key: poisoned(value[key]) for key in free} | {"proof": {EVIL: True}}
            evil["chosen"] = {EVIL: {"value": EVIL, "reason": EVIL}}
            evil["artifact"] = value["artifact"] | {"path": EVIL, "sha256": EVIL}
        (folder / name).write_text(json.dumps(evil))
    (folder / "recipe.yaml").write_text(yaml.safe_dump(poisoned(recipe())))
    lines = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(
        lines + json.dumps({"step": EVIL, "loss": EVIL, "validation_loss": EVIL}) + "\n"
    )
    page = page_of(folder)
    assert not {"script", "img"} & set(page.tags)
    assert not {name for name, _ in page.attributes} & {"onerror", "src"}
    assert page.text.count("<script>") > 30
    assert "damaged" not in page.text


@pytest.mark.parametrize("name", FILES)
def test_a_missing_part_is_said(tmp_path, name):
    folder = realistic(tmp_path / "run")
    (folder / name).unlink()
    assert f"{name} is not in this folder" in page_of(folder).text


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "content", [b"\xff\xfe\x00", b'{"a": [', b'["b"]\n', b"12\n", b"", b'{"before": 3, "parts": 4}\n']
)
def test_a_damaged_part_never_fails_the_report(tmp_path, name, content):
    folder = realistic(tmp_path / "run")
    (folder / name).write_bytes(content)
    assert "tunesmith report of the run" in page_of(folder).text


def test_an_empty_folder_still_gives_a_page(tmp_path):
    text = page_of(tmp_path).text
    assert "What became of this run cannot be said: its result is missing." in text
    assert text.count("is not in this folder") >= len(FILES)


def test_a_report_from_the_result_alone_still_compares(tmp_path):
    folder = realistic(tmp_path / "run")
    (folder / "evaluation.json").unlink()
    assert "+29.0 points" in page_of(folder).text


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"status": "failed", "message": "step 12: the loss is nan"}, "This run failed: step 12: the loss is nan."),
        ({"status": "interrupted"}, "interrupted after 75 steps: the same command goes on with it."),
        ({"status": "failed", "proof": {"frozen_unchanged": False}}, "equal to the last byte. This does not hold."),
        ({"method": "full"}, "tuned with its own weights"),
    ],
)
def test_how_a_run_ended(tmp_path, change, said):
    folder = realistic(tmp_path / "run")
    (folder / "result.json").write_text(json.dumps(documents()["result.json"] | change))
    assert said in page_of(folder).text


@pytest.mark.parametrize(
    ("metric", "verdict", "after", "said"),
    [
        ("accuracy", "worse", 0.30, "The model got worse at the task: accuracy on 379"),
        ("accuracy", "no detectable difference (could have seen 0.1)", 0.47, "45.1 % to 47.0 %, which may be chance"),
        ("accuracy", "better", 0.60, "to 60.0 %, which is no more than always saying the most frequent label gives"),
        (
            "general_perplexity",
            "worse",
            21.5,
            "it forgot a little: perplexity on general text went from 21.31 to 21.50",
        ),
        ("general_perplexity", "worse", 22.5, "it forgot some: perplexity"),
        ("general_perplexity", "worse", 30.0, "it forgot much: perplexity"),
        ("general_perplexity", "better", 20.0, "it forgot nothing that was measured"),
    ],
)
def test_the_words_follow_the_verdict(tmp_path, metric, verdict, after, said):
    folder = realistic(tmp_path / "run")
    changed = documents()["evaluation.json"]
    changed["verdict"][metric], changed["after"][metric] = verdict, after
    (folder / "evaluation.json").write_text(json.dumps(changed))
    assert said in page_of(folder).text


def test_a_best_step_before_the_end_is_told(tmp_path):
    folder = realistic(tmp_path / "run")
    write_lines(folder, 50)
    with (folder / "metrics.jsonl").open("a") as file:
        file.write(json.dumps({"step": 51, "validation_loss": 1.5}) + "\n" + '{"step": 52, "validation_lo')
    assert "lowest at step 50 and rose again after it" in page_of(folder).text


def test_the_cost_is_told_as_far_as_it_is_known(tmp_path):
    folder = realistic(tmp_path / "run")
    for part, said in (
        ("artifact", "3 min 23 s and at most 2.1 GB of memory."),
        ("train", "the run gave an adapter of"),
    ):
        (folder / "result.json").write_text(json.dumps(documents()["result.json"] | {part: None}))
        assert said in page_of(folder).text


def test_a_metric_that_did_not_move_keeps_its_whole_scale(tmp_path):
    folder = realistic(tmp_path / "run")
    changed = documents()["evaluation.json"]
    changed["before"]["exact_match"] = changed["after"]["exact_match"] = 0.0
    changed["difference"]["exact_match"] = {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    (folder / "evaluation.json").write_text(json.dumps(changed))
    assert page_of(folder).text.count("0100 %") == 2  # of exact match and of accuracy


def test_many_and_long_examples_are_cut(tmp_path):
    folder = realistic(tmp_path / "run")
    example = {"row": 1, "prompt": "x" * 2000, "reference": "", "base": None, "tuned": "y"}
    (folder / "examples.json").write_text(json.dumps([example] * 20))
    text = page_of(folder).text
    assert "1,100 more characters" in text
    assert "12 more in examples.json" in text


def places(value: Any, above: tuple = ()) -> Iterator[tuple]:
    """The path of every value inside a document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield (*above, key)
        yield from places(one, (*above, key))


@pytest.mark.parametrize("part", ["data", "evaluation", "examples", "recipe"])
def test_no_value_of_another_kind_fails_the_report(tmp_path, part):
    files = RunFiles.read(realistic(tmp_path / "run"))
    files.metrics = files.metrics[:3]
    whole = getattr(files, part)
    tried = 0
    for path in places(whole):
        if part == "examples" and len(path) == 1:
            continue  # a list of other things is refused when it is read
        for other in (None, "x", -1.5, [1], {"y": 2}, 1e300):
            changed = copy.deepcopy(whole)
            holder = changed
            for key in path[:-1]:
                holder = holder[key]
            holder[path[-1]] = other
            setattr(files, part, changed)
            assert page(files, tmp_path)
            tried += 1
    assert tried > 80
