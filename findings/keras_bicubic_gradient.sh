#!/usr/bin/env bash
# keras 3.15.1 on tensorflow 2.20.0, UpSampling2D(interpolation="bicubic") in 16 bits.
# Guessed: it learns in bfloat16 as in float32, as bilinear does.
# Seen: its gradient is None in bfloat16 and float16: all layers below it stay as they are.
#   bilinear: float32 True, bfloat16 True, float16 True
#   bicubic: float32 True, bfloat16 False, float16 False
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras
import tensorflow as tf


def has_gradient(interpolation, dtype):
    layer = keras.layers.UpSampling2D(2, interpolation=interpolation, dtype=dtype)
    image = tf.Variable(tf.ones((1, 2, 2, 1), dtype))
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(layer(image))
    return tape.gradient(total, image) is not None


rows = {}
for kind in ("bilinear", "bicubic"):
    rows[kind] = [has_gradient(kind, dtype) for dtype in ("float32", "bfloat16", "float16")]
    print(f"{kind}: float32 {rows[kind][0]}, bfloat16 {rows[kind][1]}, float16 {rows[kind][2]}")
sys.exit(rows != {"bilinear": [True] * 3, "bicubic": [True, False, False]})
EOF
