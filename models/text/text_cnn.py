"""Text-CNN: one convolution over word vectors, its highest answer in the sentence, a linear layer.

Paper: Kim 2014 https://arxiv.org/abs/1408.5882. Filters over 3, 4 and 5 words, 100 of each, on
vectors of 300 numbers. The variants differ in the vectors: "rand" starts at random and learns them,
"static" keeps pretrained ones, "nonstatic" learns from them on, "multichannel" holds both: its
filters are the same for both channels and their answers are added, so the vectors are.

As in the paper: every class's weights of the last layer have a norm of at most 3; dropout before it
is the caller's (paper 0.5); a sentence has 4 empty words on each side, so that filters reach over
its ends. As in the author's code: filters start in U(-0.01, 0.01), the last layer at 0, vectors of
words without a pretrained one in U(-0.25, 0.25), and an empty word is 0 and stays so.
Difference: words that training never saw share one vector; the author's vocabulary holds the words
of the test sentences too. Checked against NumPy loops in tests/models/test_text_cnn.py.
"""

from __future__ import annotations

import keras
from keras import ops

from convoy.models.spec import Sentence

# variant: for each channel, whether its word vectors learn
VARIANTS = {
    "text_cnn_rand": (True,),
    "text_cnn_static": (False,),
    "text_cnn_nonstatic": (True,),
    "text_cnn_multichannel": (False, True),
}
VECTOR, FILTERS, WIDTHS = 300, 100, (3, 4, 5)
WORDS = 18_765  # of the vocabulary of the paper's movie reviews
MAX_NORM = 3.0
START = 0.25


@keras.saving.register_keras_serializable("convoy")
class WordVectors(keras.layers.Layer):
    """Numbers of words [B, L] -> vectors [B, L, VECTOR]; of 0, the empty word, zeros.

    embeddings [words + 1, VECTOR]: row 0 is of number 1, unknown words; row i of number i + 1.
    start: their initialiser; None is uniform in +-START.
    """

    def __init__(self, words, start=None, **kwargs):
        super().__init__(**kwargs)
        self.words = words
        self.start = start or keras.initializers.RandomUniform(-START, START)

    def build(self, input_shape):
        self.embeddings = self.add_weight(
            shape=(self.words + 1, VECTOR), initializer=self.start, name="embeddings"
        )

    def call(self, numbers):
        vectors = ops.take(self.embeddings, ops.maximum(numbers - 1, 0), axis=0)
        return vectors * ops.cast(numbers > 0, vectors.dtype)[..., None]

    def compute_output_shape(self, input_shape):
        return (*input_shape, VECTOR)

    def get_config(self):
        return {**super().get_config(), "words": self.words}


def build(
    variant: str,
    preprocess: Sentence,
    *,
    num_classes: int = 2,
    words: int = WORDS,
    dropout: float = 0.0,
) -> keras.Model:
    """Numbers of words [B, L] int32 (models/text/tokens.py) -> logits [B, num_classes]."""
    numbers = keras.Input((preprocess.length,), dtype="int32", name="words")
    # One object has one seed: both channels start alike, as they do from pretrained vectors.
    start = keras.initializers.RandomUniform(-START, START)
    channels = [
        WordVectors(words, start, trainable=learns, name="vectors" if learns else "fixed_vectors")(
            numbers
        )
        for learns in VARIANTS[variant]
    ]
    x = keras.layers.Add(name="channels")(channels) if len(channels) > 1 else channels[0]
    maxima = []
    for width in WIDTHS:
        conv = keras.layers.Conv1D(
            FILTERS,
            width,
            activation="relu",
            kernel_initializer=keras.initializers.RandomUniform(-0.01, 0.01),
            name=f"conv{width}",
        )
        maxima.append(keras.layers.GlobalMaxPooling1D(name=f"pool{width}")(conv(x)))
    x = keras.layers.Concatenate(name="features")(maxima)
    if dropout:
        x = keras.layers.Dropout(dropout, name="dropout")(x)
    logits = keras.layers.Dense(
        num_classes,
        kernel_initializer="zeros",
        kernel_constraint=keras.constraints.MaxNorm(MAX_NORM, axis=0),
        dtype="float32",
        name="logits",
    )(x)
    return keras.Model(numbers, logits, name=variant)
