"""The table of networks for text: name -> Row. Counts are with the paper's vocabulary."""

from __future__ import annotations

from convoy.models.rows import Family, Row
from convoy.models.spec import Sentence

TEXT_CNN = Family(
    "convoy.models.text.text_cnn",
    "text",
    "Kim, Convolutional Neural Networks for Sentence Classification, "
    "https://arxiv.org/abs/1408.5882",
    2014,
    options=("dropout", "max_words"),
)

# 360,902 and 18,766 vectors of 300 per channel.
ROWS = {
    "text_cnn_rand": Row(TEXT_CNN, 5_990_702, 21_900_600, 2, Sentence()),
    "text_cnn_static": Row(TEXT_CNN, 5_990_702, 21_900_600, 2, Sentence()),
    "text_cnn_nonstatic": Row(TEXT_CNN, 5_990_702, 21_900_600, 2, Sentence()),
    "text_cnn_multichannel": Row(TEXT_CNN, 11_620_502, 21_900_600, 2, Sentence()),
}
