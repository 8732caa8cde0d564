"""NeuralTalk2: VGG-16's second full layer, by a linear layer and ReLU, to an LSTM of 512 units.

Papers: Karpathy 2014 https://arxiv.org/abs/1412.2306, Vinyals 2014 https://arxiv.org/abs/1411.4555;
layers and numbers as in the author's code https://github.com/karpathy/neuraltalk2: the LSTM has two
biases as Torch's, the end and the beginning are one word. On another backbone than VGG-16 the mean
of the map of stride 32 stands in for VGG's full layers.

Differences: dropout (there 0.5 of what the LSTM says, and of VGG's full layers) is the caller's,
and of the LSTM alone. There the CNN is kept for 250,000 steps and then learns along: train.stages.
A sentence has there 16 words at most: model.max_words.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.captioning.speaker import UNITS, Speaker
from convoy.models.captioning.task import SPEAKER
from convoy.models.spec import ModelInfo

FULL = 4096


def build(
    variant: str,
    info: ModelInfo,
    backbone: keras.Model,
    *,
    num_classes: int = 9_568,
    width: float = 1.0,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> what models/captioning/speaker.py gives out.

    num_classes: words, END and UNKNOWN included. width: of the backbone alone.
    """
    (x,) = layers.maps_of(variant, backbone, ("s32",))
    if backbone.name == "vgg16":
        x = keras.layers.Flatten(name="flat")(x)
        for index in (1, 2):  # as models/classification/vgg.py has them
            x = keras.layers.Dense(
                FULL, activation="relu", kernel_initializer=layers.GLOROT, name=f"fc{index}"
            )(x)
    else:
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    start = layers.torch_start(x.shape[-1])
    x = keras.layers.Dense(UNITS, activation="relu", **start, name="picture")(x)
    outputs = Speaker(num_classes, "torch7", dropout, name=SPEAKER)(x)
    return keras.Model(backbone.input, outputs, name=variant)
