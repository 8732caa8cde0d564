"""Policies by name: what papers did to their pictures, in the fields of `Augment`.

Where a paper's change has no field of the same form, the nearest is taken, and said here.
"""

from __future__ import annotations

from data.augment.policy import Augment

POLICIES: dict[str, Augment] = {
    "none": Augment(),
    # The list of the course: turns, flips, shifts, zooms, recolouring. Strengths are mild defaults.
    "slides": Augment(
        rotate_deg=15,
        flip_horizontal=0.5,
        shift=0.1,
        zoom=(0.8, 1.25),
        brightness=0.1,
        contrast=0.2,
        saturation=0.3,
        hue=0.03,
    ),
    # Krizhevsky 2012 https://papers.nips.cc/paper/4824: 224 of 256 pixels, mirrored or not, PCA
    # colour of sigma 0.1. The crop may lie anywhere in the picture, not in its middle square alone.
    "alexnet": Augment(crop=(224 / 256, 224 / 256), flip_horizontal=0.5, pca_color=0.1),
    # Szegedy 2014 https://arxiv.org/abs/1409.4842 section 6. Colour as its public training code
    # has it: brightness 32/255, saturation and contrast 0.5-1.5, hue 0.2 of the circle.
    "inception": Augment(
        crop_area=(0.08, 1.0),
        crop_aspect=(3 / 4, 4 / 3),
        flip_horizontal=0.5,
        brightness=32 / 255,
        contrast=0.5,
        saturation=0.5,
        hue=0.2,
    ),
    # Liu 2016 https://arxiv.org/abs/1512.02325 section 2.2, numbers of its Caffe prototxt: hue
    # 18 of 360 degrees. Objects stay by their centre, however little of them is seen.
    "ssd": Augment(
        iou_crop=1.0,
        expand=0.5,
        expand_factor=4.0,
        flip_horizontal=0.5,
        min_visible=0.0,
        brightness=32 / 255,
        contrast=0.5,
        saturation=0.5,
        hue=18 / 360,
        color_probability=0.5,
    ),
    # Redmon 2016 https://arxiv.org/abs/1612.08242, numbers of darknet's cfg files: jitter 0.3,
    # hue 0.1, exposure 1.5. Its saturation 1.5 is a factor of 2/3 to 3/2, here 1/2 to 3/2.
    "yolo": Augment(jitter=0.3, flip_horizontal=0.5, hue=0.1, saturation=0.5, exposure=1.5),
    # Ronneberger 2015 https://arxiv.org/abs/1505.04597 section 3.1: 10 of 512 pixels on a grid of
    # 3 x 3. "Shift, rotation and gray value" variations have no numbers there.
    "unet": Augment(
        elastic=10 / 512,
        rotate_deg=180,
        shift=0.05,
        flip_horizontal=0.5,
        flip_vertical=0.5,
        brightness=0.1,
        contrast=0.2,
    ),
}
