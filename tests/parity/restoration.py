"""What dbn_reference.py and test_dbn.py share; nothing of PyTorch."""

from __future__ import annotations

SIZES = [(32, 40), (24, 24)]
WIDTHS = {"dbn": 1.0, "dbn_quarter": 0.25}
EVERY = (3, 5)  # rows and columns that are kept of an output
