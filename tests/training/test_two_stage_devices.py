"""Two mirrored devices compute the losses and the step of one, with a detector that samples.

R-FCN on 64 x 64 px: all of its 192 anchors are used and the hardest regions are no matter of
chance, so that no random number decides.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest

PROGRAM = """
import json, sys
import keras, numpy as np, tensorflow as tf
devices = int(sys.argv[1])
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * devices)
from convoy import models
from convoy.pipeline.config import Train
from convoy.pipeline.training import optimizers, step, strategy
from tests.parity import formula

where = strategy.build("mirrored" if devices > 1 else "one")
keras.utils.set_random_seed(0)
with where.scope():
    task = models.build_task("rfcn", num_classes=3, input_size=(64, 64), width=0.25)
    train = Train(optimizer="sgd", learning_rate=0.01, batch_size=2)
    optimizer = optimizers.build(train, total_steps=3, steps_per_epoch=1)
    optimizer.build(task.model.trainable_variables)
boxes = np.float32([[[4, 8, 40, 60], [20, 30, 62, 60]], [[10, 10, 30, 30], [0, 0, 64, 64]]])
rows = [
    task.encode({"boxes": box, "classes": np.array([0, 2]), "valid": np.ones(2, bool)})
    for box in boxes
]
targets = {key: tf.stack([row[key] for row in rows]) for key in rows[0]}
data = tf.data.Dataset.from_tensors({"image": formula.pictures(2, 64, 64), "targets": targets})
data = data.unbatch().batch(2).repeat(2)
update = step.build(task, optimizer, train, where)
found = []
for batch in where.experimental_distribute_dataset(data) if devices > 1 else data:
    found.append({name: float(value) for name, value in update(batch).items()})
print(json.dumps(found))
"""


@pytest.mark.slow
def test_two_mirrored_devices_equal_one():
    found = []
    for devices in ("1", "2"):
        process = subprocess.run(
            [sys.executable, "-c", PROGRAM, devices],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2"},
        )
        assert process.returncode == 0, process.stderr[-2000:]
        found.append(json.loads(process.stdout.splitlines()[-1]))
    one, two = found
    for expected, received in zip(one, two, strict=True):
        assert expected.keys() == received.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(received[name], value, rtol=1e-4, err_msg=name)
    assert one[1]["loss"] != one[0]["loss"]
