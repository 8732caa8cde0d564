"""Sentences about pictures: what is learnt, and beam search against NumPy and against all."""

from __future__ import annotations

import itertools
import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from convoy import models
from convoy.models.captioning import search, speaker, task, tokens

WORDS = ("<end>", "<unknown>", "a", "dog", "cat", "runs", "kite")
SMALL = {"backbone": "mobilenet_v1", "width": 0.25, "input_size": (64, 64)}


def built(**options):
    keras.utils.set_random_seed(0)
    every = {**SMALL, "num_classes": len(WORDS), "words": WORDS, "max_words": 4, **options}
    return models.build_task("show_and_tell", **every)


def learnt(made, caption: str, **more) -> list[int]:
    return made.encode({"caption": tf.constant(caption), **more})["words"].numpy().tolist()


def weights(seed: int, count: int, pictures: int = 3) -> dict[str, np.ndarray]:
    """What a speaker gives out, so that sentences are of several lengths and pictures differ."""
    draw = np.random.default_rng(seed)
    units = speaker.UNITS
    given = {
        "picture": draw.normal(0, 3, (pictures, units)),
        "vectors": draw.normal(0, 1, (count, units)),
        "input_kernel": draw.normal(0, 0.1, (units, 4 * units)),
        "state_kernel": draw.normal(0, 0.1, (units, 4 * units)),
        "bias": draw.normal(0, 0.1, 4 * units),
        "words_kernel": draw.normal(0, 0.1, (units, count)),
        "words_bias": draw.normal(0, 0.1, count),
    }
    given["words_bias"][tokens.UNKNOWN] = 3  # likely, and yet never said
    given["words_bias"][tokens.END] = 1
    return {name: value.astype(np.float32) for name, value in given.items()}


class Oracle:
    """One picture's sentences by loops in float64."""

    def __init__(self, given, picture: int):
        self.given = {name: np.float64(value) for name, value in given.items()}
        self.picture = self.given["picture"][picture]

    def step(self, x, state):
        h, c = state
        gates = x @ self.given["input_kernel"] + self.given["bias"] + h @ self.given["state_kernel"]
        i, f, g, o = np.split(gates, 4)
        c = c / (1 + np.exp(-f)) + np.tanh(g) / (1 + np.exp(-i))
        return np.tanh(c) / (1 + np.exp(-o)), c

    def begin(self):
        return self.step(self.picture, (np.zeros(speaker.UNITS),) * 2)

    def next(self, word, state):
        """(log-probabilities of the word after `word`, state)."""
        state = self.step(self.given["vectors"][word], state)
        logits = state[0] @ self.given["words_kernel"] + self.given["words_bias"]
        return logits - np.log(np.exp(logits).sum()), state

    def beam(self, longest: int, beam: int) -> list[tuple[float, list[int]]]:
        kept = [(0.0, [], self.begin(), False)]
        for t in range(longest + 1):
            more = []
            for score, words, state, ended in kept:
                if ended:
                    more.append((score, words, state, True))
                    continue
                likely, after = self.next(words[-1] if words else tokens.END, state)
                for word, value in enumerate(likely):
                    if word == tokens.END:
                        more.append((score + value, words, after, True))
                    elif word != tokens.UNKNOWN and t < longest:
                        more.append((score + value, [*words, word], after, False))
            kept = sorted(more, key=lambda sentence: -sentence[0])[:beam]
        return [(score, words) for score, words, _, _ in kept]

    def probability(self, words: list[int]) -> float:
        state, total = self.begin(), 0.0
        for before, word in itertools.pairwise([tokens.END, *words, tokens.END]):
            likely, state = self.next(before, state)
            total += likely[word]
        return total


def said(words: np.ndarray) -> list[int]:
    """A row of `search` without what is behind the sentence."""
    numbers = words.tolist()
    return numbers[: numbers.index(tokens.END)] if tokens.END in numbers else numbers


