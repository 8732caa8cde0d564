"""An exported file and what lies around it: written, and opened again.

FOLDER/model.onnx    the network, float32 [B, H, W, C] in; named as serving/runtimes/kinds.py
FOLDER/card.json     how pictures become its input, what it answers and what comes after, for
                     whoever runs it without Convoy
FOLDER/around/       a small SavedModel with the rest: decoding of pictures before the network,
                     suppression and names after it; what `opened` needs
FOLDER/assets.extra/ labels and the export's report, as beside a SavedModel
"""

from __future__ import annotations

import json
import pathlib
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from convoy.serving import graphs, parts, questions
from convoy.serving.parts import Names, Parts
from convoy.serving.questions import Question
from convoy.serving.runtimes import kinds
from convoy.serving.runtimes.cards import card_of

CARD, AROUND, EXTRA = "card.json", "around", "assets.extra"
LEAST_SHARE = 0.5


class NotConvertible(ValueError):
    """A network cannot become such a file; the message says which operation is in the way."""


def is_folder(path: pathlib.Path) -> bool:
    """Whether a folder is an exported file's."""
    return (path / CARD).is_file()


def check(network: Parts, name: str) -> None:
    """Raises NotConvertible where most of the weights would not be in the file."""
    if network.share < LEAST_SHARE:
        raise NotConvertible(
            f"{name}: {', '.join(network.ends)} lies in the middle of the network, and no two "
            f"runtimes compute it alike: only {network.share:.0%} of the weights come before it, "
            f"expected at least {LEAST_SHARE:.0%}"
        )


def write(
    network: Parts,
    folder: pathlib.Path,
    kind: str,
    *,
    saved_model: pathlib.Path,
    told: Mapping[str, Any],
    examples: Iterable[np.ndarray] = (),
) -> None:
    """Writes the folder, which must not be there.

    saved_model: whose labels and report go with it. told: what cards.py says of the network.
    examples: images [1, H, W, C] for calibration. Raises NotConvertible.
    """
    row = kinds.KINDS[kind]
    folder.mkdir(parents=True)
    try:
        kinds.module(row).convert(network.network, folder / row.file, row.form, examples)
    except (ValueError, RuntimeError) as error:
        raise NotConvertible(f"{kind}: {error}") from error
    module = tf.Module()
    module.before = _restorable(network.before)
    module.after = _restorable(network.after)
    tf.saved_model.save(module, str(folder / AROUND))
    extra = folder / EXTRA
    extra.mkdir()
    for file in (saved_model / EXTRA).iterdir():
        if file.suffix in (".json", ".txt"):
            shutil.copyfile(file, extra / file.name)
    card = card_of(network, kind, row, told)
    (folder / CARD).write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n")


def _restorable(part: graphs.Part):
    function = part.function()
    return tf.function(lambda *inputs: function(*inputs), part.inputs, autograph=False)


def opened(folder: pathlib.Path) -> Callable[[Sequence[bytes | Question]], dict[str, np.ndarray]]:
    """The file in its runtime: `serving.client.load_local` of it.

    Raises FileNotFoundError, NotInstalled.
    """
    card = json.loads((folder / CARD).read_text())
    kinds.check([card["kind"]])
    row = kinds.KINDS[card["kind"]]
    names = Names(*(tuple(each) for each in card["names"].values()))
    around = tf.saved_model.load(str(folder / AROUND))
    run = kinds.module(row).opened(folder / row.file, names.outputs)
    answer = parts.composed(around.before, run, around.after, names)
    input_name, *takes = names.inputs

    def ask(images: Sequence[bytes | Question]) -> dict[str, np.ndarray]:
        arrays = questions.inputs(images, input_name, takes)
        found = answer({name: tf.constant(values) for name, values in arrays.items()})
        return {name: value.numpy() for name, value in found.items()}

    ask.around = around  # a function lives only as long as what it was loaded with
    return ask
