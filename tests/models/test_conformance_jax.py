"""Networks, losses and gradients under Keras' JAX backend, as if TensorFlow were not installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

# A few of different layers; each is compiled for seconds.
NAMES = (
    "lecun1989",
    "lenet5_1998",
    "caltech_convnet_rn",
    "alexnet",
    "spp_net_zf5",
    "googlenet_aux",
    "resnet18",
    "lm_resnet20",
    "mobilenet_v3_small",
    "cspdarknet53",
    "ssd_mobilenet_v1",
    "text_cnn_rand",
    "cnn_trad_fpool3",
)
PROGRAM = """
import sys
sys.modules["tensorflow"] = None  # importing it fails, asking for it says that there is none
import jax, keras, numpy as np
from convoy import models
from convoy.models import losses
from tests.models.smallest import CASES

assert keras.backend.backend() == "jax"
draw = np.random.default_rng(0)
for name in sys.argv[1:]:
    task = models.build_task(name, **CASES[name].options)
    shape = (2, *task.model.input_shape[1:])
    if task.info.task == "text":
        inputs = draw.integers(0, 7, shape).astype("int32")
    else:
        inputs = draw.uniform(0, 255, shape).astype("float32")
    if task.info.task == "detection":
        rows = task.model.output["box"].shape[1]
        classes = (np.arange(2 * rows).reshape(2, rows) % 50 == 0).astype("int32")
        targets = {"cls": classes, "box": np.ones((2, rows, 4), "float32")}
    else:
        targets = {"label": np.array([0, 1])}
    state = [v.value for v in task.model.non_trainable_variables]

    def total(weights):
        outputs, _ = task.model.stateless_call(weights, state, inputs, training=True)
        return losses.total(task.loss(targets, outputs))

    weights = [v.value for v in task.model.trainable_variables]
    value, slopes = jax.jit(jax.value_and_grad(total))(weights)
    assert value.dtype == "float32" and np.isfinite(value), name
    assert all(np.isfinite(slope).all() for slope in slopes), name
    print(name)

codes = np.zeros((1, 5, 4), "float32")
found = losses.multibox(
    {"cls": np.array([[2, 0, 0, 0, 0]]), "box": codes},
    {"cls": np.zeros((1, 5, 3), "float32"), "box": codes + 0.5},
)
np.testing.assert_allclose(found["cls"][0], 4 * np.log(3), rtol=1e-5)
np.testing.assert_allclose(found["box"][0], 0.5, rtol=1e-5)
print("losses")
"""


@pytest.mark.slow
def test_networks_and_losses_run_on_jax():
    pytest.importorskip("jax")
    found = subprocess.run(
        [sys.executable, "-c", PROGRAM, *NAMES],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stdout.split() == [*NAMES, "losses"], found.stderr[-2000:]
