import io

import pytest
from rich.console import Console

from tunesmith.report.progress import Progress


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def plain() -> tuple[io.StringIO, Console]:
    file = io.StringIO()
    return file, Console(file=file, force_terminal=False, width=40)


def step(progress: Progress, clock: Clock, number: int, seconds: float = 1.0) -> None:
    clock.now += seconds
    progress.update(number, loss=1 / number, examples=8, tokens=900, peak_memory_bytes=2_100_000_000, step=number)


def test_lines_come_at_a_readable_pace_and_the_first_and_last_always():
    (file, console), clock = plain(), Clock()
    with Progress(100, "training", console, clock) as progress:
        for number in range(1, 101):
            step(progress, clock, number, 0.125)
    lines = file.getvalue().splitlines()
    assert [line.split()[1] for line in lines] == ["1/100", "41/100", "81/100", "100/100"]
    assert lines[1] == "training 41/100  loss 0.02439  64 examples/s  7,200 tokens/s  2.1 GB  7.4 s left"
    assert lines[3].endswith("2.1 GB")


def test_the_last_line_is_shown_when_a_run_stops_early():
    (file, console), clock = plain(), Clock()
    with pytest.raises(KeyboardInterrupt), Progress(100, "training", console, clock) as progress:
        for number in (1, 2, 3):
            step(progress, clock, number)
        raise KeyboardInterrupt
    assert [line.split()[1] for line in file.getvalue().splitlines()] == ["1/100", "3/100"]


def test_time_left_counts_from_where_the_run_went_on():
    (file, console), clock = plain(), Clock()
    with Progress(1000, "training", console, clock) as progress:
        step(progress, clock, 901)
        step(progress, clock, 902, 6.0)
    assert "9 min 48 s left" in file.getvalue()


def test_rates_are_of_the_last_half_minute():
    (file, console), clock = plain(), Clock()
    with Progress(1000, "training", console, clock) as progress:
        for number in range(1, 11):
            step(progress, clock, number, 20.0)
        for number in range(11, 80):
            step(progress, clock, number, 1.0)
    assert file.getvalue().splitlines()[-1].split("  ")[2:4] == ["8 examples/s", "900 tokens/s"]


def test_sentences_stay_between_the_lines():
    file, console = plain()
    with Progress(2, "training", console) as progress:
        progress.update(1)
        progress.say("[red]saved[/red] as checkpoints/1, which is a name much longer than the line")
        progress.update(2)
    assert file.getvalue() == (
        "training 1/2\n[red]saved[/red] as checkpoints/1, which is a name much longer than the line\ntraining 2/2\n"
    )


def test_a_terminal_gets_a_bar():
    file = io.StringIO()
    clock = Clock()
    console = Console(file=file, force_terminal=True, width=110)
    with Progress(4, "training", console, clock) as progress:
        for number in range(1, 5):
            step(progress, clock, number)
            progress.say(f"after {number}")
    text = file.getvalue()
    assert "4/4" in text
    assert "loss 0.25" in text
    assert "after 3" in text
    assert "\x1b" in text
