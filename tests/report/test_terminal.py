import io

from rich.console import Console

from tests.report.realistic import documents
from tunesmith.report.terminal import print_comparison


def printed(evaluation: dict, *, terminal: bool, width: int = 140) -> str:
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=width, color_system="standard" if terminal else None)
    print_comparison(evaluation, console)
    return file.getvalue()


def test_plain_text_is_aligned_and_has_no_control_characters():
    text = printed(documents()["evaluation.json"], terminal=False, width=60)
    lines = text.splitlines()
    assert len(lines) == 7
    assert "\x1b" not in text
    start = lines[0].index("Verdict")
    assert all(line[start - 2 : start] == "  " for line in lines)
    accuracy = next(line for line in lines if line.startswith("Accuracy"))
    assert accuracy.split("  ")[0] == "Accuracy"
    for said in ("45.1 %", "74.1 %", "+29.0 points", "+23.2 to +34.8", "p < 0.001", "better"):
        assert said in accuracy


def test_a_terminal_gets_colour():
    text = printed(documents()["evaluation.json"], terminal=True)
    assert "\x1b[32mbetter" in text
    assert "no detectable difference (could have seen 0.41)" in text


def test_a_narrow_terminal_keeps_a_line_for_each_metric_but_the_longest():
    text = printed(documents()["evaluation.json"], terminal=True, width=80)
    assert "+23.2 to +34.8" in text
    assert "p < 0.001" not in text
    assert "could have seen" not in text
    assert len(text.splitlines()) <= 9


def test_nothing_to_compare_is_said():
    assert printed({}, terminal=False) == "Base and tuned model were not compared.\n"


def test_a_metric_without_interval():
    text = printed({"before": {"[bold]x": 1.0}, "after": {"[bold]x": 2.0}}, terminal=True)
    assert "[bold]x" in text
    assert "+1.000" in text
