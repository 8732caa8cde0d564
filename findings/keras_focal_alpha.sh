#!/usr/bin/env bash
# keras 3.15.1, keras.losses.BinaryFocalCrossentropy(alpha=...).
# Guessed: alpha weighs positives and 1 - alpha negatives, as in the paper
# (https://arxiv.org/abs/1708.02002, equation 5).
# Seen: without apply_class_balancing=True, alpha changes nothing.
#   alpha=0.25: 0.0817 and 0.0817; balanced: 0.0204 and 0.0613
#   alpha=0.9: 0.0817 and 0.0817; balanced: 0.0736 and 0.0082
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras
import numpy as np


def losses(**options):
    loss = keras.losses.BinaryFocalCrossentropy(**options)
    pairs = ((1.0, 0.6), (0.0, 0.4))  # a positive and a negative, equally wrong
    return [float(loss(np.array([[truth]]), np.array([[score]]))) for truth, score in pairs]


without = []
for alpha in (0.25, 0.9):
    plain, balanced = losses(alpha=alpha), losses(alpha=alpha, apply_class_balancing=True)
    print(f"alpha={alpha}: {plain[0]:.4f} and {plain[1]:.4f}; ", end="")
    print(f"balanced: {balanced[0]:.4f} and {balanced[1]:.4f}")
    without.append(plain)
sys.exit(not np.allclose(without, without[0][0]))
EOF
