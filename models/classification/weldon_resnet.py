"""WELDON on ResNet-101, as its authors published it; the head is that of weldon.py.

Paper: Durand 2016, WELDON, CVPR. Differences from it: ResNet-101 as in the authors'
https://github.com/durandtibo/weldon.resnet.pytorch, where the paper has VGG-16.
"""

from __future__ import annotations

import keras

from convoy.models import layers
from convoy.models.classification import resnet, weldon
from convoy.models.spec import Preprocess


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 20,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 32"
    layers.check_input(variant, preprocess.size, minimum=resnet.MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = resnet.features(x, variant.removeprefix(weldon.PREFIX))
    model = keras.Model(image, maps, name=variant)
    if num_classes is None:
        return model
    return weldon.on(model, num_classes, dropout=dropout)
