#!/usr/bin/env bash
# keras 3.15.1, DepthwiseConv2D(3, depthwise_initializer="he_normal").
# Guessed: a kernel that sees 9 values of one channel has a fan-in of 9, so that a standard deviation
# of sqrt(2 / 9) = 0.471 keeps the variance, as torch's depthwise convolution (groups) has it.
# Seen: the fan-in is 9 times the number of channels: weights shrink with the width of the layer.
#   channels 16: 0.116, sqrt(2 / (9 * 16)) = 0.118
#   channels 1024: 0.015, sqrt(2 / (9 * 1024)) = 0.015
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras

keras.utils.set_random_seed(0)
same = True
for channels in (16, 1024):
    layer = keras.layers.DepthwiseConv2D(3, depthwise_initializer="he_normal")
    layer.build((None, 8, 8, channels))
    std, by_all = layer.get_weights()[0].std(), (2 / (9 * channels)) ** 0.5
    print(f"channels {channels}: {std:.3f}, sqrt(2 / (9 * {channels})) = {by_all:.3f}")
    same = same and abs(std / by_all - 1) < 0.1
sys.exit(not same)
EOF
