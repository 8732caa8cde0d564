"""Captions to words: by hand, and the same in Python and in TensorFlow."""

from __future__ import annotations

import collections
import random

import pytest
import tensorflow as tf

from convoy.data import labels
from convoy.models.captioning import tokens

SENTENCES = {
    "A man's dog isn't here, is it?": "a man 's dog is n't here is it",
    "Don't! Can't, won't.": "do n't ca n't wo n't",
    "The dogs' bowl; 'quoted' \"text\"": "the dogs bowl quoted text",
    "A T-shirt - black-and-white -- ok": "a t-shirt black-and-white ok",
    "rock'n'roll at five o'clock": "rock'n'roll at five o'clock",
    "couldn't've i'd've": "could n't 've i 'd 've",
    "I\u2019m \u201chere\u201d\u2026": "i 'm here",
    "already cut : man 's , n't": "already cut man 's n't",
    "3,000 boats (U.S.) a/b": "3 000 boats u s a b",
    "Ein H\u00dcNDCHEN l\u00e4uft\u00a0\u2014 \u4e00\u53ea\u72d7\u3002": (
        "ein h\u00fcndchen l\u00e4uft \u4e00\u53ea\u72d7"
    ),
    "<end> <unknown>": "end unknown",
    " \t\n": "",
    "...": "",
    "'": "",
    "''s--": "'s",
}


@pytest.mark.parametrize("text", SENTENCES)
def test_words_by_hand(text):
    assert " ".join(tokens.words_of(text)) == SENTENCES[text]


def test_python_and_tensorflow_find_the_same_words():
    draw = random.Random(0)
    letters = "ab'-. ,nt srdmvle\u2019\u2026\u00e9\t"
    texts = ["".join(draw.choices(letters, k=draw.randrange(16))) for _ in range(20_000)]
    texts += [f"a{chr(c)}B" for c in range(1, 0x2C00)]  # each sign between two letters
    found = tokens.words(tf.constant([*SENTENCES, *texts])).to_list()
    for text, words in zip([*SENTENCES, *texts], found, strict=True):
        assert [word.decode() for word in words] == tokens.words_of(text), repr(text)


def test_the_vocabulary_has_what_is_frequent():
    counts = collections.Counter({"dog": 5, "a": 9, "cat": 5, "kite": 4})
    words = tokens.vocabulary(counts, 5)
    assert words == ["<end>", "<unknown>", "a", "cat", "dog"]
    assert (words[tokens.END], words[tokens.UNKNOWN]) == tokens.SPECIAL
    assert labels.check(words) == tuple(words)  # as names of classes
    assert all(tokens.words_of(name) != [name] for name in tokens.SPECIAL)
