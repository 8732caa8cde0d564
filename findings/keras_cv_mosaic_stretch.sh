#!/usr/bin/env bash
# keras-cv 0.9.0, Mosaic.
# Guessed: the four pictures are moved, not scaled, as their boxes are.
# Seen: the mosaic is sampled in steps of W / (W - 1) pixels: 8 columns 0 to 7, moved by 4, should
# begin 4, 5, 6, 7. The boxes are moved alone.
#   begins 4.00 5.14 6.29
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

columns = np.broadcast_to(np.arange(8, dtype=np.float32)[None, None, :, None], (4, 8, 8, 1))
layer = keras_cv.layers.Mosaic(offset=(0.5, 0.5))
mosaic = layer({"images": tf.constant(columns), "labels": tf.eye(4)})["images"]
row = np.asarray(mosaic)[0, 0, :3, 0]
print("begins", *(f"{column:.2f}" for column in row))
sys.exit(not np.allclose(row, [4, 4 + 8 / 7, 4 + 16 / 7], atol=1e-3))
EOF
