"""Arrays that grow: what an evaluation keeps of each picture, without an object per picture."""

from __future__ import annotations

import numpy as np


class Column:
    """Rows [N, *shape] of one type, appended a few at a time; their memory is that of the rows."""

    def __init__(self, dtype: type, *shape: int):
        self._dtype, self._shape, self._bytes = np.dtype(dtype), shape, bytearray()

    def extend(self, rows) -> None:
        """Appends rows [n, *shape]."""
        rows = np.asarray(rows, self._dtype)
        if rows.shape[1:] != self._shape:
            raise ValueError(f"expected rows of shape {self._shape}, got {rows.shape[1:]}")
        self._bytes += rows.tobytes()

    def array(self) -> np.ndarray:
        """All rows so far, as a copy that cannot be written to."""
        return np.frombuffer(bytes(self._bytes), self._dtype).reshape(-1, *self._shape)

    def __len__(self) -> int:
        return len(self._bytes) // (self._dtype.itemsize * int(np.prod(self._shape, dtype=int)))
