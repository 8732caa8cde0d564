"""The words that a training learns, and what it says of its captions."""

from __future__ import annotations

import types

import numpy as np
import pytest

from convoy.data.sample import Sample
from convoy.pipeline.tasks import captioning


def sample(name: str, *captions: str) -> Sample:
    return Sample(name, "train", b"", 4, 4, captions=captions)


def model(least: int, longest: int | None = None):
    return types.SimpleNamespace(least_count=least, max_words=longest)


PICTURES = (
    sample("a", "A dog runs.", "The dog!"),
    sample("b", "dog", "...", "a " * 21),
    sample("c"),
)


def test_words_and_counts_by_hand():
    """a 22 times, dog 3, runs and the once: 27 words, of which two are not learnt."""
    labels, counts, told = captioning.labels_of(iter(PICTURES), model(2))
    assert labels == ["<end>", "<unknown>", "a", "dog"]
    assert counts == {
        "pictures": 3,
        "pictures_without_caption": 1,
        "captions": 5,
        "captions_without_words": 1,
        "captions_of_one_word": 1,
        "captions_cut": 1,
        "longest_caption": 21,
        "words": 4,
        "words_learnt": 2,
        "unknown_part": round(2 / 27, 4),
    }
    assert told == [
        "5 captions of 3 pictures: 4 different words, 2 of them occur 2 times or more and are "
        "learnt; 7.4 % of all words are not",
        "1 pictures have no caption: they teach nothing, and are not measured",
        "1 captions hold no word: they teach nothing",
        "1 captions are of one word: they are learnt as they are",
        "1 captions have more than 20 words (model.max_words), up to 21: of each the first 20 are "
        "learnt",
    ]


def test_nothing_odd_is_nothing_said():
    _, counts, told = captioning.labels_of([PICTURES[0]], model(1, 3))
    assert (counts["captions_cut"], counts["unknown_part"], len(told)) == (0, 0.0, 1)


def test_a_least_count_that_nothing_reaches_is_named():
    for pictures in (PICTURES, [PICTURES[2]]):
        with pytest.raises(
            ValueError, match=r"model.least_count 23: no word of \d captions occurs"
        ):
            captioning.labels_of(pictures, model(23))


def test_pictures_without_captions_are_counted_and_not_measured():
    metrics = captioning.Metrics(["<end>", "<unknown>", "a", "dog"])
    answer = {"caption": np.array(b"the dog runs fast", object)}
    for each in (sample("a", "The dog runs fast!"), sample("b"), sample("c", "...")):
        metrics.update(each, answer)
    numbers = metrics.result()
    assert (numbers["pictures"], numbers["without_caption"], numbers["mean_words"]) == (1, 2, 4.0)
    assert numbers["BLEU4"] == pytest.approx(1.0)
    assert captioning.fault(sample("a", "The dog runs fast!"), answer) is None
    assert captioning.fault(sample("b"), answer) is None
    # Of four words one in order, whichever of the references: 1 - 1/4.
    assert captioning.fault(sample("c", "dog a b c"), answer) == pytest.approx(0.75)
