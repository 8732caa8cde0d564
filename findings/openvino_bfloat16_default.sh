#!/usr/bin/env bash
# openvino 2026.4.1, CPU plugin.
# Guessed: a float32 model that is compiled without options calculates in float32.
# Seen: on a CPU with AMX it calculates in bfloat16; INFERENCE_PRECISION_HINT "f32" is what was asked for.
#   default bf16: relative error 0.00271; with f32: 5.9e-07
# On a CPU without bfloat16 there is nothing to see: the script says so and fails.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
python3 -m venv "$room/venv"
"$room/venv/bin/pip" install --quiet 'openvino==2026.4.1' 'numpy==2.4.6'
"$room/venv/bin/python" - <<'EOF'
import sys

import numpy as np
import openvino
from openvino import opset13 as ops

core = openvino.Core()
if "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
    print("this CPU has no bfloat16")
    sys.exit(1)
draw = np.random.default_rng(0).normal
weights = draw(size=(256, 256)).astype(np.float32)
given = ops.parameter([64, 256], np.float32)
model = openvino.Model([ops.matmul(given, ops.constant(weights), False, False)], [given])
x = draw(size=(64, 256)).astype(np.float32)
expected = x.astype(np.float64) @ weights.astype(np.float64)
plain = core.compile_model(model, "CPU")
exact = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
name = plain.get_property("INFERENCE_PRECISION_HINT").get_type_name()
errors = [
    float(np.abs(run({0: x})[0] - expected).max() / np.abs(expected).max()) for run in (plain, exact)
]
print(f"default {name}: relative error {errors[0]:.3g}; with f32: {errors[1]:.2g}")
sys.exit(not (name == "bf16" and errors[0] > 1e-4 > errors[1]))
EOF
