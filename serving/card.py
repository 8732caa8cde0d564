"""The model card: what is in the SavedModel, as text that a person reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from convoy.models.spec import ModelInfo, Preprocess, Sentence, Signal

# What the network does not see of pictures, of sentences, and of signals.
UNSEEN = {
    Preprocess: (
        "- pictures are turned upright as their EXIF says; what is answered is of the upright one",
        "- of an animated GIF the first frame is looked at",
        "- transparency is ignored",
    ),
    Sentence: (
        "- words that training did not see are all alike",
        "- letters other than a to z and A to Z part words and are lost",
    ),
    Signal: (
        "- of a longer signal the middle is looked at; a shorter one has zeros on both sides",
        "- channels of a sound are averaged",
    ),
}
MOST = 1000  # classes that are listed: a vocabulary has more
# Limits of the decoding, where the report has them.
LIMITS = {
    "score_threshold": "detections below a score of {} are not returned",
    "iou_threshold": "non-maximum suppression above an overlap of {}",
    "suppression": "suppression is {}",
    "max_detections": "at most {} detections per picture",
    "label_threshold": "classes above a score of {} are chosen",
    "label_count": "the {} classes of the highest scores are chosen",
    "beam": "beam search keeps {} sentences",
}


def model_card(
    info: ModelInfo,
    report: Mapping[str, Any],
    labels: Sequence[str],
    card: Mapping[str, Any],
) -> str:
    """Markdown; holds nothing that differs from one export of the same network to the next."""
    lines = [
        f"# {info.name}",
        "",
        f"A network for {info.task}: {info.paper} ({info.year}).",
        "",
        "## Data",
        *_rows(card.get("data", {}), "not recorded"),
        "",
        "## Metrics",
        *_rows(card.get("metrics", {}), "not measured"),
        "",
        "## Answers",
        _input(info, report),
        f"- classes ({len(labels)}): {', '.join(labels[:MOST])}"
        + (", ...; all are in labels.txt" if len(labels) > MOST else ""),
    ]
    lines += [
        f"- {text.format(report[name])}"
        for name, text in LIMITS.items()
        if report.get(name) is not None
    ]
    lines += [
        f"- scores lie within {report['tolerance']} of the float32 network",
        "",
        "## Limits",
        *_unseen(info.preprocess),
        "- the network knows the classes above and nothing else; what it was not trained on gets a"
        " score as well",
    ]
    return "\n".join(lines) + "\n"


def _unseen(preprocess: Preprocess | Sentence | Signal) -> tuple[str, ...]:
    """What the network does not see; of other channels than RGB, none of them is transparency."""
    known = UNSEEN[type(preprocess)]
    bands = isinstance(preprocess, Preprocess) and preprocess.channel_order == "bands"
    return known[:1] if bands else known


def _input(info: ModelInfo, report: Mapping[str, Any]) -> str:
    if isinstance(info.preprocess, Sentence):
        return f"- input: sentences, of which the first {info.preprocess.words} words are seen"
    if isinstance(info.preprocess, Signal):
        seen, rate = info.preprocess.samples, info.preprocess.rate
        if not rate:
            channels = info.preprocess.channels
            return f"- input: series, WAV files of {channels} channels; {seen} samples are seen"
        return f"- input: sounds, WAV files; {seen} samples at {rate} per second are seen"
    looks = info.preprocess
    of = f" of {looks.channels} channels of {looks.bits} bits" if looks.bands else ""
    if looks.whole:
        return f"- input: pictures{of} of any size, as they are"
    height, width = report["input_size"]
    return f"- input: {height} x {width} pixels, pictures{of} fitted by {looks.resize!r}"


def _rows(values: Mapping[str, Any], otherwise: str) -> list[str]:
    """Numbers and texts; tables, such as metrics by class, stay in the evaluation's own files."""
    rows = []
    for name, value in values.items():
        if isinstance(value, float):
            rows.append(f"- {name}: {value:.4f}")
        elif isinstance(value, (int, str)):
            rows.append(f"- {name}: {value}")
    return rows or [f"- {otherwise}"]
