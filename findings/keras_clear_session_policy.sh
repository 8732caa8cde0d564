#!/usr/bin/env bash
# keras 3.15.1, keras.backend.clear_session().
# Guessed: it forgets graphs and names of layers, and leaves settings alone.
# Seen: the global dtype policy is float32 again, without a word: networks built after it compute in
# another precision than asked for.
#   mixed_bfloat16 -> float32
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'keras==3.15.1' 'tensorflow==2.20.0'
KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 "$room/venv/bin/python" - <<'EOF'
import sys

import keras

keras.config.set_dtype_policy("mixed_bfloat16")
before = keras.config.dtype_policy().name
keras.backend.clear_session()
after = keras.config.dtype_policy().name
print(before, "->", after)
sys.exit((before, after) != ("mixed_bfloat16", "float32"))
EOF
