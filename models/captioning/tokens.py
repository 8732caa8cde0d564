"""Captions to words: the same rules in Python and in TensorFlow, for training and for metrics.

Like the Penn Treebank's words in small letters, as COCO's PTBTokenizer of Java gives them for the
metrics: punctuation is left out, 's 're 've 'll 'd 'm and n't are words of their own, hyphens and
apostrophes inside of a word stay. It differs from that tokenizer where that one knows more: here
"3,000" and "U.S." are two words each, "cannot" and "gonna" one, and & % $ # are left out. Words are
parted by blanks and punctuation, so that a sentence of a script without blanks is one word.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

END, UNKNOWN = 0, 1  # numbers of what is no word; the first also begins every sentence
LONGEST = 20  # words of a sentence that are learnt and said, as in im2txt
SPECIAL = ("<end>", "<unknown>")  # no words: < and > part words

# Signs beside ASCII's that part words: blanks, dashes, quotes, and those of other scripts.
_SIGNS = (
    "\u00a0\u00a1\u00ab\u00b7\u00bb\u00bf\u2000-\u200b\u2010-\u2015\u201c-\u201f\u2022\u2026-\u2029"
    "\u3000-\u3003\u3008-\u3011\uff01\uff08\uff09\uff0c\uff0e\uff1a\uff1b\uff1f"
)
_KEPT = "\x01"  # for the apostrophes of words that begin with one, until quotes are gone
# (pattern, replacement), one after the other, of small letters. Of the expressions that RE2 and
# Python's re read alike; a match never needs what another one took.
RULES = (
    ("[\u2018\u2019\u02bc\u00b4`]", "'"),
    (f"[\\x00-&(-,./:-@\\[-_{{-\\x7f{_SIGNS}]", " "),
    (r"['-]+( |$)", " "),
    # Twice: "i'd've" has two of them.
    (r"'(s|re|ve|ll|d|m)( |$)", rf" {_KEPT}\1\2"),
    (r"'(s|re|ve|ll|d|m)( |$)", rf" {_KEPT}\1\2"),
    (r"n't( |$)", rf" n{_KEPT}t\1"),
    (r"(^| )['-]+", " "),
    (r"['-]+( |$)", " "),
    (r"--+", " "),
    (_KEPT, "'"),
)


def words_of(text: str) -> list[str]:
    """The words of one text."""
    text = text.lower()
    for pattern, replacement in RULES:
        text = re.sub(pattern, replacement, text)
    return [word for word in text.split(" ") if word]


def words(texts):
    """Strings [B] -> their words [B, (any)], a RaggedTensor: `words_of` in TensorFlow."""
    import tensorflow as tf

    texts = tf.strings.lower(texts, encoding="utf-8")
    for pattern, replacement in RULES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return tf.strings.split(texts)


def vocabulary(counts: Mapping[str, int], least: int) -> list[str]:
    """What a network may say: SPECIAL, and the words that occur `least` times.

    counts: word -> how often. The most frequent first, equally frequent ones by the alphabet.
    """
    often = sorted((-count, word) for word, count in counts.items() if count >= least)
    return [*SPECIAL, *(word for _, word in often)]
