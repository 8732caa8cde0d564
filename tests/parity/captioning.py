"""What captioning_reference.py and test_parity_captioning.py share; nothing of PyTorch."""

from __future__ import annotations

import numpy as np

SIZES = [(33, 47), (64, 64)]
UNITS, WORDS = 512, 30
SPOKEN = np.array([[3, 7, 7, 29, 2, 0], [12, 5, 0, 0, 0, 0]])  # of two pictures
