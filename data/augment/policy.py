"""What may randomly change in a picture, as a recipe states it: `augment: NAME` or its fields.

`augment: slides` takes a named one of `POLICIES`, `augment: {policy: ssd, hue: 0}` the same with
other values for some fields. What is kept (and printed) is the fields alone.
"""

from __future__ import annotations

import difflib
from typing import Annotated, Any, Literal

import pydantic
from pydantic import Field

Factor = Annotated[float, Field(gt=0)]
Part = Annotated[float, Field(gt=0, le=1)]
Searched = Literal["v0", "reduced_imagenet", "reduced_cifar10", "svhn", "simple"]
Quality = Annotated[int, Field(ge=1, le=100)]


class Augment(pydantic.BaseModel):
    """All affine geometry becomes one matrix per sample; 0 or None switches a change off."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    # Geometry, about the centre of the picture.
    flip_horizontal: float = Field(0.0, ge=0, le=1)  # probability
    flip_vertical: float = Field(0.0, ge=0, le=1)  # probability
    rotate_deg: float = Field(0.0, ge=0, le=180)  # uniform in +-, degrees
    shear_deg: float = Field(0.0, ge=0, le=45)  # uniform in +-, degrees, of columns and of rows
    shift: float = Field(0.0, ge=0, le=1)  # uniform in +-, part of the height and width
    zoom: tuple[Factor, Factor] = (1.0, 1.0)  # log-uniform factor; above 1 enlarges
    stretch: float = Field(0.0, ge=0, lt=1)  # aspect change: log-uniform in 1-s .. 1/(1-s)
    elastic: float = Field(0.0, ge=0, le=0.1)  # sigma on a 3x3 grid, part of the shorter side

    # Windows: what is drawn over the whole input of the network; at most one of the three crops.
    crop: tuple[Part, Part] | None = None  # sides, part of the largest fitting; 1/part is uniform
    crop_area: tuple[Part, Part] | None = None  # part of the picture's area, uniform
    crop_aspect: tuple[Factor, Factor] = (0.75, 4 / 3)  # of crop_area: width / height, log-uniform
    iou_crop: float = Field(0.0, ge=0, le=1)  # probability of SSD's choice among seven samplers
    expand: float = Field(0.0, ge=0, le=1)  # probability of a larger canvas around the picture
    expand_factor: float = Field(4.0, ge=1)  # its sides, uniform in 1 .. this
    jitter: float = Field(0.0, ge=0, lt=0.5)  # each edge moves, uniform in +-, part of its axis
    min_visible: float = Field(0.3, ge=0, le=1)  # a box with less of its area left is dropped

    # Colour.
    brightness: float = Field(0.0, ge=0, le=1)  # added, part of 255, uniform in +-
    contrast: float = Field(0.0, ge=0, lt=1)  # factor, uniform in 1-c .. 1+c
    saturation: float = Field(0.0, ge=0, lt=1)  # factor, uniform in 1-s .. 1+s
    hue: float = Field(0.0, ge=0, le=0.5)  # turn of the colour circle, uniform in +-
    color_probability: float = Field(1.0, ge=0, le=1)  # of each of the four changes above
    exposure: float = Field(1.0, ge=1)  # factor, uniform in 1 .. e, or one over that
    pca_color: float = Field(0.0, ge=0)  # sigma of the steps along the colours of ImageNet
    gray: float = Field(0.0, ge=0, le=1)  # probability of losing all colour

    # Noise, in pixels of the network's input.
    noise: float = Field(0.0, ge=0, le=1)  # largest sigma, part of 255, uniform from 0
    blur_px: float = Field(0.0, ge=0, le=20)  # largest sigma, pixels, uniform from 0
    jpeg_quality: tuple[Quality, Quality] | None = None  # encoded and decoded again, uniform
    cutout: float = Field(0.0, ge=0, le=1)  # side of a gray square, part of the shorter side

    # Several pictures, or a search of policies; online alone.
    mixup: float = Field(0.0, ge=0)  # alpha of the Beta distribution of the share
    cutmix: float = Field(0.0, ge=0)  # alpha of the Beta distribution of the area
    mosaic: float = Field(0.0, ge=0, le=1)  # probability of four pictures in one
    randaugment: tuple[Annotated[int, Field(ge=1)], Annotated[float, Field(ge=0, le=10)]] | None = (
        None  # operations per picture, their magnitude in 0 .. 10
    )
    autoaugment: Searched | None = None  # name of a policy that was found by search

    @pydantic.model_validator(mode="before")
    @classmethod
    def _named(cls, raw: Any) -> Any:
        """A name, or fields with a name among them, as fields."""
        if isinstance(raw, str):
            raw = {"policy": raw}
        if not isinstance(raw, dict) or "policy" not in raw:
            return raw
        name = raw["policy"]
        if not isinstance(name, str) or name not in POLICIES:
            close = difflib.get_close_matches(str(name), POLICIES, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"known: {', '.join(POLICIES)}"
            raise ValueError(f"no augmentation policy is called {name!r}; {hint}")
        fields = {key: value for key, value in raw.items() if key != "policy"}
        return {**POLICIES[name].model_dump(exclude_unset=True), **fields}

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Augment:
        for name in ("zoom", "crop", "crop_area", "crop_aspect", "jpeg_quality"):
            pair = getattr(self, name)
            if pair and pair[0] > pair[1]:
                raise ValueError(f"{name}: expected the lower end first, got {list(pair)}")
        crops = [name for name in ("crop", "crop_area", "iou_crop") if getattr(self, name)]
        if len(crops) > 1:
            raise ValueError(f"at most one kind of crop can be drawn, got {' and '.join(crops)}")
        return self


# What papers did to their pictures. Where a paper's change has no field of the same form, the
# nearest is taken, and said here.
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
