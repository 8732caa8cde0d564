"""Faster R-CNN's layers by OpenCV's Caffe importer, for proposals of our own."""

from __future__ import annotations

import numpy as np
import pytest

from convoy import models
from tests.models.test_parity import assert_close
from tests.models.test_parity_fast_rcnn import (
    CLASSES,
    ROIS,
    VGG16,
    Network,
    drawn,
    input_text,
    of_regions,
    pixels,
)
from tests.parity import formula

ZF = [
    ("conv1", 96, 7, 2, 3, 1),
    "LRN",
    (3, 1),
    ("conv2", 256, 5, 2, 2, 1),
    "LRN",
    (3, 1),
    ("conv3", 384, 3, 1, 1, 1),
    ("conv4", 384, 3, 1, 1, 1),
    ("conv5", 256, 3, 1, 1, 1),
]
# trunk, channels of the region proposal network, bins, LRN's parameters and its k.
NETWORKS = {
    "faster_rcnn_vgg16": (VGG16, 512, 7, None),
    "faster_rcnn_zf": (ZF, 256, 6, ("local_size: 3 alpha: 5e-5 norm_region: WITHIN_CHANNEL", 1)),
}


def by_opencv(name: str, model, size: tuple[int, int]):
    """With the tops "rpn_cls" and "rpn_box", and of the input "rois" "roi_cls" and "roi_box"."""
    trunk, channels, bins, norm = NETWORKS[name]
    network = Network(model, input_text(size) + ROIS)
    network.trunk(trunk, norm)
    top = network.below
    network.trunk([("rpn_conv", channels, 3, 1, 1, 1)], None)
    hidden = network.below
    for part in (("rpn_cls", 18, 1, 1, 0, 1), ("rpn_box", 36, 1, 1, 0, 1)):
        network.below = hidden
        network.convolve(part)
    network.below = top
    network.heads(bins)
    return network.read()


@pytest.mark.slow
@pytest.mark.parametrize("size", [(176, 259), (192, 256)])
@pytest.mark.parametrize("name", NETWORKS)
def test_proposals_and_heads_are_opencv_s(name, size):
    """The trunk, the region proposal network, and the heads of our own best proposals."""
    task = models.build_task(name, num_classes=CLASSES, input_size=size)
    drawn(task.model)
    codes = task.model.get_layer("rpn_box")  # small, or each proposal is the whole picture
    codes.set_weights([0.01 * weight for weight in codes.get_weights()])
    picture = formula.pictures(1, *size)
    net = by_opencv(name, task.model, size)
    net.setInput(pixels(picture, task.info), "data")
    net.setInput(np.float32([[0, 0, 0, 9, 9]]), "rois")
    ours = {key: np.asarray(x) for key, x in task.model(picture, training=False).items()}
    logits, codes = (net.forward(top)[0].transpose(1, 2, 0) for top in ("rpn_cls", "rpn_box"))
    assert_close(ours["rpn_cls"][0], (logits[..., 9:] - logits[..., :9]).reshape(-1))
    assert_close(ours["rpn_box"][0], codes.reshape(-1, 4))
    rois = ours["proposals"][0][ours["objectness"][0] >= 0][:12]
    assert len(rois) >= 4
    for key, top in (("cls", "roi_cls"), ("box", "roi_box")):
        assert_close(ours[key][0, : len(rois)], of_regions(net, top, rois))
