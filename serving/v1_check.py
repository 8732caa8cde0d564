"""Runs a SavedModel the way TensorFlow Serving does: V1 loader, session, tensors by name.

    python -I v1_check.py SAVED_MODEL REQUEST.json ANSWER.npz

REQUEST.json: {"samples": [base64, ...], "given": {input: nested lists of numbers, or of base64}};
the samples are for the other input. ANSWER.npz: one array per output, and `modules`, the top-level
modules that were loaded. Nothing of this project is imported: what only works where the network's
code is at hand fails here.
"""

from __future__ import annotations

import base64
import json
import sys

STRING = 7  # tensorflow.DT_STRING


def main(model: str, request: str, answer: str) -> None:
    """Answers one batch with the default signature."""
    import numpy as np
    import tensorflow as tf

    with open(request) as file:
        document = json.load(file)
    samples, given = [base64.b64decode(text) for text in document["samples"]], document["given"]
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], model)
        signature = graph.signature_def["serving_default"]
        feed = {
            info.name: np.array(samples, object)
            if key not in given
            else np.array(given[key], np.float32)
            if info.dtype != STRING
            else np.array([[base64.b64decode(text) for text in row] for row in given[key]], object)
            for key, info in signature.inputs.items()
        }
        outputs = session.run({k: info.name for k, info in signature.outputs.items()}, feed)
    for name, value in outputs.items():
        if value.dtype == object:
            outputs[name] = value.astype(np.bytes_)
    modules = sorted({name.split(".")[0] for name in sys.modules})
    np.savez(answer, modules=np.array(modules), **outputs)


if __name__ == "__main__":
    main(*sys.argv[1:4])
