"""How close sentences are to those that people wrote: BLEU, ROUGE-L and CIDEr-D, as COCO has them.

BLEU-1 to BLEU-4: Papineni 2002 https://aclanthology.org/P02-1040 over the whole split: n-grams of
the answer, each as often as in the reference that has it most often, over all n-grams answered;
their geometric mean for 1..n; shorter answers than the closest references (of equally close ones
the shorter) are punished by exp(1 - r / c). An n without any match gives 0.
ROUGE-L: Lin 2004 https://aclanthology.org/W04-1013, section 3: from the longest common subsequence,
the best precision and the best recall over the references, joined with beta = 1.2; the mean of the
pictures.
CIDEr-D: Vedantam 2014 https://arxiv.org/abs/1411.5726, section 3 and its appendix: TF-IDF vectors
of 1- to 4-grams, cut to the reference's, with a Gaussian of the difference of lengths (sigma 6),
times 10. How rare an n-gram is, is counted among the references of this split: of a split of one
picture, or of pictures with the same references, every number is 0.

METEOR is not computed: it is a program in Java with tables of its own, and so is SPICE.
Words are those of models/captioning/tokens.py.
"""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence
from typing import Any

from convoy.models.captioning.tokens import words_of

MOST = 4  # words of an n-gram
BETA, SIGMA = 1.2, 6.0
Words = Sequence[str]


class Captions:
    """All metrics, picture by picture. Of each picture it keeps its sentences, as one text."""

    def __init__(self):
        self._pairs: list[str] = []  # the answer and the references, a line each
        self._matched, self._answered = [0] * MOST, [0] * MOST
        self._length = self._closest = 0
        self._rouge = 0.0

    def update(self, answer: Words, references: Sequence[Words]) -> None:
        """Words answered, and those of one reference or more."""
        for n in range(1, MOST + 1):
            own = ngrams(answer, n)
            most: collections.Counter = collections.Counter()
            for reference in references:
                most |= ngrams(reference, n)
            self._matched[n - 1] += sum((own & most).values())
            self._answered[n - 1] += sum(own.values())
        self._length += len(answer)
        lengths = (len(reference) for reference in references)
        self._closest += min(lengths, key=lambda length: (abs(length - len(answer)), length))
        self._rouge += rouge_l(answer, references)
        self._pairs.append("\n".join(" ".join(words) for words in (answer, *references)))

    def result(self) -> dict[str, Any]:
        """Each metric in 0..1, but CIDEr_D in 0..10; None without a picture."""
        count = len(self._pairs)
        names = (*(f"BLEU{n}" for n in range(1, MOST + 1)), "ROUGE_L", "CIDEr_D")
        if not count:
            return {**dict.fromkeys(names), "pictures": 0}
        values = (*self._bleu(), self._rouge / count, self._cider())
        return {**dict(zip(names, values, strict=True)), "pictures": count}

    def _bleu(self) -> list[float]:
        short = self._length < self._closest
        penalty = math.exp(1 - self._closest / self._length) if self._length and short else 1.0
        found = []
        for n in range(1, MOST + 1):
            pairs = list(zip(self._matched[:n], self._answered[:n], strict=True))
            if all(matched for matched, _ in pairs):
                mean = sum(math.log(matched / answered) for matched, answered in pairs) / n
                found.append(penalty * math.exp(mean))
            else:
                found.append(0.0)
        return found

    def _cider(self) -> float:
        pictures = [[row.split(" ") for row in pair.split("\n")] for pair in self._pairs]
        pictures = [[[word for word in row if word] for row in rows] for rows in pictures]
        rarity = _rarity([references for _, *references in pictures])
        total = sum(_cider_d(answer, references, rarity) for answer, *references in pictures)
        return total / len(pictures)


def words_of_references(captions: Sequence[str]) -> list[list[str]]:
    """The words of each caption that has some."""
    return [words for words in map(words_of, captions) if words]


def ngrams(words: Words, n: int) -> collections.Counter:
    """{n-gram: how often}."""
    return collections.Counter(zip(*(words[k:] for k in range(n)), strict=False))


def _all_ngrams(words: Words) -> collections.Counter:
    return sum((ngrams(words, n) for n in range(1, MOST + 1)), collections.Counter())


def rouge_l(answer: Words, references: Sequence[Words]) -> float:
    """0..1 of one answer."""
    if not answer:
        return 0.0
    common = [_common(answer, reference) for reference in references]
    precision = max(common) / len(answer)
    recall = max(c / len(words) for c, words in zip(common, references, strict=True))
    if not precision or not recall:
        return 0.0
    return (1 + BETA**2) * precision * recall / (recall + BETA**2 * precision)


def _common(one: Words, other: Words) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for k, other_word in enumerate(other, start=1):
            above = lengths[k]
            lengths[k] = diagonal + 1 if word == other_word else max(above, lengths[k - 1])
            diagonal = above
    return lengths[-1]


def _rarity(references: Sequence[Sequence[Words]]):
    """(n-gram) -> log(pictures / pictures with it, at least 1)."""
    seen: collections.Counter = collections.Counter()
    for rows in references:
        seen.update({gram for words in rows for gram in _all_ngrams(words)})
    whole = math.log(len(references))
    return lambda gram: whole - math.log(max(seen[gram], 1))


def _cider_d(answer: Words, references: Sequence[Words], rarity) -> float:
    def weighted(words: Words, n: int) -> tuple[dict, float]:
        vector = {gram: count * rarity(gram) for gram, count in ngrams(words, n).items()}
        return vector, math.sqrt(sum(value**2 for value in vector.values()))

    total = 0.0
    for n in range(1, MOST + 1):
        own, own_norm = weighted(answer, n)
        for words in references:
            other, norm = weighted(words, n)
            shared = own.keys() & other.keys()
            product = sum(min(own[gram], other[gram]) * other[gram] for gram in shared)
            if own_norm and norm:
                far = len(answer) - len(words)
                total += product / (own_norm * norm) * math.exp(-(far**2) / (2 * SIGMA**2))
    return 10 * total / (MOST * len(references))
