"""What may randomly change in a picture, as a recipe states it."""

from __future__ import annotations

from typing import Annotated

import pydantic
from pydantic import Field

Factor = Annotated[float, Field(gt=0)]


class Augment(pydantic.BaseModel):
    """All geometry becomes one affine matrix a sample; 0 switches a change off."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    flip_horizontal: float = Field(0.0, ge=0, le=1)  # probability
    flip_vertical: float = Field(0.0, ge=0, le=1)  # probability
    rotate_deg: float = Field(0.0, ge=0, le=180)  # uniform in +-, degrees
    shift: float = Field(0.0, ge=0, le=1)  # uniform in +-, part of the height and width
    zoom: tuple[Factor, Factor] = (1.0, 1.0)  # log-uniform factor; above 1 enlarges
    stretch: float = Field(0.0, ge=0, lt=1)  # aspect change: log-uniform in 1-s .. 1/(1-s)
    brightness: float = Field(0.0, ge=0, le=1)  # added, part of 255, uniform in +-
    contrast: float = Field(0.0, ge=0, lt=1)  # factor, uniform in 1-c .. 1+c
    saturation: float = Field(0.0, ge=0, lt=1)  # factor, uniform in 1-s .. 1+s
    hue: float = Field(0.0, ge=0, le=0.5)  # turn of the colour circle, uniform in +-
    min_visible: float = Field(0.3, ge=0, le=1)  # a box with less of its area left is dropped
