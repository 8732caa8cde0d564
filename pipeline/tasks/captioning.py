"""A sentence about a picture; "classes" are the words that a network may say."""

from __future__ import annotations

import collections
import functools
import math
import textwrap
from collections.abc import Iterable

import numpy as np

from convoy.data.sample import Sample
from convoy.models.captioning import tokens
from convoy.pipeline.evaluation.captions import Captions, rouge_l, words_of_references
from convoy.pipeline.report import overlay, plots
from convoy.pipeline.report.chosen import WorstFirst
from convoy.pipeline.tasks import VERDICT, Shown

__all__ = [
    "ERRORS",
    "Chosen",
    "Metrics",
    "draw",
    "judged",
    "labels_of",
    "named",
    "row",
    "shapes",
    "show",
    "summary",
]
LINE, LINES = 36, 8  # letters of a line below a drawn picture, and how many lines at most
SHOWN_REFERENCES = 2


def labels_of(samples: Iterable[Sample], model) -> tuple[list[str], dict, list[str]]:
    """(names of what a network may say, counts of the captions, sentences that tell people).

    model: a recipe's section: words that occur least_count times are learnt. Raises ValueError
    where there is none.
    """
    longest = model.max_words or tokens.LONGEST
    often: collections.Counter = collections.Counter()
    told: collections.Counter = collections.Counter()
    lengths = [0]
    for sample in samples:
        told["pictures"] += 1
        told["pictures_without_caption"] += not sample.captions
        for words in map(tokens.words_of, sample.captions):
            often.update(words)
            lengths.append(len(words))
            told["captions"] += 1
            told["captions_without_words"] += not words
            told["captions_of_one_word"] += len(words) == 1
            told["captions_cut"] += len(words) > longest
    labels = tokens.vocabulary(often, model.least_count)
    known = sum(often[word] for word in labels)
    if not known:
        raise ValueError(
            f"model.least_count {model.least_count}: no word of {told['captions']} captions occurs "
            "so often; lower it, or check that the records have captions"
        )
    counts = {
        **{name: told[name] for name in _TOLD},
        "longest_caption": max(lengths),
        "words": len(often),
        "words_learnt": len(labels) - len(tokens.SPECIAL),
        "unknown_part": round(1 - known / often.total(), 4),
    }
    return labels, counts, _sentences(counts, model.least_count, longest)


_TOLD = ("pictures", "pictures_without_caption", "captions", "captions_without_words")
_TOLD += ("captions_of_one_word", "captions_cut")


def _sentences(counts: dict, least: int, longest: int) -> list[str]:
    """One of each thing that was found, those of which there is none left out."""
    said = [
        f"{counts['captions']} captions of {counts['pictures']} pictures: {counts['words']:,} "
        f"different words, {counts['words_learnt']:,} of them occur {least} times or more and are "
        f"learnt; {100 * counts['unknown_part']:.1f} % of all words are not"
    ]
    texts = {
        "pictures_without_caption": "pictures have no caption: they teach nothing, and are not "
        "measured",
        "captions_without_words": "captions hold no word: they teach nothing",
        "captions_of_one_word": "captions are of one word: they are learnt as they are",
        "captions_cut": f"captions have more than {longest} words (model.max_words), up to "
        f"{counts['longest_caption']}: of each the first {longest} are learnt",
    }
    return said + [f"{counts[name]} {text}" for name, text in texts.items() if counts[name]]


ERRORS = ("words",)


class Metrics:
    """BLEU, ROUGE-L and CIDEr-D of the pictures that have captions."""

    def __init__(self, labels):
        self.labels = tuple(labels)
        self._captions = Captions()
        self._without = 0
        self.lengths: list[int] = []  # words of each answer

    def update(self, sample, answer) -> None:
        references = words_of_references(sample.captions)
        if not references:
            self._without += 1
            return
        words = said(answer).split()
        self.lengths.append(len(words))
        self._captions.update(words, references)

    def result(self) -> dict:
        count = len(self.lengths)
        return {
            **self._captions.result(),
            "without_caption": self._without,
            "mean_words": sum(self.lengths) / count if count else None,
            "per_class": {},  # sentences have none
        }


def said(answer) -> str:
    """The best sentence."""
    return np.asarray(answer["caption"]).item().decode()


def fault(sample, answer) -> float | None:
    """How far an answer's ROUGE-L is below 1; None of a sentence that somebody wrote."""
    references = words_of_references(sample.captions)
    closeness = rouge_l(said(answer).split(), references) if references else 1.0
    return None if math.isclose(closeness, 1.0) else 1.0 - closeness


# Half of the pictures are those whose sentence is least like people's.
Chosen = functools.partial(WorstFirst, fault)


def row(answer) -> dict:
    """The best sentence, and all that were kept with their probabilities."""
    return {
        "caption": said(answer),
        "captions": [text.decode() for text in answer["captions"]],
        "scores": [float(f"{score:.4g}") for score in answer["scores"]],
    }


def named(answer) -> dict:
    return {
        "caption": said(answer),
        "captions": [
            {"caption": text.decode(), "score": float(score)}
            for text, score in zip(answer["captions"], answer["scores"], strict=True)
            if score > 0
        ],
    }


def summary(answer) -> str:
    return said(answer)


def draw(image, answer, score):
    picture = overlay.open_picture(image)
    for line in textwrap.wrap(said(answer), LINE)[:LINES]:
        picture = overlay.caption(picture, line)
    return picture


def show(metrics, numbers, pairs) -> Shown:
    figures = {}
    if metrics.lengths:
        title = "Answers by their number of words"
        figures["Length"] = plots.png(plots.histogram(metrics.lengths, title))
    return Shown(
        figures,
        [overlay.with_lines(sample.image, _lines(sample, answer)) for sample, answer in pairs],
        "What was answered, and below it what people wrote. Those least like it come first.",
    )


def _lines(sample, answer) -> list[str]:
    return [f"> {said(answer)}", *sample.captions[:SHOWN_REFERENCES], sample.source_id]


def judged(sample, line, labels) -> np.ndarray:
    """How far the sentence is from people's, as `fault`."""
    far = fault(sample, {"caption": line["caption"].encode()})
    return np.array([(-1, -1, np.nan, 0, far, False)] if far is not None else [], VERDICT)


def shapes(line, labels) -> dict:
    return {"lines": [line["caption"]]}
