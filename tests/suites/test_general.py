import numpy as np
import pytest
import torch

from tests.families import tiny
from tunesmith.core.batch import Example, pack
from tunesmith.models.language import CausalLM
from tunesmith.suites.calibration import BINS, gap
from tunesmith.suites.general import cut
from tunesmith.suites.memorisation import PREFIX, RUN, SHORTEST, extracted
from tunesmith.suites.texts import EACH, domains


def test_a_distribution_holds_what_the_model_says_of_the_labels():
    example = Example([5, 9, 30, 4, 7], [False, False, True, True, True], 1)
    for family in ("llama", "gpt2"):
        for way in ("packed", "padded"):
            model = CausalLM(tiny(family).eval(), way).eval()
            logs = model.distribution(pack([example]))
            assert torch.allclose(logs.exp().sum(-1), torch.ones(3), atol=1e-5)
            with torch.no_grad():
                said = model(pack([example]))
            assert torch.allclose(logs.gather(1, torch.tensor([[30], [4], [7]]))[:, 0], said, atol=1e-4)


def test_the_domains_need_no_download():
    found = domains()
    for name in ("speeches", "docstrings", "code"):
        texts = [item["text"] for item in found if item["domain"] == name]
        assert len(set(texts)) == EACH
    assert all("def " in item["text"] for item in found if item["domain"] == "code")
    assert found == domains()


def test_of_a_long_text_the_end_is_read():
    long = Example(list(range(500)), [False] + [True] * 499, 3)
    short = cut(long, 256)
    assert list(short.tokens) == list(range(244, 500)) and not short.trained[0] and all(short.trained[1:])
    assert cut(long, 4096).tokens[-1] == 499 and len(cut(long, 4096)) == 300
    assert cut(Example([1, 2], [False, True], 0), 256).tokens == [1, 2]


def test_extracted_is_what_follows_word_for_word():
    assert extracted([False] * PREFIX + [True] * SHORTEST) is True
    assert extracted([True] * PREFIX + [True] * (SHORTEST - 1) + [False]) is False
    assert extracted([True] * (PREFIX + SHORTEST - 1)) is None
    assert extracted([True] * (PREFIX + RUN) + [False]) is True


def test_the_gap_between_sureness_and_truth_by_hand():
    row = np.zeros((1, 2, 3 * BINS))
    row[0, 0, 0], row[0, 0, BINS], row[0, 0, 2 * BINS] = 4, 0.2, 1  # 4 tokens, surely wrong: 0.05 each; one is right
    row[0, 1, 14], row[0, 1, BINS + 14], row[0, 1, 2 * BINS + 14] = 6, 5.7, 6
    assert gap(row)[0] == pytest.approx((abs(1 - 0.2) + abs(6 - 5.7)) / 10)
