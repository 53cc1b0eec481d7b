import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import CHRF

from tunesmith.evaluate import text


def test_exact_match_looks_through_white_space_and_nothing_else():
    answers = ["a  b\n", "a b", "A b", "a b.", ""]
    assert text.exact_match(answers, ["a b"] * 5) == [1, 1, 0, 0, 0]


def test_rouge_l_by_hand():
    # longest common subsequence: the cat on the mat = 5 of 6 words on each side
    assert text.rouge_l(["the cat lay on the mat"], ["the cat sat on the mat"]) == [pytest.approx(5 / 6)]
    # precision 1, recall 2/4
    assert text.rouge_l(["one three"], ["one two three four"]) == [pytest.approx(2 * 0.5 / 1.5)]
    assert text.rouge_l([""], ["one"]) == [0]


def test_rouge_l_is_the_librarys_on_plain_english():
    answer, reference = "Police killed the gunman, quickly.", "the gunman was killed by the police in 2003"
    expected = RougeScorer(["rougeL"]).score(reference, answer)["rougeL"].fmeasure
    assert text.rouge_l([answer], [reference]) == [expected]


@pytest.mark.parametrize("sentence", ["Вопрос решён", "質問に答えた", "σήμερα το βράδυ", "Fähre über Öre", "ภาษาไทย"])
def test_rouge_l_reads_every_script(sentence):
    assert text.rouge_l([sentence], [sentence]) == [1]
    assert text.rouge_l([sentence[:-1]], [sentence])[0] < 1


def test_chrf_is_sacrebleus():
    assert text.chrf(["the cat", "dog"], ["the cat", "cat"])[0] == pytest.approx(100)
    assert text.chrf(["the cat sat"], ["the cat sat on"]) == [
        CHRF().sentence_score("the cat sat", ["the cat sat on"]).score
    ]
    # only the single characters: none of `dog` is in `cat`
    assert text.chrf(["dog"], ["cat"]) == [0]
