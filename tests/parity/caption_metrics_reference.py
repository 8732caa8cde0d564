"""Writes tests/golden/caption_metrics.json: COCO's own metrics, in Python, of made-up sentences.

Run by hand, in an environment of its own:

    python3 -m venv ev && ev/bin/pip install pycocoevalcap==1.2
    PYTHONPATH=. ev/bin/python tests/parity/caption_metrics_reference.py
"""

from __future__ import annotations

import json
import pathlib

from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.rouge.rouge import Rouge

from tests.parity.caption_metrics import pictures

GOLDEN = pathlib.Path(__file__).parents[1] / "golden"
SEEDS = (0, 1, 2)


def numbers(seed: int) -> dict[str, float]:
    pairs = dict(enumerate(pictures(seed)))
    answers = {key: [" ".join(answer)] for key, (answer, _) in pairs.items()}
    truth = {key: [" ".join(words) for words in rows] for key, (_, rows) in pairs.items()}
    bleu, _ = Bleu(4).compute_score(truth, answers, verbose=0)
    found = {f"BLEU{n}": float(value) for n, value in enumerate(bleu, start=1)}
    found["ROUGE_L"] = float(Rouge().compute_score(truth, answers)[0])
    found["CIDEr_D"] = float(Cider().compute_score(truth, answers)[0])
    return found


if __name__ == "__main__":
    content = {str(seed): numbers(seed) for seed in SEEDS}
    (GOLDEN / "caption_metrics.json").write_text(json.dumps(content, indent=2) + "\n")
    print(json.dumps(content, indent=2))
