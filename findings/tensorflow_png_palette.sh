#!/usr/bin/env bash
# tensorflow 2.20.0, tf.io.decode_png(channels=1) on a palette PNG, as PASCAL VOC's label pictures.
# Guessed: the stored numbers, which are class ids.
# Seen: the brightness of each number's colour.
#   stored [0, 1, 2, 15, 255]
#   decoded [0, 38, 75, 147, 220]
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'tensorflow==2.20.0' 'pillow==12.3.0'
TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import io
import sys

import numpy as np
import tensorflow as tf
from PIL import Image

stored = np.array([[0, 1, 2, 15, 255]], np.uint8)
colors = np.zeros((256, 3), np.uint8)  # of VOC
colors[[1, 2, 15, 255]] = (128, 0, 0), (0, 128, 0), (192, 128, 128), (224, 224, 192)
picture = Image.fromarray(stored, mode="P")
picture.putpalette(colors.tobytes())
buffer = io.BytesIO()
picture.save(buffer, "PNG")
decoded = tf.io.decode_png(buffer.getvalue(), channels=1).numpy().ravel().tolist()
print("stored", stored.ravel().tolist())
print("decoded", decoded)
sys.exit(decoded[:3] != [0, 38, 75])
EOF
