"""What says a sentence word by word: an LSTM that sees a picture once, before its first word.

LSTM: Hochreiter 1997, with forget gates (Gers 2000); no peepholes:
    i, f, g, o = x W + h U + b      in this order; Keras' i, f, c, o, torch.nn.LSTM's i, f, g, o
    c' = sigmoid(f) c + sigmoid(i) tanh(g)      h' = sigmoid(o) tanh(c')
A word's number is that of tokens.py; END begins a sentence, too. The vector of END is that of the
beginning, its score that of the end, so one word is enough for both.

The layer gives its weights out beside the picture, so that whoever has the outputs of a network can
say sentences by them: `models/captioning/search.py` does where it is served, in any form of the
network, the frozen ones included.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models import layers
from convoy.models.captioning.tokens import END

UNITS = 512
# Names of the weights among the outputs, which have no batch.
WEIGHTS = ("vectors", "input_kernel", "state_kernel", "bias", "words_kernel", "words_bias")


def im2txt(limit: float = 0.08) -> dict:
    """Show and Tell's first weights: uniform in +-0.08, biases 0, those of the forget gates 1.

    There the 1 is added in every step; it is learnt along here.
    """

    def forget(shape, dtype=None):
        units = shape[0] // 4
        parts = [ops.zeros(units), ops.ones(units), ops.zeros(2 * units)]
        return ops.cast(ops.concatenate(parts), dtype or "float32")

    kernels = ("vectors", "input_kernel", "state_kernel", "words_kernel")
    uniform = {name: keras.initializers.RandomUniform(-limit, limit) for name in kernels}
    return {**uniform, "input_bias": forget, "words_bias": "zeros"}


def torch7(units: int = UNITS) -> dict:
    """NeuralTalk2's first weights: Torch7's defaults, +-1 / sqrt(fan-in), word vectors N(0, 1)."""
    start = {"vectors": keras.initializers.RandomNormal(stddev=1.0)}
    for kernel, bias in (("input", "input"), ("state", "state"), ("words", "words")):
        both = layers.torch_start(units)
        start[f"{kernel}_kernel"] = both["kernel_initializer"]
        start[f"{bias}_bias"] = both["bias_initializer"]
    return start


STARTS = {"im2txt": im2txt, "torch7": torch7}


@keras.saving.register_keras_serializable("convoy")
class Speaker(keras.layers.Layer):
    """A picture's vector [B, UNITS] -> {"picture": it, and the weights by WEIGHTS}, float32.

    words: how many there are, END included. start: one of STARTS; "torch7" has two biases of the
    gates, as Torch's LSTM, of which "bias" is the sum. dropout: of the LSTM's output while it
    learns; `of_inputs`: of its input, too.
    """

    def __init__(self, words, start="im2txt", dropout=0.0, of_inputs=False, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})
        self.words, self.start = int(words), start
        self.dropout, self.of_inputs = float(dropout), bool(of_inputs)
        self.seeds = keras.random.SeedGenerator() if self.dropout else None

    def build(self, input_shape):
        shapes = {
            "vectors": (self.words, UNITS),
            "input_kernel": (UNITS, 4 * UNITS),
            "state_kernel": (UNITS, 4 * UNITS),
            "input_bias": (4 * UNITS,),
            "state_bias": (4 * UNITS,),
            "words_kernel": (UNITS, self.words),
            "words_bias": (self.words,),
        }
        for name, start in STARTS[self.start]().items():
            weight = self.add_weight(shape=shapes[name], initializer=start, name=name)
            setattr(self, name, weight)

    def call(self, picture):
        given = {name: getattr(self, name, self.input_bias) for name in WEIGHTS}
        if self.start == "torch7":
            given["bias"] = self.input_bias + self.state_bias
        # A tensor of each variable, without a copy.
        return {"picture": picture, **{n: ops.reshape(w, w.shape) for n, w in given.items()}}

    def compute_output_shape(self, input_shape):
        four = 4 * UNITS
        shapes = ((self.words, UNITS), (UNITS, four), (UNITS, four), (four,))
        shapes += ((UNITS, self.words), (self.words,))
        return {"picture": tuple(input_shape), **dict(zip(WEIGHTS, shapes, strict=True))}

    def dropped(self, x):
        """x with dropout, as while learning."""
        return keras.random.dropout(x, self.dropout, seed=self.seeds) if self.dropout else x

    def get_config(self):
        own = {name: getattr(self, name) for name in ("words", "start", "dropout", "of_inputs")}
        return {**super().get_config(), **own}


def step(given, gates, state):
    """One step of the LSTM: gates [N, 4 UNITS] of its input, state (h, c) [N, UNITS] each."""
    h, c = state
    i, f, g, o = ops.split(gates + ops.matmul(h, given["state_kernel"]), 4, axis=-1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    return ops.sigmoid(o) * ops.tanh(c), c


def gates_of(given, x):
    """[..., UNITS] -> [..., 4 UNITS]: what the input of a step says to its gates."""
    return ops.matmul(x, given["input_kernel"]) + given["bias"]


def vectors_of(given, words):
    """Numbers of words [...] -> [..., UNITS]."""
    return ops.take(given["vectors"], words, axis=0)


def scores_of(given, h):
    """[..., UNITS] -> [..., words]: logits of the next word."""
    return ops.matmul(h, given["words_kernel"]) + given["words_bias"]


def seen(given, picture=None):
    """The state (h, c) behind the picture, which is looked at once, at t = -1."""
    picture = given["picture"] if picture is None else picture
    zeros = ops.zeros_like(picture)
    return step(given, gates_of(given, picture), (zeros, zeros))


def taught(layer: Speaker, given, words, own=None):
    """Logits [B, T, words] while the layer learns to say words [B, T], each told those before it.

    words: -1 behind a sentence's end. own [B, T] bool: before a word the layer is told what itself
    finds likeliest there instead of the truth (scheduled sampling, Bengio 2015
    https://arxiv.org/abs/1506.03099); None = never. The first is told END.
    """
    words = ops.maximum(ops.cast(words, "int32"), 0)
    before = ops.pad(words[:, :-1], [[0, 0], [1, 0]], constant_values=END)

    def heard(x):
        return gates_of(given, layer.dropped(x) if layer.of_inputs else x)

    state = seen(given, layer.dropped(given["picture"]) if layer.of_inputs else given["picture"])
    steps = words.shape[1]
    if own is None:
        gates = heard(vectors_of(given, before))
        told = []
        for t in range(steps):
            state = step(given, gates[:, t], state)
            told.append(state[0])
        return scores_of(given, layer.dropped(ops.stack(told, axis=1)))
    logits = []
    for t in range(steps):
        word = before[:, t]
        if t:
            said = ops.cast(ops.argmax(logits[-1], axis=-1), "int32")
            word = ops.where(own[:, t], said, word)
        state = step(given, heard(vectors_of(given, word)), state)
        logits.append(scores_of(given, layer.dropped(state[0])))
    return ops.stack(logits, axis=1)
