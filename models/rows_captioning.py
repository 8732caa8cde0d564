"""The table of networks that say what a picture shows: name -> Row. Classes are words."""

from __future__ import annotations

import dataclasses

from convoy.models.rows import CAFFE, INCEPTION_299, Family, Row

SHOW_AND_TELL = Family(
    "convoy.models.captioning.show_and_tell",
    "captioning",
    "Vinyals, Show and Tell: A Neural Image Caption Generator, https://arxiv.org/abs/1411.4555",
    2014,
    ("width", "dropout", "backbone"),
)
NEURALTALK2 = SHOW_AND_TELL._replace(
    module="convoy.models.captioning.neuraltalk2",
    paper="Karpathy, Deep Visual-Semantic Alignments for Generating Image Descriptions, "
    "https://arxiv.org/abs/1412.2306",
)
# The whole picture, stretched: a caption is of all of it.
ALL_299 = dataclasses.replace(INCEPTION_299, resize="stretch", crop_pct=1.0)
ALL_224 = dataclasses.replace(CAFFE, resize="stretch", crop_pct=1.0)

ROWS = {
    "neuraltalk2": Row(NEURALTALK2, 148_266_656, 15_468_265_472, 9_568, ALL_224, "vgg16"),
    "show_and_tell": Row(SHOW_AND_TELL, 37_216_640, 5_712_216_672, 12_000, ALL_299, "inception_v3"),
}
