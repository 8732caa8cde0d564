"""Blocks that every network shares: first weights, normalisation, input checks.

`BatchNorm` is keras.layers.BatchNormalization on TensorFlow's fused kernel, which makes a training
step of ResNet-50 or MobileNet 1.4 to 1.9 times faster on a CPU than Keras' single ops.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import ops

from convoy.models.spec import Preprocess

# How weights start. Each family takes what its paper or its reference takes and names it in its
# file; tests/models/test_initializers.py has the standard deviations. A name, or a function that
# makes the initialiser anew for each layer: an object has one seed and would start all layers of
# one shape, in all networks of a process, with the same numbers.
#
# Keras takes a depthwise kernel [k, k, C, 1] for one of C inputs and k * k outputs: its "fan_in" is
# k * k * C, its "fan_out" k * k. An output of such a layer sees k * k values.

HE = "he_normal"  # variance 2 / fan-in, He 2015 https://arxiv.org/abs/1502.01852 equation 10
GLOROT = "glorot_uniform"  # variance 2 / (fan-in + fan-out), Glorot 2010; keras.applications'
LECUN = "lecun_uniform"  # variance 1 / fan-in, LeCun 1998 Efficient BackProp 4.6; Caffe's "xavier"


def he_fan_out():
    """Normal, variance 2 / fan-out: He 2015 equation 14; fb.resnet.torch's and torchvision's."""
    return keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")


def gaussian(deviation: float):
    """Normal with mean 0 and this standard deviation."""
    return keras.initializers.RandomNormal(stddev=deviation)


def truncated(deviation: float):
    """TensorFlow's truncated normal: no value beyond 2 deviations, so that 0.88 of it is left."""
    return keras.initializers.TruncatedNormal(stddev=deviation)


def torch_start(fan_in: int) -> dict:
    """PyTorch's defaults, as a layer's arguments: kernel and bias uniform in +-1 / sqrt(fan-in)."""
    limit = fan_in**-0.5
    return {
        key: keras.initializers.RandomUniform(-limit, limit)
        for key in ("kernel_initializer", "bias_initializer")
    }


