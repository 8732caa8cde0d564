"""A sentence about a picture: what is learnt and what is answered.

The classes of such a network are words: `names` of tokens.py's SPECIAL and the vocabulary. It
learns one of a picture's captions in every epoch, each word told the true ones before it; in part
of the places its own, as train.scheduled_sampling asks. Answers are found by beam search inside of
the exported graph.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from convoy.models import losses
from convoy.models.captioning import speaker, tokens
from convoy.models.captioning.tokens import LONGEST
from convoy.models.spec import ModelInfo, Task

SPEAKER = "speaker"  # the layer's name


def build(
    model: keras.Model,
    info: ModelInfo,
    words: Sequence[str] = (),
    max_words: int | None = None,
    scheduled_sampling: float = 0.0,
    sampling_epochs: float = 25.0,
) -> Task:
    """Wraps a network whose last layer is a Speaker.

    words: the names of its classes; () = known by number alone, then nothing can be encoded.
    max_words: of a sentence that are learnt and answered; None = LONGEST. scheduled_sampling: the
    part of the words before which it is told its own one, reached after `sampling_epochs`, from 0
    on in a straight line. Raises ValueError.
    """
    if words and len(words) != info.num_classes:
        raise ValueError(f"words: expected {info.num_classes} as in the network, got {len(words)}")
    longest = max_words or LONGEST
    # Made when captions are first learnt: an exported network has no use for it.
    numbers = functools.cache(functools.partial(_numbers, tuple(words)))

    def encode(annotation):
        if not words:
            raise ValueError(f"{info.name} needs its words to learn captions")
        found = {"words": encoded(annotation["caption"], numbers(), longest)}
        if scheduled_sampling:
            part = scheduled_sampling * _risen(annotation["epoch"], sampling_epochs)
            found["own"] = _chance(annotation["seed"], longest + 1) < part
        return found

    return Task(
        model=model,
        info=info,
        encode=encode,
        loss=loss,
        decode=functools.partial(decode, longest=longest),
        answer=answer,
        difference=difference,
        wiring=wiring,
    )


def _numbers(words: tuple[str, ...]):
    """Words -> their numbers; others are UNKNOWN."""
    import tensorflow as tf

    with tf.init_scope():  # outside of the graph of the data
        values = tf.range(len(words), dtype=tf.int32)
        pairs = tf.lookup.KeyValueTensorInitializer(tf.constant(list(words)), values)
        return tf.lookup.StaticHashTable(pairs, tokens.UNKNOWN)


def encoded(caption, numbers, longest: int):
    """A string -> [longest + 1] int32: its words and END, filled up with -1.

    Of a longer one its first words, without END: it does not end there. A caption without a word
    is -1 alone.
    """
    import tensorflow as tf

    found = numbers.lookup(tokens.words(caption[None])[0])
    count = tf.size(found)
    end = tf.fill([tf.cast((count > 0) & (count <= longest), tf.int32)], tokens.END)
    learnt = tf.concat([found[:longest], end], 0)
    missing = longest + 1 - tf.size(learnt)
    return tf.ensure_shape(tf.pad(learnt, [[0, missing]], constant_values=-1), [longest + 1])


def _risen(epoch, epochs: float):
    import tensorflow as tf

    return tf.minimum(tf.cast(epoch, tf.float32) / max(epochs, 1e-6), 1.0)


def _chance(seed, count: int):
    """[count] float32 of [0, 1), a function of the record and the epoch alone."""
    import tensorflow as tf

    return tf.random.stateless_uniform([count], seed)


def wiring(model: keras.Model, batch) -> dict:
    """{"logits" [B, longest + 1, K]} of a batch's captions, in training mode."""
    given = model(batch["image"], training=True)
    targets = batch["targets"]
    layer = model.get_layer(SPEAKER)
    return {"logits": speaker.taught(layer, given, targets["words"], targets.get("own"))}


def loss(targets, outputs) -> dict:
    """{"words": (sum of -log p of every word and end, how many they are)}; Vinyals equation 8."""
    words = ops.cast(targets["words"], "int32")
    known = ops.cast(words >= 0, "float32")
    entropy = losses.pixel_entropy(ops.maximum(words, 0), outputs["logits"])
    return {"words": (ops.sum(known * entropy), ops.sum(known))}


def decode(outputs, beam: int = 1, *, longest: int = LONGEST) -> dict:
    """{"words" [B, beam, longest] int32, END behind a sentence; "scores" [B, beam]}, best first.

    A score is the probability of the whole sentence, 0 of a place that none has.
    """
    import tensorflow as tf

    from convoy.models.captioning import search

    words, scores = search.search(outputs, longest, beam)
    return {"words": words, "scores": tf.where(scores > search.NEVER / 2, tf.exp(scores), 0.0)}


def answer(decoded, matrices, sizes, names) -> dict:
    """caption [B]: the best sentence, words in small letters with blanks between them, "" of none.

    captions [B, beam]: all that were kept; scores [B, beam] float32: their probabilities.
    """
    import tensorflow as tf

    words = decoded["words"]
    said = tf.where(words == tokens.END, "", tf.gather(names, words))
    captions = tf.strings.strip(tf.strings.reduce_join(said, axis=-1, separator=" "))
    return {"caption": captions[:, 0], "captions": captions, "scores": decoded["scores"]}


def difference(expected, received, **limits) -> float:
    """How far the best sentences are apart in the mean probability of a word (their geometric one).

    Where they are not the same, by as much as the expected answer itself prefers its own to the
    received one; 1 where that is none that it kept.
    """
    worst = 0.0
    rows = zip(
        *(expected[name] for name in ("captions", "scores")),
        *(received[name] for name in ("captions", "scores")),
        strict=True,
    )
    for captions, scores, others, other_scores in rows:
        mine = [likelihood(*pair) for pair in zip(captions, scores, strict=True)]
        at = [index for index, text in enumerate(captions) if text == others[0]]
        if not at:
            return 1.0
        apart = abs(mine[at[0]] - likelihood(others[0], other_scores[0]))
        worst = max(worst, apart, abs(mine[0] - mine[at[0]]))
    return worst


def likelihood(caption, score) -> float:
    """The geometric mean of the probabilities of a sentence's words and its end."""
    return float(np.float64(score) ** (1 / (len(caption.split()) + 1)))
