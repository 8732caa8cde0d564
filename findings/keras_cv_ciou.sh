#!/usr/bin/env bash
# keras-cv 0.9.0, CIoULoss.
# Guessed: 1 - CIoU of the paper (https://arxiv.org/abs/1911.08287), v = 4 / pi^2 * difference^2.
# Seen: v = (4 / pi^2 * difference)^2: v is pi^2 / 4 = 2.5 times too small.
#   paper 0.7629, keras-cv 0.7355, with 4 / pi^2 squared 0.7355
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras-cv==0.9.0' 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import math
import sys

import keras_cv
import numpy as np

one, other = [[0.0, 0.0, 10.0, 20.0]], [[0.0, 0.0, 20.0, 10.0]]  # x, y, x, y
iou, centers, diagonal = 100 / 300, 5**2 + 5**2, 20**2 + 20**2
difference = math.atan(2) - math.atan(0.5)


def formula(v):
    return 1 - iou + centers / diagonal + v * v / (1 - iou + v)


paper, squared = formula(4 / math.pi**2 * difference**2), formula((4 / math.pi**2 * difference) ** 2)
got = float(keras_cv.losses.CIoULoss("xyxy")(np.array(one), np.array(other)))
print(f"paper {paper:.4f}, keras-cv {got:.4f}, with 4 / pi^2 squared {squared:.4f}")
sys.exit(not (abs(got - squared) < 1e-4 < abs(got - paper)))
EOF
