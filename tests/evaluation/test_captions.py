"""Metrics of captions by hand, and against COCO's own implementation in Python."""

from __future__ import annotations

import json
import math
import pathlib

import pytest

from convoy.pipeline.evaluation.captions import Captions, ngrams, rouge_l, words_of_references
from tests.parity.caption_metrics import pictures

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden/caption_metrics.json").read_text())


def words(text: str) -> list[str]:
    return text.split()


def measured(pairs) -> dict:
    metrics = Captions()
    for answer, references in pairs:
        metrics.update(answer, references)
    return metrics.result()


@pytest.mark.parametrize("seed", sorted(GOLDEN))
def test_the_numbers_of_cocos_own_metrics(seed):
    """They add 1e-9 to the words answered, which moves BLEU by less than 1e-9 of itself a word."""
    found = measured(pictures(int(seed)))
    assert found.pop("pictures") == 40
    assert found == pytest.approx(GOLDEN[seed], rel=1e-8)
    assert 0.1 < found["BLEU4"] < found["BLEU1"] < 1


def test_bleu_by_hand():
    """The paper's first example: "the" seven times, of which the reference has two."""
    answer, reference = ["the"] * 7, words("the cat is on the mat")
    assert ngrams(answer, 1)["the",] == 7
    found = measured([(answer, [reference, words("there is a cat on the mat")])])
    assert found["BLEU1"] == pytest.approx(2 / 7)
    assert found["BLEU2"] == 0.0
    # Three words of four, of a reference that is twice as long.
    short = measured([(words("a b c x"), [words("a b c d e f g h")])])
    assert short["BLEU1"] == pytest.approx(3 / 4 * math.exp(1 - 8 / 4))
    assert short["BLEU2"] == pytest.approx(math.sqrt(3 / 4 * 2 / 3) * math.exp(-1))
    # Of references of 3 and 5 words an answer of 4 is measured with the shorter.
    near = measured([(list("abcd"), [list("abcde"), list("abc")])])
    assert near["BLEU4"] == pytest.approx(1.0)


def test_rouge_by_hand():
    """Lin 2004, section 3.1: police killed the gunman / police kill the gunman: 3 of 4 in order."""
    answer = words("police kill the gunman")
    assert rouge_l(answer, [words("police killed the gunman")]) == pytest.approx(0.75)
    # The gunman kill police: "the gunman", 2 of 4; the best recall is another reference's, 2 of 2.
    other = words("the gunman kill police")
    both = [words("police killed the gunman"), ["the", "gunman"]]
    precision, recall = 2 / 4, 2 / 2
    expected = (1 + 1.2**2) * precision * recall / (recall + 1.2**2 * precision)
    assert rouge_l(other, both) == pytest.approx(expected)
    assert rouge_l([], both) == rouge_l(["dog"], both) == 0.0


def test_cider_by_hand():
    """Two pictures; "a" is in both, so it says nothing; the rest is as rare as can be.

    The first answer is its reference of 5 words: cosine 1 for each n. Of the second, of 2 words
    where its reference has 5, 1-grams have "w" of w x y z, 2-grams "a w" of four: the cosine of
    each is 1 / (1 * sqrt(4)).
    """
    pairs = [(words("a b c d e"), [words("a b c d e")]), (["a", "w"], [words("a w x y z")])]
    first = 10 * 1.0
    far = math.exp(-(3**2) / (2 * 6**2))
    second = 10 * far * (1 / 2 + 1 / 2 + 0 + 0) / 4
    assert measured(pairs)["CIDEr_D"] == pytest.approx((first + second) / 2)


def test_one_picture_has_no_cider():
    """Every n-gram is in every picture's references."""
    assert measured([(list("abcde"), [list("abcde")])])["CIDEr_D"] == 0.0


def test_without_a_picture_and_without_words():
    none = measured([])
    assert {none[name] for name in none if name != "pictures"} == {None}
    silent = measured([([], [list("abcd")])])
    assert {value for name, value in silent.items() if name != "pictures"} == {0.0}
    assert words_of_references(("A dog.", "...", "")) == [["a", "dog"]]