@keras.saving.register_keras_serializable("convoy")
class BatchNorm(keras.layers.BatchNormalization):
    """Batch normalisation over all axes but the last; statistics are float32 at every precision.

    Arguments, variables and results are those of keras.layers.BatchNormalization. Under
    tf.distribute with several replicas the training statistics are those of the global batch, so
    that N replicas compute what one process computes on the N times larger batch.
    """

    def call(self, inputs, training=None, mask=None):
        learning = bool(training) and self.trainable
        if not self._can_fuse(inputs, mask):
            return super().call(inputs, training=training, mask=mask)
        if learning and _replicas() > 1:
            return self._synchronized(inputs)
        return self._fused(inputs, learning)

    def _can_fuse(self, inputs, mask) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and mask is None
            and not self.renorm
            and len(inputs.shape) == 4
            and self.axis in (-1, 3)
            and keras.backend.standardize_dtype(inputs.dtype) in _FUSED_DTYPES
        )

    def _fused(self, inputs, learning: bool):
        import tensorflow as tf

        gamma, beta = self._affine(inputs.shape[-1])
        unused = ops.zeros([0], "float32")
        # The raw op, because tf.nn.fused_batch_norm raises epsilon to 1.001e-5.
        outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=inputs,
            scale=gamma,
            offset=beta,
            mean=unused if learning else ops.cast(self.moving_mean, "float32"),
            variance=unused if learning else ops.cast(self.moving_variance, "float32"),
            epsilon=self.epsilon,
            is_training=learning,
        )
        if learning:
            # The kernel returns the unbiased variance; Keras keeps the biased one.
            count = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
            self._update(mean, variance * (tf.maximum(count - 1.0, 1.0) / count))
        return outputs

    def _synchronized(self, inputs):
        """Training over replicas: sums and counts of all of them through one all-reduce."""
        import tensorflow as tf

        x, channels = ops.cast(inputs, "float32"), inputs.shape[-1]
        count = tf.cast(tf.size(x) // channels, tf.float32)
        local = [tf.reduce_sum(x, [0, 1, 2]), tf.reduce_sum(x * x, [0, 1, 2]), count[None]]
        sums = tf.distribute.get_replica_context().all_reduce("SUM", tf.concat(local, 0))
        mean, square = sums[:channels] / sums[-1], sums[channels:-1] / sums[-1]
        variance = tf.maximum(square - mean * mean, 0.0)
        self._update(mean, variance)
        gamma, beta = self._affine(channels)
        outputs = tf.nn.batch_normalization(x, mean, variance, beta, gamma, self.epsilon)
        return ops.cast(outputs, self.compute_dtype)

    def _affine(self, channels: int):
        gamma = ops.cast(self.gamma, "float32") if self.scale else ops.ones([channels], "float32")
        beta = ops.cast(self.beta, "float32") if self.center else ops.zeros([channels], "float32")
        return gamma, beta

    def _update(self, mean, variance) -> None:
        keep = self.momentum
        self.moving_mean.assign(self.moving_mean * keep + mean * (1.0 - keep))
        self.moving_variance.assign(self.moving_variance * keep + variance * (1.0 - keep))


_FUSED_DTYPES = ("float32", "bfloat16", "float16")


def _replicas() -> int:
    """Replicas whose statistics belong together; 1 outside strategy.run."""
    import tensorflow as tf

    if tf.distribute.get_replica_context() is None:
        return 1
    return tf.distribute.get_strategy().num_replicas_in_sync


def maps_of(name: str, backbone: keras.Model, strides: Sequence[str]) -> list:
    """The backbone's maps of these strides, such as ("s8", "s16"). Raises ValueError."""
    maps = backbone.output
    missing = [stride for stride in strides if stride not in maps]
    if missing:
        raise ValueError(
            f"{name}: expected a backbone with maps of stride {', '.join(strides)}; "
            f"{backbone.name} has {', '.join(maps)}"
        )
    return [maps[stride] for stride in strides]


@keras.saving.register_keras_serializable("convoy")
class Normalize(keras.layers.Layer):
    """(x[channel_order] * scale - mean) / std for images [B, H, W, C] in [0, 255]; float32."""

    def __init__(self, scale, mean, std, channel_order, **kwargs):
        # Interpolated pixels do not fit into bfloat16's 8 bits: float32 under every policy.
        super().__init__(**{"dtype": "float32", **kwargs})
        self.scale, self.channel_order = float(scale), channel_order
        self.mean, self.std = tuple(map(float, mean)), tuple(map(float, std))

    def call(self, image):
        if self.channel_order == "bgr":
            image = image[..., ::-1]
        mean, std = ops.convert_to_tensor(self.mean), ops.convert_to_tensor(self.std)
        return image * (self.scale / std) - mean / std

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        config = {key: getattr(self, key) for key in ("scale", "mean", "std", "channel_order")}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("convoy")
class L2Normalization(keras.layers.Layer):
    """Each position's channels divided by their L2 norm, times a learned scale per channel.

    ParseNet https://arxiv.org/abs/1506.04579; SSD starts the scale at 20. Computed in float32.
    """

    def __init__(self, scale=20.0, epsilon=1e-10, **kwargs):
        super().__init__(**kwargs)
        self.initial, self.epsilon = float(scale), float(epsilon)

    def build(self, input_shape):
        self.scale = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.initial),
            name="scale",
            autocast=False,
        )

    def call(self, x):
        wide = ops.cast(x, "float32")
        squares = ops.sum(ops.square(wide), axis=-1, keepdims=True)
        return ops.cast(wide * ops.rsqrt(squares + self.epsilon) * self.scale, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "scale": self.initial, "epsilon": self.epsilon}


def image_input(preprocess: Preprocess):
    """How every network begins: (keras.Input "image" [H, W, C] in [0, 255], it normalised)."""
    p = preprocess
    image = keras.Input((*p.size, p.channels), dtype="float32", name="image")
    return image, Normalize(p.scale, p.mean, p.std, p.channel_order, name="normalize")(image)


def head(x, num_classes: int, dropout: float = 0.0, **start):
    """How most classifiers end: global average, dropout if any, logits [B, num_classes] float32.

    start: initialisers of the last layer's kernel and bias; without them Glorot's and zeros.
    """
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    return keras.layers.Dense(num_classes, dtype="float32", name="logits", **start)(x)


def check_input(
    name: str, size: tuple[int, int], *, minimum: int = 1, exact: int | None = None, why: str
) -> None:
    """Raises ValueError where a network cannot take `size` = (height, width) in pixels."""
    if exact is not None:
        if tuple(size) != (exact, exact):
            raise ValueError(
                f"{name}: expected an input of {exact}x{exact} px, got {_x(size)}: {why}"
            )
    elif min(size) < minimum:
        raise ValueError(f"{name}: expected at least {minimum}x{minimum} px, got {_x(size)}: {why}")


def _x(size) -> str:
    return "x".join(map(str, size))
