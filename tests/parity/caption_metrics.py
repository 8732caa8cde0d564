"""Sentences that caption_metrics_reference.py and tests/evaluation/test_captions.py share."""

from __future__ import annotations

import numpy as np

NOUNS = ("man", "woman", "dog", "cat", "train", "kite", "plate", "board")
VERBS = ("holds", "rides", "watches", "eats", "is near")
PLACES = ("on the beach", "in a park", "near a wall", "at night", "")


def sentence(draw: np.random.Generator) -> list[str]:
    """Three to ten words."""
    nouns = draw.choice(NOUNS, 2)
    parts = ("a", nouns[0], draw.choice(VERBS), draw.choice(("a", "the")), nouns[1])
    return " ".join((*parts, draw.choice(PLACES))).split()


def pictures(seed: int, count: int = 40) -> list[tuple[list[str], list[list[str]]]]:
    """(an answer, one to six references) each; some answers are short, empty, or a reference."""
    draw = np.random.default_rng(seed)
    made = []
    for index in range(count):
        references = [sentence(draw) for _ in range(draw.integers(1, 7))]
        answer = sentence(draw)
        if index % 4 == 0:  # close to a reference
            answer = [word for word in references[0] if draw.random() > 0.2]
        if index % 9 == 0:
            answer = [[], answer[:1], references[-1]][index // 9 % 3]
        made.append((answer, references))
    return made
