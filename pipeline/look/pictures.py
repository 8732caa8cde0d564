"""Records behind the pages: read one at a time by their place, pictures made small for a grid."""

from __future__ import annotations

import collections
import io
import pathlib
import threading

import PIL.Image

from convoy.data import example, tfrecord
from convoy.data.images import bands
from convoy.data.sample import Sample
from convoy.pipeline.look.index import Index
from convoy.pipeline.manifest import manifest_of

THUMB_PX = 200  # longer side
KEPT_BYTES = 48 << 20  # of small pictures
PLAIN = ((b"\xff\xd8", "image/jpeg"), (b"\x89PNG", "image/png"))


class Gone(ValueError):
    """A record, or what is needed of it, is not there any more."""


class Records:
    """A folder of records with its index; threads may share it."""

    def __init__(self, folder: pathlib.Path, index: Index):
        self.folder, self.index = folder, index
        manifest = manifest_of(folder)
        self.labels = tuple(manifest.get("labels", ()))
        self.segmentation_labels = tuple(manifest.get("segmentation_labels", ()))
        self.keypoints = tuple(manifest.get("keypoints", ()))
        self._lock = threading.Lock()
        self._small: collections.OrderedDict[int, bytes] = collections.OrderedDict()
        self._bytes = 0

    def sample(self, row: int) -> Sample:
        """Raises Gone, SchemaError."""
        return example.decode(self.stored(row))

    def stored(self, row: int) -> bytes:
        """A record's bytes. Raises Gone."""
        if not 0 <= row < len(self.index.records):
            raise Gone(f"there are {len(self.index.records)} records, none is number {row}")
        place = self.index.records[row]
        path = self.folder / self.index.shards[place["shard"]]
        try:
            with open(path, "rb") as file:
                file.seek(int(place["offset"]))
                return tfrecord.checked(file.read(int(place["length"])))
        except OSError as error:
            raise Gone(f"{path}: {error.strerror}: the records were removed") from None
        except (tfrecord.CorruptRecord, IndexError, ValueError):
            raise Gone(f"{path}: has changed since the page was opened: load it again") from None

    def thumb(self, row: int) -> bytes:
        """JPEG of THUMB_PX at most. Raises Gone, also for a record without a picture."""
        with self._lock:
            if row in self._small:
                self._small.move_to_end(row)
                return self._small[row]
        made = small(picture_of(self.sample(row)))
        with self._lock:
            if row not in self._small:
                self._small[row] = made
                self._bytes += len(made)
            while self._bytes > KEPT_BYTES:
                self._bytes -= len(self._small.popitem(last=False)[1])
        return made


def picture_of(sample: Sample) -> bytes:
    """Raises Gone."""
    if not sample.image:
        raise Gone(f"{sample.source_id}: this record has no picture")
    return sample.image


def small(encoded: bytes, side: int = THUMB_PX) -> bytes:
    """A JPEG whose longer side has `side` pixels at most. Raises Gone."""
    picture = _opened(encoded, side)
    picture.thumbnail((side, side), PIL.Image.Resampling.BILINEAR)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def shown(encoded: bytes) -> tuple[bytes, str]:
    """(bytes, media type) that a browser shows, as found where it can. Raises Gone."""
    plain = next((kind for start, kind in PLAIN if encoded.startswith(start)), None)
    if plain and not bands.stacked(encoded) and not _is_cmyk(encoded):
        return encoded, plain
    buffer = io.BytesIO()
    _opened(encoded).save(buffer, "PNG")
    return buffer.getvalue(), "image/png"


def _is_cmyk(encoded: bytes) -> bool:
    try:
        with PIL.Image.open(io.BytesIO(encoded)) as picture:
            return picture.mode not in ("L", "RGB", "P")
    except Exception:  # PIL's decoders raise whatever comes
        return True


def _opened(encoded: bytes, side: int = 0) -> PIL.Image.Image:
    try:
        with PIL.Image.open(io.BytesIO(encoded)) as picture:
            if picture.mode in ("L", "RGB") and not bands.stacked(encoded):
                picture.draft(picture.mode, (side, side)) if side else None
                return picture.convert(picture.mode)
        return bands.view(encoded)
    except Exception as error:  # PIL's decoders raise whatever comes
        raise Gone(f"the picture does not decode: {error}") from None
