"""Text-CNN against loops, its counts, its words, and vectors of word2vec's files."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models import count
from convoy.models.registry import MODELS
from convoy.models.spec import Sentence
from convoy.models.text import text_cnn, tokens, vectors
from convoy.pipeline.config import Train
from convoy.pipeline.training import optimizers

WORDS = ("the", "film", "is", "good", "bad")
NAMES = sorted(text_cnn.VARIANTS)


def built(name: str, **options):
    keras.utils.set_random_seed(3)
    task = models.build_task(name, vocabulary=WORDS, max_words=7, **options)
    for weight in task.model.weights:  # filters start too small, and the last layer at 0
        if "vectors" not in weight.path:
            weight.assign(np.random.default_rng(len(weight.path)).normal(size=weight.shape))
    return task


def loops(task, numbers) -> np.ndarray:
    """Logits of one sentence, from the weights alone."""
    held = {weight.path: np.array(weight, np.float64) for weight in task.model.weights}
    sentence = np.zeros((len(numbers), 300))
    for name in ("vectors/embeddings", "fixed_vectors/embeddings"):
        for place, number in enumerate(numbers):
            if name in held and number > 0:
                sentence[place] += held[name][number - 1]
    features = []
    for width in (3, 4, 5):
        kernel, bias = held[f"conv{width}/kernel"], held[f"conv{width}/bias"]
        for k in range(100):
            answers = [
                float(np.sum(sentence[i : i + width] * kernel[:, :, k])) + bias[k]
                for i in range(len(sentence) - width + 1)
            ]
            features.append(max(0.0, *answers))
    return np.array(features) @ held["logits/kernel"] + held["logits/bias"]


@pytest.mark.parametrize("name", NAMES)
def test_outputs_are_those_of_loops(name):
    task = built(name, num_classes=3)
    numbers = task.opened(tf.constant(["the good film", "a bad, bad film is the film", ""]))
    found = task.model(numbers).numpy()
    expected = np.stack([loops(task, row) for row in numbers.numpy()])
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_parameters_without_vectors_are_the_papers():
    """3, 4 and 5 words of 300 numbers, 100 filters each with bias; 300 -> 2 with bias."""
    assert sum(100 * (300 * n + 1) for n in (3, 4, 5)) + 300 * 2 + 2 == 360_902
    for name in NAMES:
        channels = len(text_cnn.VARIANTS[name])
        assert MODELS[name].params == 360_902 + channels * 300 * (text_cnn.WORDS + 1)


def test_what_learns():
    learning = {
        name: {weight.path for weight in built(name).model.trainable_weights} for name in NAMES
    }
    assert "vectors/embeddings" in learning["text_cnn_rand"] & learning["text_cnn_nonstatic"]
    assert len(learning["text_cnn_static"]) == 8
    assert learning["text_cnn_multichannel"] == learning["text_cnn_rand"]


def test_the_norm_of_each_class_stays_within_three():
    """One step of plain gradient descent that would make the norms 300."""
    task = built("text_cnn_rand")
    kernel = task.model.get_layer("logits").kernel
    kernel.assign(np.zeros(kernel.shape))
    train = Train(optimizer="sgd", learning_rate=1.0, schedule="constant")
    optimizer = optimizers.build(train, total_steps=1, steps_per_epoch=1)
    gradient = np.full(kernel.shape, -(300**0.5), np.float32) * [1.0, 1e-3]
    optimizer.apply([tf.constant(gradient, tf.float32)], [kernel])
    norms = np.linalg.norm(np.array(kernel), axis=0)
    np.testing.assert_allclose(norms, [3.0, 0.3], rtol=1e-5)


def test_adadelta_is_the_papers():
    """First step: -sqrt(e) / sqrt(0.05 g^2 + e) * g with e = 1e-6 and g = 2."""
    weight = keras.Variable(np.float32([1.0]))
    train = Train(optimizer="adadelta", learning_rate=1.0, schedule="constant")
    optimizer = optimizers.build(train, total_steps=9, steps_per_epoch=1)
    optimizer.apply([tf.constant([2.0])], [weight])
    expected = 1.0 - 2.0 * (1e-6 / (0.05 * 4.0 + 1e-6)) ** 0.5
    np.testing.assert_allclose(np.array(weight), [expected], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("It's GREAT, isn't it?", "it 's great , is n't it ?"),
        ("we've they're i'd you'll", "we 've they 're i 'd you 'll"),
        ("(well-made) `film'; 100%", "( well made ) `film' 100"),
        ("so... bad!!", "so bad ! !"),
        ("caf\u00e9 \u65e5\u672c", "caf"),
        ("  ", ""),
    ],
)
def test_words(text, expected):
    found = tokens.words(tf.constant([text])).to_list()[0]
    assert [word.decode() for word in found] == expected.split()


def test_vocabulary_is_sorted_by_count_then_alphabet():
    assert tokens.vocabulary(["b a c", "c B!", "c"]) == ["c", "b", "!", "a"]


def test_numbers_are_padded_and_cut():
    of = tokens.Tokens(WORDS, Sentence(words=3, margin=2))
    found = of(tf.constant(["the film", "so good good good"])).numpy()
    assert found.tolist() == [[0, 0, 2, 3, 0, 0, 0], [0, 0, 1, 5, 5, 0, 0]]
    assert of(tf.constant([], tf.string)).shape == (0, 7)


def test_a_vocabulary_is_needed():
    with pytest.raises(ValueError, match="at least one word"):
        models.build_task("text_cnn_rand")
    with pytest.raises(ValueError, match="each word of the vocabulary once"):
        tokens.Tokens(("a", "a"), Sentence())
    with pytest.raises(ValueError, match="text_cnn_rand reads words: leave input_size out"):
        models.build("text_cnn_rand", input_size=(64, 64))


def _files(folder):
    rows = {"good": np.linspace(-1, 1, 300, dtype=np.float32), "unseen": np.zeros(300, np.float32)}
    binary = b"2 300\n" + b"".join(
        word.encode() + b" " + row.astype("<f4").tobytes() + b"\n" for word, row in rows.items()
    )
    (folder / "v.bin").write_bytes(binary)
    lines = [f"{word} {' '.join(map(repr, row.tolist()))}" for word, row in rows.items()]
    (folder / "v.txt").write_text("2 300\n" + "\n".join(lines) + "\n")
    (folder / "glove.txt").write_text("\n".join(lines) + "\n")
    return rows["good"]


@pytest.mark.parametrize("file", ["v.bin", "v.txt", "glove.txt"])
def test_pretrained_vectors_reach_every_channel(tmp_path, file):
    vector = _files(tmp_path)
    task = built("text_cnn_multichannel")
    assert vectors.assign(task.model, WORDS, tmp_path / file) == {"found": 1, "words": 5}
    both = [np.array(task.model.get_layer(n).embeddings) for n in ("vectors", "fixed_vectors")]
    np.testing.assert_array_equal(*both)
    np.testing.assert_array_equal(both[0][1 + WORDS.index("good")], vector)
    rest = np.delete(both[0], 1 + WORDS.index("good"), axis=0)
    assert np.abs(rest).max() <= 0.25
    assert rest.std() == pytest.approx(0.5 / 12**0.5, rel=0.1)


def test_vectors_that_do_not_fit_are_refused(tmp_path):
    _files(tmp_path)
    task = built("text_cnn_rand")
    (tmp_path / "short.txt").write_text("good 1 2 3\n")
    (tmp_path / "cut.bin").write_bytes((tmp_path / "v.bin").read_bytes()[:-700])
    for file, message in (
        ("short.txt", "expected vectors of 300 numbers, got 3 in line 1"),
        ("cut.bin", "ends inside entry 2 of 2"),
    ):
        with pytest.raises(ValueError, match=message):
            vectors.assign(task.model, WORDS, tmp_path / file)
    with pytest.raises(ValueError, match="of none of our 1 words"):
        vectors.assign(task.model, ("other",), tmp_path / "v.bin")


def test_counts_of_what_was_built():
    task = built("text_cnn_rand")
    assert task.info.params == count.params(task.model) == 360_902 + 6 * 300
