"""LM-ResNet: a pre-activation ResNet whose blocks step from their last two inputs.

Paper: Lu, Zhong, Li, Dong 2018, Beyond Finite Layer Neural Networks,
https://arxiv.org/abs/1710.10121 (CIFAR networks of 20 to 164 layers)
A residual block x + F(x) is one step of Euler's method. A linear multi-step block computes
(1 - k) x + k previous + F(x), where `previous` is the input of the block before (after a change of
shape: that block's projected input) and the number k is learned; the first block of each stage is
an ordinary residual block. At k = 0 it is ResNet v2.
As in the authors' code, https://github.com/2prime/LM-ResNet: no norm after the first convolution,
projections with a norm and ReLU of their own, k drawn from U(-0.1, 0) (the code stores 1 - k).
Difference from it: weights that it makes and never uses are left out: a norm of 32 parameters, the
k of each stage's first block (3), and, but for 164, the first stage's projection of 1,056. Its
channel-wise k and stochastic depth are not here. Kernels start with variance 2 / fan-out and the
last layer as PyTorch's do, as in that code.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.classification import resnet_v2
from convoy.models.spec import Preprocess

# variant: (blocks of each of the three stages, bottleneck)
VARIANTS = {
    "lm_resnet20": (3, False),
    "lm_resnet32": (5, False),
    "lm_resnet44": (7, False),
    "lm_resnet56": (9, False),
    "lm_resnet110": (18, False),
    "lm_resnet164": (18, True),
}
MINIMUM = 4


@keras.saving.register_keras_serializable("convoy")
class MultiStep(keras.layers.Layer):
    """[branch, x, previous] of one shape -> branch + (1 - k) x + k previous, with a learned k."""

    def build(self, input_shape):
        initial = keras.initializers.RandomUniform(-0.1, 0.0)
        self.k = self.add_weight(shape=(), initializer=initial, name="k")

    def call(self, inputs):
        branch, x, previous = inputs
        # 1 - k would lose k's digits at half precision.
        return branch + x + ops.cast(self.k, x.dtype) * (previous - x)

    def compute_output_shape(self, input_shape):
        return input_shape[0]


def features(x, variant: str) -> dict:
    """Normalised pixels -> maps by stride: sums of blocks, the last one through norm and ReLU."""
    depth, deep = VARIANTS[variant]
    branch = resnet_v2.bottleneck if deep else resnet_v2.basic
    x = previous = resnet_v2.conv(x, 16, 3, name="stem")
    maps = {}
    for stage in (1, 2, 3):
        filters = 8 * 2**stage
        for block in range(1, depth + 1):
            name, stride = f"stage{stage}_block{block}", 2 if stage > 1 and block == 1 else 1
            active, shortcut = resnet_v2.activate(x, name=name, index=1), x
            moved = branch(active, filters, stride, name=name)
            if block > 1:
                x = MultiStep(name=f"{name}_step")([moved, shortcut, previous])
            else:
                if x.shape[-1] != moved.shape[-1]:
                    own = resnet_v2.activate(x, name=f"{name}_shortcut")
                    shortcut = resnet_v2.conv(
                        own, moved.shape[-1], 1, stride, name=f"{name}_shortcut"
                    )
                x = keras.layers.Add(name=f"{name}_add")([moved, shortcut])
            previous = shortcut
        maps[f"s{2 ** (stage - 1)}"] = x
    maps["s4"] = resnet_v2.activate(x, name="head")
    return maps


def build(variant: str, preprocess: Preprocess, *, num_classes: int | None = 10) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, num_classes]; None: the maps by stride."""
    why = "the last map has stride 4"
    layers.check_input(variant, preprocess.size, minimum=MINIMUM, why=why)
    image, x = layers.image_input(preprocess)
    maps = features(x, variant)
    if num_classes is None:
        return keras.Model(image, maps, name=variant)
    start = layers.torch_start(maps["s4"].shape[-1])
    return keras.Model(image, layers.head(maps["s4"], num_classes, **start), name=variant)
