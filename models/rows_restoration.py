"""The table of networks that restore pictures: name -> Row."""

from __future__ import annotations

from convoy.models.rows import Family, Row
from convoy.models.spec import Preprocess

SRCNN = Family(
    "convoy.models.restoration.srcnn",
    "restoration",
    "Dong, Image Super-Resolution Using Deep Convolutional Networks, "
    "https://arxiv.org/abs/1501.00092",
    2014,
)
DBN = Family(
    "convoy.models.restoration.dbn",
    "restoration",
    "Su, Deep Video Deblurring for Hand-held Cameras, https://arxiv.org/abs/1611.08387",
    2016,
    ("width",),
    takes=("frames",),
)
# The paper's sub-images.
PART_33 = Preprocess(size=(33, 33), resize="whole")
PART_128 = Preprocess(size=(128, 128), resize="whole", scale=1 / 255)

# fmt: off
ROWS = {
    "dbn": Row(DBN, 15_305_291, 9_886_318_592, 1, PART_128),
    "srcnn_915": Row(SRCNN, 8_129, 4_872_800, 1, PART_33),
    "srcnn_935": Row(SRCNN, 24_513, 13_279_328, 1, PART_33),
    "srcnn_955": Row(SRCNN, 57_281, 26_050_400, 1, PART_33),
}
# fmt: on
