#!/usr/bin/env bash
# keras 3.15.1 on jax 0.10.2, layers.MelSpectrogram with its defaults (decibels, top_db=80).
# Guessed: what is 80 dB below the loudest band of a sound is clipped, as librosa's power_to_db does
# it, so that a sound's spectrogram depends on this sound alone.
# Seen: the limit is 80 dB below the loudest band of the whole batch: a quiet sound that shares a
# batch with a loud one becomes the same number everywhere.
#   alone: 80.0 dB from its lowest to its highest band
#   beside a sound 120 dB louder: 0.0 dB
set -euo pipefail
ROOM=$(mktemp -d)
trap 'rm -rf "$ROOM"' EXIT
python3 -m venv "$ROOM/venv"
"$ROOM/venv/bin/pip" install --quiet 'keras==3.15.1' 'jax==0.10.2' 'jaxlib==0.10.2'
KERAS_BACKEND=jax "$ROOM/venv/bin/python" - <<'EOF'
import sys

import keras
import numpy as np

times = np.arange(16_000) / 16_000
quiet = np.sin(2 * np.pi * 440 * times).astype("float32") * 1e-3
loud = np.sin(2 * np.pi * 440 * times).astype("float32") * 1e3
layer = keras.layers.MelSpectrogram(sampling_rate=16_000)
alone = np.ptp(np.asarray(layer(quiet[None]))[0])
beside = np.ptp(np.asarray(layer(np.stack([quiet, loud])))[0])
print(f"alone: {alone:.1f} dB from its lowest to its highest band")
print(f"beside a sound 120 dB louder: {beside:.1f} dB")
sys.exit(not (alone > 70 and beside < 1))
EOF
