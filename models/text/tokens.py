"""Sentences to numbers of words, in TensorFlow's string operations: one graph trains and serves.

Words are told apart as in the author's code of Text-CNN (https://arxiv.org/abs/1408.5882): what is
no Latin letter, digit or one of ( ) , ! ? ' ` parts words; 's 've n't 're 'd 'll and each of
( ) , ! ? are words of their own; capitals do not count. Other scripts are therefore lost.
"""

from __future__ import annotations

import collections
from collections.abc import Iterable, Sequence

import tensorflow as tf

from convoy.models.spec import Sentence

EMPTY, UNKNOWN = 0, 1  # numbers; the vocabulary's words follow
RULES = (
    (r"[^A-Za-z0-9(),!?'`]+", " "),
    (r"('s|'ve|n't|'re|'d|'ll)", r" \1"),
    (r"([(),!?])", r" \1 "),
)
AT_ONCE = 4096  # texts


def words(texts: tf.Tensor) -> tf.RaggedTensor:
    """Strings [B] -> their words [B, (any)], in small letters."""
    for pattern, replacement in RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return tf.strings.split(tf.strings.lower(texts))


def vocabulary(texts: Iterable[str]) -> list[str]:
    """All words of the texts, the most frequent first, equally frequent ones by the alphabet."""
    counts: collections.Counter = collections.Counter()
    texts = list(texts)
    for start in range(0, len(texts), AT_ONCE):
        counts.update(words(tf.constant(texts[start : start + AT_ONCE])).flat_values.numpy())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [word.decode() for word, _ in ordered]


class Tokens(tf.Module):
    """Strings [B] -> numbers [B, length] int32: EMPTY, UNKNOWN, or 2 + the vocabulary's index.

    A SavedModel that holds this object holds the vocabulary.
    """

    def __init__(self, vocabulary: Sequence[str], sentence: Sentence):
        super().__init__(name="tokens")
        if not vocabulary:
            raise ValueError("expected a vocabulary of at least one word, got none")
        if len(set(vocabulary)) != len(vocabulary):
            raise ValueError("expected each word of the vocabulary once")
        numbers = tf.range(UNKNOWN + 1, UNKNOWN + 1 + len(vocabulary), dtype=tf.int32)
        self.sentence = sentence
        self.table = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(list(vocabulary)), numbers), UNKNOWN
        )

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        tokens = words(texts)[:, : self.sentence.words]
        numbers = tokens.with_flat_values(self.table.lookup(tokens.flat_values))
        numbers = numbers.to_tensor(EMPTY, shape=[None, self.sentence.words])
        margin = self.sentence.margin
        return tf.pad(numbers, [[0, 0], [margin, margin]], constant_values=EMPTY)
