import pytest

from tunesmith.report.numbers import METRICS, count, duration, in_order, metric, probability, share, size


@pytest.mark.parametrize(
    ("value", "said"),
    [(0, "0 B"), (999, "999 B"), (1_900_000, "1.9 MB"), (99_960_000, "100 MB"), (999_600, "1.0 MB"), (2.14e9, "2.1 GB"),
     (5e15, "5000 TB")],
)  # fmt: skip
def test_sizes(value, said):
    assert size(value) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (4.2, "4.2 s"), (9.97, "10 s"), (59.6, "1 min 0 s"), (252.3, "4 min 12 s"), (3599.8, "1 h 0 min"),
     (7384, "2 h 3 min"), (200_000, "2 d 8 h")],
)  # fmt: skip
def test_durations(seconds, said):
    assert duration(seconds) == said


def test_shares_and_probabilities():
    assert [share(v) for v in (0, 0.0071, 0.649, 1, 0.00001)] == ["0 %", "0.71 %", "64.9 %", "100 %", "0.0010 %"]
    assert [probability(p) for p in (1e-9, 0.0314, 0.168, 1)] == ["p < 0.001", "p = 0.031", "p = 0.17", "p = 1.00"]
    assert count(135_000_000) == "135,000,000"


def test_values_of_metrics_take_the_decimals_of_the_larger():
    perplexity, accuracy = METRICS["perplexity"], METRICS["accuracy"]
    assert (perplexity.value(11.17), perplexity.value(1.8565, 11.17)) == ("11.17", "1.86")
    assert perplexity.value(1.8565) == "1.857"
    assert perplexity.value(1.01e304) == "1.01e+304"
    assert accuracy.value(0.4512) == "45.1 %"
    assert accuracy.change(0.29) == "+29.0 points"
    assert accuracy.change(-0.29, unit=False) == "\u221229.0"
    assert accuracy.change(-0.00001) == "0.0 points"
    assert METRICS["chrf"].value(43.21) == "43.2"


def test_an_unknown_metric_is_shown_under_its_own_name():
    assert metric("word_error").label == "word error"
    assert in_order(["word_error", "loss", "accuracy"]) == ["accuracy", "loss", "word_error"]
