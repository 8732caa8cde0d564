"""Functions of tensors that TensorFlow traces as they stand.

AutoGraph translates Python's control flow over tensors, of which there is none in what is mapped
over records; looking for it takes each process seconds before its first batch.
"""

from __future__ import annotations

import tensorflow as tf

as_written = tf.autograph.experimental.do_not_convert
