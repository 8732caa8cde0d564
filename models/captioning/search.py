"""The likeliest sentences about a picture by beam search, in TensorFlow: a part of what is served.

Vinyals 2014 https://arxiv.org/abs/1411.4555, section 3.1: of all sentences that continue the best
ones so far the best are kept, ended ones among them. A sentence's score is the sum of the
log-probabilities of its words and its end, whatever its length. With one sentence kept this is the
greedy search.
"""

from __future__ import annotations

import tensorflow as tf

from convoy.models.captioning import speaker
from convoy.models.captioning.tokens import END, UNKNOWN

NEVER = -1e9  # a log-probability: of what must not be said, and of a sentence that is none


def search(given, longest: int, beam: int) -> tuple[tf.Tensor, tf.Tensor]:
    """({a speaker's outputs}) -> words [B, beam, longest] int32, log-probabilities [B, beam].

    The best sentence comes first. Behind a sentence's words there is END; it has at most `longest`
    words, and UNKNOWN is none of them. Where there are not as many sentences, rows of END alone at
    NEVER or less follow.
    """
    count = given["words_bias"].shape[0]
    pictures = tf.shape(given["picture"])[0]
    ends = tf.one_hot(END, count) > 0
    allowed = tf.range(count) != UNKNOWN

    def go_on(t, words, scores, ended, last, h, c):
        return (t <= longest) & ~tf.reduce_all(ended)

    def one_more(t, words, scores, ended, last, h, c):
        gates = speaker.gates_of(given, speaker.vectors_of(given, tf.reshape(last, [-1])))
        state = tuple(tf.reshape(x, [-1, speaker.UNITS]) for x in (h, c))
        state = speaker.step(given, gates, state)
        likely = tf.nn.log_softmax(speaker.scores_of(given, state[0]))
        likely = tf.reshape(likely, [pictures, beam, count])
        # A sentence that has ended goes on with END, for nothing; one that is too long must end.
        must = ended | (t == longest)
        likely = tf.where(tf.where(must[..., None], ends, allowed), likely, NEVER)
        likely = tf.where(ended[..., None] & ends, 0.0, likely)
        total = tf.reshape(scores[..., None] + likely, [pictures, beam * count])
        scores, place = tf.math.top_k(total, beam)
        parent, word = place // count, place % count
        words, ended = (tf.gather(x, parent, batch_dims=1) for x in (words, ended))
        h, c = (
            tf.gather(tf.reshape(x, [pictures, beam, speaker.UNITS]), parent, batch_dims=1)
            for x in state
        )
        here = tf.range(longest + 1) == t
        words = tf.where(here, word[..., None], words)
        return t + 1, words, scores, ended | (word == END), word, h, c

    # At the beginning there is one sentence; the others' places are free.
    first = tf.where(tf.range(beam) == 0, 0.0, NEVER)
    state = [tf.tile(x[:, None], [1, beam, 1]) for x in speaker.seen(given)]
    found = tf.while_loop(
        go_on,
        one_more,
        [
            tf.constant(0),
            tf.fill([pictures, beam, longest + 1], END),
            tf.tile(first[None], [pictures, 1]),
            tf.zeros([pictures, beam], tf.bool),
            tf.fill([pictures, beam], END),
            *state,
        ],
        parallel_iterations=1,
    )
    words, scores = found[1][..., :longest], found[2]
    there = scores > NEVER / 2
    return tf.where(there[..., None], words, END), scores
