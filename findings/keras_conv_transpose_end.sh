#!/usr/bin/env bash
# keras 3.15.1, Conv2DTranspose(strides=2, padding="same", output_padding=1), kernel 3, here by rows.
# Guessed: equals torch's ConvTranspose2d(3, stride=2, padding=1, output_padding=1): the size does.
# Seen: of the whole result (padding="valid") torch's definition leaves out the first value, Keras
# keeps it and leaves out the last one: all is one pixel off.
#   whole [1.0, 10.0, 102.0, 20.0, 203.0, 30.0, 300.0]
#   keras [1.0, 10.0, 102.0, 20.0, 203.0, 30.0]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras
import numpy as np


def turned_up(**padding):
    layer = keras.layers.Conv2DTranspose(1, (3, 1), strides=(2, 1), use_bias=False, **padding)
    layer.build((1, 3, 1, 1))
    layer.set_weights([np.reshape([1.0, 10.0, 100.0], (3, 1, 1, 1))])
    return np.ravel(layer(np.reshape([1.0, 2.0, 3.0], (1, 3, 1, 1)))).tolist()


whole, cut = turned_up(padding="valid"), turned_up(padding="same", output_padding=(1, 0))
print("whole", whole)
print("keras", cut)
sys.exit(cut != whole[:-1])
EOF
