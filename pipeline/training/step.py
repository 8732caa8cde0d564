"""The one training step: every task, every strategy, every precision."""

from __future__ import annotations

import keras
import tensorflow as tf

from convoy.models.keras_internals import averaged_weights
from convoy.models.spec import Task
from convoy.pipeline.config import Train


def build(task: Task, optimizer, train: Train, strategy: tf.distribute.Strategy):
    """Returns `step(batch) -> {loss name: scalar}`, a tf.function that updates the weights once.

    Each loss of a global batch is (sum over all its pictures) / (sum of their normalizers, at least
    1), so any number of replicas computes the same numbers as one process. "loss" is the total,
    with L2.
    """
    model = task.model
    weights = model.trainable_variables
    decayed = [v for v in weights if len(v.shape) > 1] if train.optimizer != "adamw" else []
    replicas = strategy.num_replicas_in_sync

    def over_replicas(value):
        if replicas == 1:
            return value
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, value)

    def replica_step(batch):
        with tf.GradientTape() as tape:
            sums = task.loss(batch["targets"], task.forward(batch))
            counts = tf.stack([tf.cast(count, tf.float32) for _, count in sums.values()])
            counts = tf.unstack(tf.maximum(over_replicas(counts), 1.0))
            losses = {
                name: value / count
                for (name, (value, _)), count in zip(sums.items(), counts, strict=True)
            }
            total = tf.add_n(list(losses.values()))
            if train.weight_decay and decayed:
                # Every replica adds its share, so that the sum over replicas is one L2 term.
                square = tf.add_n([tf.nn.l2_loss(v.value) for v in decayed])
                losses["l2"] = train.weight_decay * square / replicas
                total += losses["l2"]
            scaled = optimizer.scale_loss(total)
        grads = over_replicas(tape.gradient(scaled, [v.value for v in weights]))
        if train.clip_norm is not None:
            grads = _clip(grads, train.clip_norm, getattr(optimizer, "dynamic_scale", None))
        # Keras' optimizer sums over replicas once more: hand each replica its share.
        optimizer.apply([g / replicas for g in grads] if replicas > 1 else grads, weights)
        return {**losses, "loss": total}

    @tf.function(autograph=False)
    def step(batch):
        if replicas == 1:
            return replica_step(batch)
        losses = strategy.run(replica_step, args=(batch,))
        return {
            name: strategy.reduce(tf.distribute.ReduceOp.SUM, value, axis=None)
            for name, value in losses.items()
        }

    return step


def _clip(grads, limit: float, loss_scale):
    """Scales all gradients so that their joint norm, without loss scaling, is at most `limit`."""
    norm = tf.linalg.global_norm(grads)
    bound = limit if loss_scale is None else limit * tf.convert_to_tensor(loss_scale)
    factor = bound / tf.maximum(norm, bound)
    # A non-finite norm must reach the loss scaler or the guard unchanged, not become 0.
    factor = tf.where(tf.math.is_finite(norm), factor, 1.0)
    return [grad * factor for grad in grads]


def averaged(optimizer: keras.optimizers.Optimizer) -> list | None:
    """The averaged weights in the order of the trainable variables; None without EMA."""
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return averaged_weights(inner) if inner.use_ema else None
