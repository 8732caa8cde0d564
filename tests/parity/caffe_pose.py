"""OpenPose's prototxt, layer by layer as the authors' pose_deploy files, with formula weights.

conv1_1 to conv4_2 of VGG-19, conv4_3_CPM, conv4_4_CPM, conv5_N_CPM_L1 and L2 of the first stage,
MconvN_stageS_L1 and L2 of the others; a ReLU behind each but the last of a stage.
"""

from __future__ import annotations

from tests.parity.caffe_segmentation import Net

VGG = ((64, 64), (128, 128), (256,) * 4, (512,) * 2)
OUTPUTS = {"openpose_coco": (38, 19), "openpose_mpi": (28, 16)}


def openpose(name: str, size: tuple[int, int]) -> tuple[bytes, bytes]:
    net = Net(size)
    for block, widths in enumerate(VGG, start=1):
        for index, width in enumerate(widths, start=1):
            net.conv(f"conv{block}_{index}", width, 3, pad=1)
        if block < 4:
            net.pool(f"pool{block}_stage1")
    net.conv("conv4_3_CPM", 256, 3, pad=1)
    net.conv("conv4_4_CPM", 128, 3, pad=1)
    features = net.top, net.channels
    seen = features
    for stage in range(1, 7):
        ends = []
        for branch, outputs in zip(("L1", "L2"), OUTPUTS[name], strict=True):
            net.top, net.channels = seen
            first = stage == 1
            label = f"conv5_{{}}_CPM_{branch}" if first else f"Mconv{{}}_stage{stage}_{branch}"
            depth, side = (3, 3) if first else (5, 7)
            for index in range(1, depth + 1):
                net.conv(label.format(index), 128, side, pad=side // 2)
            net.conv(label.format(depth + 1), 512 if first else 128, 1)
            net.conv(label.format(depth + 2), outputs, 1, relu=False)
            ends.append(net.top)
        seen = f"concat_stage{stage + 1}", sum(OUTPUTS[name]) + features[1]
        if stage < 6:
            net.add(seen[0], "Concat", "concat_param { axis: 1 }", [*ends, features[0]])
    net.add("last", "Concat", "concat_param { axis: 1 }", ends)
    return net.result()
