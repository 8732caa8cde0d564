"""Show and Tell: a CNN's pooled map is the first thing that an LSTM of 512 units hears.

Paper: Vinyals 2014 https://arxiv.org/abs/1411.4555; numbers as in the authors' im2txt
(tensorflow/models): Inception v3, vectors of 512, a vocabulary of 12,000, first weights uniform in
+-0.08. Any CNN with a map of stride 32 may stand in for it.

Differences: im2txt has a word of its own for the beginning, which never is an answer, and one for
the end, which is never told: here they are one (speaker.py). The linear layer of the picture has a
bias, as in the paper's count; im2txt's has none. Dropout (there 0.3) of what the LSTM hears and
says is the caller's. As in im2txt the CNN may be kept while the rest learns, and learn with it in a
second stage: train.stages.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.captioning.speaker import UNITS, Speaker
from convoy.models.captioning.task import SPEAKER
from convoy.models.spec import ModelInfo

START = 0.08


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 12_000,
    width: float = 1.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> what models/captioning/speaker.py gives out.

    num_classes: words, END and UNKNOWN included. width: of the backbone alone.
    """
    (x,) = layers.maps_of(variant, backbone, ("s32",))
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    x = keras.layers.Dense(
        UNITS, kernel_initializer=keras.initializers.RandomUniform(-START, START), name="picture"
    )(x)
    outputs = Speaker(num_classes, "im2txt", dropout, of_inputs=True, name=SPEAKER)(x)
    return keras.Model(backbone.input, outputs, name=variant)
