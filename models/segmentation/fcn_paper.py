"""FCN-32s, 16s, 8s and 8s at once on VGG-16, FCN-32s on AlexNet: the authors' networks.

Papers: Long 2014 https://arxiv.org/abs/1411.4038; Shelhamer 2016 https://arxiv.org/abs/1605.06211.
The layers are those of the authors' voc-fcn32s, voc-fcn16s, voc-fcn8s, voc-fcn8s-atonce and
voc-fcn-alexnet: a border of 100 zeros around the picture (which makes any size fit), fc6 a 7x7
convolution (6x6 of AlexNet) without padding, poolings rounded up, deconvolutions with fixed
bilinear filters, and crops where maps meet:

    score_fr x2 + score_pool4 from pixel 5     x2 + score_pool3 from pixel 9
    picture from pixel 19 of x32, 27 of x16, 31 of x8; 18 of AlexNet's x32 (63x63)

fcn8s_atonce_vgg16 learns all skips from the beginning: pool4 and pool3 enter it multiplied with
0.01 and 0.0001. The others are learnt one after the other, each from the last one's weights
(`model.init_from`): layers of one meaning have one name in all of them.

Differences: dropout (paper 0.5) after fc6 and fc7 is the caller's. fc6 and fc7 start N(0, 0.005)
as Caffe's VGG (AlexNet's 0.01); the authors copy them from the classifier. Scores start at zero.
Their loss is a sum over all pixels at a rate of 1e-10 to 1e-14; here it is their mean.
Checked against OpenCV's reading of the Caffe networks.
"""

from __future__ import annotations

import dataclasses

import keras

from convoy.models import layers
from convoy.models.classification import alexnet, vgg
from convoy.models.segmentation.fcn import scores
from convoy.models.spec import Preprocess
from convoy.models.upsampling import BilinearDeconvolution, cropped

BORDER = 100
# variant: the skips, and the first pixel of the picture in the last map.
VARIANTS = {
    "fcn32s_vgg16": ((), 19),
    "fcn16s_vgg16": (("s16",), 27),
    "fcn8s_vgg16": (("s16", "s8"), 31),
    "fcn8s_atonce_vgg16": (("s16", "s8"), 31),
    "fcn32s_alexnet": ((), 18),
}
SKIPS = {"s16": ("block4_pool", 5, 0.01), "s8": ("block3_pool", 9, 0.0001)}  # layer, crop, scale


@keras.saving.register_keras_serializable("convoy")
class Scale(keras.layers.Layer):
    """Each channel multiplied with a number that never learns: Caffe's Scale of lr_mult 0."""

    def __init__(self, value=1.0, **kwargs):
        super().__init__(**kwargs)
        self.value = float(value)

    def build(self, input_shape):
        self.gamma = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.value),
            trainable=False,
            name="gamma",
        )

    def call(self, x):
        return x * self.gamma

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "value": self.value}


def build(
    variant: str,
    preprocess: Preprocess,
    *,
    num_classes: int | None = 21,
    dropout: float = 0.0,
) -> keras.Model:
    """Images [B, H, W, 3] -> logits [B, H, W, num_classes]; None: the body's maps by stride.

    The maps are those of the picture with its border.
    """
    image, x = layers.image_input(preprocess)
    small = variant == "fcn32s_alexnet"
    if small:
        body = dataclasses.replace(alexnet.VARIANTS["caffenet"], padding=BORDER)
        maps = alexnet.features(x, body)
    else:
        maps = vgg.features(x, "vgg16", "same", border=BORDER)
        pool = keras.layers.MaxPooling2D(2, padding="same", name="block5_pool")
        maps["s32"] = pool(maps["s16"])
    body = keras.Model(image, maps, name=variant)
    if num_classes is None:
        return body
    x = full(maps["s32"], 6 if small else 7, 0.01 if small else 0.005, dropout)
    x = scores(x, num_classes, name="s32_logits")
    skips, first = VARIANTS[variant]
    stride = 32
    for key in skips:
        x = deconvolution(x, 2, name=f"{key}_up2x")
        stride //= 2
        name, crop, scale = SKIPS[key]
        taken = body.get_layer(name).output
        if "atonce" in variant:
            taken = Scale(scale, name=f"{key}_scale")(taken)
        score = scores(taken, num_classes, name=f"{key}_logits")
        score = cropped(score, x.shape[1:3], (crop, crop), name=f"{key}_crop")
        x = keras.layers.Add(dtype="float32", name=f"{key}_add")([x, score])
    x = deconvolution(x, stride, odd=small, name=f"up{stride}x")
    x = cropped(x, preprocess.size, (first, first), name="crop")
    return keras.Model(image, x, name=variant)


def full(x, side: int, deviation: float, dropout: float, dilation: int = 1):
    """fc6 and fc7 as convolutions: fc6 of side x side, at a dilation, without padding."""
    for name, kernel in (("fc6", side), ("fc7", 1)):
        x = keras.layers.Conv2D(
            4096,
            kernel,
            dilation_rate=dilation if name == "fc6" else 1,
            activation="relu",
            kernel_initializer=layers.gaussian(deviation),
            name=name,
        )(x)
        if dropout:
            x = keras.layers.Dropout(dropout, name=name.replace("fc", "dropout"))(x)
    return x


def deconvolution(x, stride: int, *, odd: bool = False, name: str):
    """`stride` times as large; its filter is twice as wide, of AlexNet a pixel less."""
    return BilinearDeconvolution(2 * stride - odd, stride, dtype="float32", name=name)(x)
