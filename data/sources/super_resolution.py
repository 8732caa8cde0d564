"""Super-resolution: any pictures; each gives the pair of its small and its large version.

The large one is the picture, cut at the right and the bottom so that both sides divide by
options.scale; the small one is its bicubic reduction by that scale. Reduction is Pillow's BICUBIC:
a = -0.5, widened by the scale against aliasing, edges renormalised. That is MATLAB's imresize,
which papers use, but for the edges (MATLAB mirrors there) and rounding of its two 8-bit passes.
Both are written as PNG, losslessly.

Splits are folders (`Train`, `Test/Set5`), or else a hash of the source_id. Gray stays gray.
Never detected: any picture would do. Ask for it by --format super_resolution.
"""

from __future__ import annotations

import io

import numpy as np
import PIL.Image

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.objects import sample_of
from convoy.data.sample import BadSample, Listing, Reference, Sample
from convoy.data.sources import Options, SourceError, ignore
from convoy.data.sources.pictures import listed


def detect(tree: files.Tree) -> bool:
    """Never."""
    return False


def scan(path, options: Options = Options()) -> Listing:
    """Lists every picture. Raises SourceError."""
    if options.scale < 2:
        raise SourceError(f"data.scale {options.scale}: expected 2 or more")
    return listed(files.tree(path), options, options.scale)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """The small picture; Sample.target is the large one. Raises BadSample."""
    scale = reference.annotation
    whole = images.load(reference.image, max_pixels)
    if whole.height < scale or whole.width < scale:
        detail = f"{reference.source_id}: {whole.width}x{whole.height} pixels, scale {scale}"
        raise BadSample("too_small", detail)
    height, width = whole.height // scale, whole.width // scale
    with PIL.Image.open(io.BytesIO(whole.image)) as pixels:
        large = pixels.crop((0, 0, width * scale, height * scale))
    small = images.encode(np.asarray(shrink(large, scale)))
    picture = images.Picture(small, "png", height, width)
    return sample_of(reference, picture, target=images.encode(np.asarray(large)))


def shrink(picture: PIL.Image.Image, scale: int) -> PIL.Image.Image:
    """Bicubic, 1 / scale of each side, which must divide."""
    width, height = picture.size
    return picture.resize((width // scale, height // scale), PIL.Image.Resampling.BICUBIC)