@pytest.mark.parametrize("beam", [1, 2, 3, 7])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_beam_search_equals_numpy(seed, beam):
    given = weights(seed, 12)
    words, scores = (x.numpy() for x in search.search(given, 6, beam))
    assert words.shape == (3, beam, 6)
    lengths = set()
    for picture in range(3):
        expected = Oracle(given, picture).beam(6, beam)
        assert [said(row) for row in words[picture]] == [row for _, row in expected]
        np.testing.assert_allclose(scores[picture], [score for score, _ in expected], rtol=1e-4)
        lengths |= {len(row) for _, row in expected}
    assert len(lengths) > 1 or beam < 3


def test_a_wide_beam_finds_the_best_of_all_sentences():
    """Of 4 words all 85 sentences of three words or fewer; two are never said."""
    given, sayable = weights(5, 6), (2, 3, 4, 5)
    words, scores = (x.numpy() for x in search.search(given, 3, 85))
    for picture in range(3):
        oracle = Oracle(given, picture)
        every = [list(row) for n in range(4) for row in itertools.product(sayable, repeat=n)]
        ranked = sorted(every, key=lambda row: -oracle.probability(row))
        assert [said(row) for row in words[picture]] == ranked
        expected = [oracle.probability(row) for row in ranked]
        np.testing.assert_allclose(scores[picture], expected, rtol=1e-4)


def test_a_picture_is_told_the_same_alone_and_in_a_graph():
    given = weights(1, 12)
    together, _ = search.search(given, 6, 3)
    alone, _ = search.search({**given, "picture": given["picture"][1:2]}, 6, 3)
    np.testing.assert_array_equal(together[1:2], alone)
    graph = tf.function(lambda picture: search.search({**given, "picture": picture}, 6, 3))
    specs = tf.TensorSpec([None, speaker.UNITS])
    np.testing.assert_array_equal(graph.get_concrete_function(specs)(given["picture"])[0], together)


def test_more_places_than_sentences():
    """Of one word to say, once: "" and "w"; the other places are empty, and nothing is wrong."""
    found = task.decode(weights(0, 3), beam=5, longest=1)
    answered = task.answer(found, None, None, tf.constant(["<end>", "<unknown>", "w"]))
    for captions, scores in zip(answered["captions"], answered["scores"], strict=True):
        assert sorted(captions.numpy()) == [b"", b"", b"", b"", b"w"]
        assert (scores.numpy() > 0).tolist() == [True, True, False, False, False]


def test_an_answer_in_words():
    decoded = {
        "words": tf.constant([[[2, 3, 0, 0], [0, 0, 0, 0]]]),
        "scores": tf.constant([[0.5, 0.1]]),
    }
    answered = task.answer(decoded, None, None, tf.constant(WORDS))
    assert answered["caption"].numpy().tolist() == [b"a dog"]
    assert answered["captions"].numpy().tolist() == [[b"a dog", b""]]


def test_captions_are_learnt_up_to_their_end():
    """Four words at most; one that goes on has no end there, and one without words is nothing."""
    made = built()
    assert learnt(made, "A dog runs.") == [2, 3, 5, 0, -1]
    assert learnt(made, "a DOG, a cat") == [2, 3, 2, 4, 0]
    assert learnt(made, "a dog a cat runs") == [2, 3, 2, 4, -1]
    assert learnt(made, "dog " * 500) == [3, 3, 3, 3, -1]
    assert learnt(made, "Zebra") == [1, 0, -1, -1, -1]
    assert learnt(made, "") == learnt(made, "...") == [-1] * 5


def test_loss_by_hand():
    """Three words of two sentences, one of which has a probability of 3/4."""
    logits = np.zeros((2, 3, 2), np.float32)
    logits[0, 0, 1] = math.log(3)
    words = np.array([[1, 0, -1], [0, -1, -1]])
    total, count = task.loss({"words": words}, {"logits": logits})["words"]
    assert float(count) == 3
    assert float(total) == pytest.approx(-math.log(3 / 4) + 2 * math.log(2), rel=1e-6)


