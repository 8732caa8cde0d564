"""A trained network up to some of its layers, for pictures of any size, with averaging pools."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf

from convoy.models.pooling import Pool
from convoy.models.structure import lines
from convoy.pipeline.tools.explain import gradcam

_CONTENT = "block4_{}2"  # conv4_2 of VGG
_STYLE = tuple(f"block{block}_{{}}1" for block in range(1, 6))  # conv1_1 to conv5_1


def default_layers(model: keras.Model) -> tuple[str, list[str]]:
    """(the content's layer, the style's): the paper's of a VGG, else by the ends of the stages.

    Of another network the last layer of each stage gives the style, the last stage but one the
    content. Raises ValueError.
    """
    names = {layer.name for layer in model.layers}
    for kind in ("relu", "conv"):  # with BatchNorm the convolution has no ReLU of its own
        content, style = _CONTENT.format(kind), [name.format(kind) for name in _STYLE]
        if {content, *style} <= names:
            return content, style
    ends = gradcam.stage_ends(lines(model))
    return ends[-2] if len(ends) > 1 else ends[-1], ends


def averaging(model: keras.Model, names: Sequence[str], channels: int) -> keras.Model:
    """Pictures [B, H, W, C] of any size -> maps by layer; the weights are copies.

    Maximum pooling becomes average pooling (the paper's section 2). What lies behind the last of
    the layers is left out, and can be freed with `model`. Raises ValueError.
    """
    part = keras.Model(model.inputs[0], gradcam.activations(model, list(names)))
    made: dict[str, keras.Layer] = {}

    def clone(layer):
        made[layer.name] = _without_maximum(layer)
        return made[layer.name]

    image = keras.Input((None, None, channels), name="image")
    try:
        copy = keras.models.clone_model(part, input_tensors=image, clone_function=clone)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{model.name}: up to {names[-1]} it takes pictures of its own size alone ({error}): "
            "choose earlier layers, or another network"
        ) from None
    for layer in part.layers:
        if layer.weights:
            made[layer.name].set_weights(layer.get_weights())
    copy.trainable = False
    return copy


def _without_maximum(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    if isinstance(layer, keras.layers.MaxPooling2D):
        return keras.layers.AveragePooling2D.from_config(config)
    if isinstance(layer, Pool) and layer.kind == "max":
        return Pool.from_config({**config, "kind": "average"})
    return type(layer).from_config(config)


def mean_activations(model: keras.Model, images: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """Mean size of each layer's values over pictures [1, H, W, C]. Raises ValueError where 0."""
    means = []
    for image in images:
        try:
            maps = model(image, training=False)
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            size = "x".join(map(str, image.shape[1:3]))
            raise ValueError(
                f"{model.name} does not take pictures of {size} (height x width): raise --size, or "
                f"choose earlier layers ({str(error).splitlines()[0]})"
            ) from None
        means.append({name: tf.reduce_mean(tf.abs(values)) for name, values in maps.items()})
    found = {name: tf.add_n([mean[name] for mean in means]) / len(means) for name in means[0]}
    for name, mean in found.items():
        if not float(mean) > 0.0:
            raise ValueError(f"{name}: its maps of both pictures are 0: choose another layer")
    return found
