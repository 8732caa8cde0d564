#!/usr/bin/env bash
# keras-cv 0.9.0, CutMix.
# Guessed: labels are mixed by the part of the pixels that each picture has, as in the paper
# (https://arxiv.org/abs/1905.04899, its code recomputes lambda from the cut rectangle).
# Seen: by the area of the rectangle before it is cut at the border. The pasted picture's label is
# too heavy wherever the rectangle reaches outside.
#   label weight 0.532, pixels 0.693, largest difference 0.614
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras-cv==0.9.0' 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras_cv
import numpy as np
import tensorflow as tf

tf.random.set_seed(0)
owner = np.arange(256, dtype=np.float32)  # picture number n is n everywhere, its label is class n
images = tf.constant(np.broadcast_to(owner[:, None, None, None], (256, 64, 64, 1)))
mixed = keras_cv.layers.CutMix()({"images": images, "labels": tf.eye(256)})
own = np.isclose(mixed["images"], images).mean(axis=(1, 2, 3))  # part of the pixels
label = np.diag(mixed["labels"])
error = own - label
print(f"label weight {label.mean():.3f}, pixels {own.mean():.3f}, ", end="")
print(f"largest difference {error.max():.3f}")
sys.exit(not (error.max() > 0.5 and error.mean() > 0.1))
EOF