def test_a_network_is_told_the_truth_or_its_own_words():
    """With its own words everywhere what it says is what greedy search finds."""
    made = built()
    layer = made.model.get_layer("speaker")
    for weight in layer.weights:
        weight.assign(np.random.default_rng(len(weight.shape)).normal(0, 0.3, weight.shape))
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    given = made.model(images, training=False)
    truth = np.array([[2, 3, 5, 0, -1], [6, 6, 0, -1, -1]])
    told = speaker.taught(layer, given, truth)
    never = speaker.taught(layer, given, truth, np.zeros((2, 5), bool))
    np.testing.assert_allclose(told, never, rtol=1e-4, atol=1e-5)
    own = speaker.taught(layer, given, truth, np.ones((2, 5), bool)).numpy().argmax(-1)
    assert (own != told.numpy().argmax(-1)).any()
    for picture in range(2):
        oracle = Oracle({name: value.numpy() for name, value in given.items()}, picture)
        state, word = oracle.begin(), tokens.END
        for t in range(5):
            likely, state = oracle.next(word, state)
            word = int(likely.argmax())
            assert own[picture, t] == word


def test_its_own_words_come_with_the_epochs():
    made = built(max_words=999, scheduled_sampling=0.5, sampling_epochs=4)

    def part(epoch: int, seed: int = 3) -> np.ndarray:
        annotation = {"caption": tf.constant("a"), "epoch": tf.constant(epoch, tf.int64)}
        return made.encode({**annotation, "seed": tf.constant([seed, 7])})["own"].numpy()

    assert not part(0).any()
    # Of 1000 draws the deviation is below 0.016.
    assert part(1).mean() == pytest.approx(0.125, abs=0.06)
    assert part(4).mean() == pytest.approx(0.5, abs=0.08)
    assert part(40).mean() == part(4).mean()
    np.testing.assert_array_equal(part(2), part(2))
    assert (part(4) != part(4, seed=4)).any()
    assert "own" not in built().encode({"caption": tf.constant("a")})


def test_dropout_is_of_training_alone_and_its_state_is_saved():
    made = built(dropout=0.5)
    images = np.random.default_rng(0).uniform(0, 255, (2, 64, 64, 3)).astype(np.float32)
    batch = {"image": images, "targets": {"words": np.array([[2, 3, 0, -1, -1]] * 2)}}
    state = [v for v in made.model.variables if "seed" in v.path]
    assert len(state) == 1
    before = state[0].numpy()
    first, second = (made.forward(batch)["logits"].numpy() for _ in range(2))
    assert np.abs(first - second).max() > 0
    state[0].assign(before)
    np.testing.assert_allclose(made.forward(batch)["logits"], first, atol=1e-5)
    still = [made.model(images, training=False)["picture"].numpy() for _ in range(2)]
    np.testing.assert_array_equal(*still)


def test_forget_gates_start_open():
    bias = built().model.get_layer("speaker").input_bias.numpy()
    units = speaker.UNITS
    assert bias[units : 2 * units].tolist() == [1.0] * units
    assert np.abs(bias).sum() == units


def test_difference_by_hand():
    """0.25 of one word and an end is 0.5 each; a near tie that the beam knew is not far."""

    def answers(*pairs):
        captions, scores = zip(*pairs, strict=True)
        return {
            "captions": np.array([[text.encode() for text in captions]], object),
            "scores": np.array([scores], np.float32),
        }

    one = answers(("dog", 0.25), ("cat", 0.2401))
    assert task.difference(one, one) == 0
    assert task.difference(one, answers(("dog", 0.36), ("cat", 0.1))) == pytest.approx(0.1)
    swapped = answers(("cat", 0.2401), ("dog", 0.24))
    assert task.difference(one, swapped) == pytest.approx(0.01, abs=1e-6)
    assert task.difference(one, answers(("kite", 0.25), ("dog", 0.25))) == 1.0


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="words: expected 7 as in the network, got 6"):
        built(words=WORDS[:6])
    with pytest.raises(ValueError, match="show_and_tell needs its words to learn captions"):
        built(words=()).encode({"caption": tf.constant("a")})
    with pytest.raises(ValueError, match="scheduled_sampling is for captioning, not"):
        models.build_task("lenet5", scheduled_sampling=0.5)
    with pytest.raises(ValueError, match="no maps by stride"):
        models.build_task("show_and_tell", backbone="text_cnn_rand")
