"""Data sets that TensorFlow Datasets itself prepares, below tmp_path, without any network."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from convoy.data.files import files
from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, source, tfds
from tests.data import build

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")
features = tensorflow_datasets.features
PHOTOS = [build.picture(20, 32, seed=i, kind=("JPEG", "PNG")[i % 2]) for i in range(5)]


class _Builder(tensorflow_datasets.core.GeneratorBasedBuilder):
    VERSION = tensorflow_datasets.core.Version("1.0.0")
    code_path = None  # no files beside its code
    FEATURES = None
    ROWS = ()

    def _info(self):
        return tensorflow_datasets.core.DatasetInfo(
            builder=self, features=features.FeaturesDict(self.FEATURES())
        )

    def _split_generators(self, dl_manager):
        half = len(self.ROWS) // 2
        return {
            "train": self._generate_examples(self.ROWS[half:]),
            "validation": self._generate_examples(self.ROWS[:half]),
        }

    def _generate_examples(self, rows):
        yield from enumerate(rows)


class TinyClasses(_Builder):
    FEATURES = staticmethod(
        lambda: {
            "image": features.Image(shape=(None, None, 3)),
            "label": features.ClassLabel(names=["cat", "dog", "hen"]),
            "file_name": features.Text(),
        }
    )


class TinyObjects(_Builder):
    FEATURES = staticmethod(
        lambda: {
            "image": features.Image(shape=(None, None, 3)),
            "image/filename": features.Text(),
            "objects": features.Sequence(
                {
                    "bbox": features.BBoxFeature(),
                    "label": features.ClassLabel(names=["cat", "dog"]),
                    "is_crowd": np.bool_,
                    "area": np.int64,
                }
            ),
            "captions": features.Sequence({"text": features.Text()}),
        }
    )


class TinyMasks(_Builder):
    FEATURES = staticmethod(
        lambda: {
            "image": features.Image(shape=(None, None, 3)),
            "segmentation_mask": features.Image(shape=(None, None, 1)),
        }
    )


class TinyText(_Builder):
    FEATURES = staticmethod(
        lambda: {
            "text": features.Text(),
            "label": features.ClassLabel(num_classes=2),
        }
    )


def objects(index):
    box = features.BBox(ymin=5 / 20, xmin=8 / 32, ymax=15 / 20, xmax=1.0)
    one = {"bbox": box, "label": "dog", "is_crowd": index == 2, "area": 77 + index}
    return [one, {**one, "label": "cat"}][:index]


def paths(folder):
    found = [folder / f"{i}.img" for i in range(len(PHOTOS))]
    for path, data in zip(found, PHOTOS, strict=True):
        path.write_bytes(data)
    return [str(path) for path in found]


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    top = tmp_path_factory.mktemp("tfds")
    photos = paths(tmp_path_factory.mktemp("photos"))
    raster = np.zeros((20, 32, 1), np.uint8)
    raster[5:, :, 0] = 3
    TinyClasses.ROWS = [
        {"image": photo, "label": i % 3, "file_name": f"{i}"} for i, photo in enumerate(photos)
    ]
    TinyObjects.ROWS = [
        {
            "image": photo,
            "image/filename": f"{i}.jpg",
            "objects": objects(i % 3),
            "captions": [{"text": f"été {i}"}, {"text": "two"}],
        }
        for i, photo in enumerate(photos)
    ]
    TinyMasks.ROWS = [{"image": photo, "segmentation_mask": raster} for photo in photos]
    TinyText.ROWS = [{"text": f"film {i}", "label": i % 2} for i in range(4)] + [
        {"text": " ", "label": 0}
    ]
    for builder in (TinyClasses, TinyObjects, TinyMasks, TinyText):
        builder(data_dir=top).download_and_prepare()
    return top


def samples(data_dir, name, options=Options()):
    options = Options(name=name, labels=options.labels, ignore=options.ignore)
    listing = source(f"tfds:{name}").scan(data_dir, options)
    return listing, [tfds.read(r, listing.labels) for r in listing.references]


def test_classes(data_dir):
    listing, read = samples(data_dir, "tiny_classes")
    assert listing.labels == ("cat", "dog", "hen")
    assert listing.notes == ("features left out: file_name",)
    assert [s.split for s in read] == ["train"] * 3 + ["val"] * 2
    found = {(s.image, *s.labels.tolist()) for s in read}
    assert found == {(photo, i % 3) for i, photo in enumerate(PHOTOS)}  # bytes as they came


def test_ids_and_pixels_are_those_of_tfds(data_dir):
    builder = tensorflow_datasets.builder_from_directory(str(data_dir / "tiny_classes" / "1.0.0"))
    config = tensorflow_datasets.ReadConfig(add_tfds_id=True)
    theirs = {
        row["tfds_id"].decode(): (int(row["label"]), row["image"])
        for row in builder.as_dataset(split="train", read_config=config).as_numpy_iterator()
    }
    _, read = samples(data_dir, "tiny_classes")
    ours = {s.source_id: s for s in read if s.split == "train"}
    assert ours.keys() == theirs.keys()
    import tensorflow as tf

    for key, (label, pixels) in theirs.items():
        assert ours[key].labels.tolist() == [label]
        np.testing.assert_array_equal(tf.io.decode_image(ours[key].image).numpy(), pixels)


def test_objects(data_dir):
    listing, read = samples(data_dir, "tiny_objects/1.0.0")
    assert listing.labels == ("cat", "dog")
    by_photo = {s.image: s for s in read}
    two, none = by_photo[PHOTOS[2]], by_photo[PHOTOS[3]]
    np.testing.assert_array_equal(two.boxes, [[5, 8, 15, 32]] * 2)
    assert two.classes.tolist() == [1, 0]
    assert two.labels.tolist() == [0, 1]
    assert two.crowd.tolist() == [True, True]
    assert two.areas.tolist() == [79, 79]
    assert two.captions == ("été 2", "two")
    assert none.boxes.shape == (0, 4)


def test_classes_in_another_order(data_dir):
    listing, read = samples(data_dir, "tiny_objects", Options(labels=("dog", "cat")))
    two = next(s for s in read if s.image == PHOTOS[2])
    assert (listing.labels, two.classes.tolist()) == (("dog", "cat"), [0, 1])
    with pytest.raises(SourceError, match="no class 'cow'; its classes are cat, dog"):
        samples(data_dir, "tiny_objects", Options(labels=("cow",)))
    with pytest.raises(BadSample, match="is not among the labels"):
        samples(data_dir, "tiny_classes", Options(labels=("cat",)))


def test_label_pictures(data_dir):
    listing, read = samples(data_dir, "tiny_masks")
    assert listing.segmentation_labels == listing.labels == ("0", "1", "2", "3")
    assert read[0].labels.tolist() == [0, 3]
    listing, read = samples(data_dir, "tiny_masks", Options(labels=("a", "b", "c"), ignore=0))
    assert (listing.labels, read[0].labels.tolist()) == (("a", "b", "c"), [2])


def test_sentences(data_dir):
    listing = tfds.scan(data_dir, Options(name="tiny_text", labels=("1", "0")))
    assert listing.labels == ("1", "0")
    read, empty = {}, 0
    for reference in listing.references:
        try:
            sample = tfds.read(reference, listing.labels)
            read[sample.text] = (sample.image, sample.labels.tolist())
        except BadSample as error:
            empty += error.reason == "empty_text"
    assert read == {f"film {i}": (b"", [1 - i % 2]) for i in range(4)}
    assert empty == 1


def test_no_tensorflow_in_a_worker(data_dir):
    code = (
        "import sys; from convoy.data.sources import Options, tfds; "
        f"listing = tfds.scan({str(data_dir)!r}, Options(name='tiny_objects')); "
        "[tfds.read(r, listing.labels) for r in listing.references]; "
        "print([m for m in ('tensorflow', 'tensorflow_datasets') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_highest_version_and_the_folder_itself(data_dir, tmp_path, monkeypatch):
    top = data_dir / "tiny_classes"
    for version in ("1.0.0", "9.0.0", "10.0.0"):
        shutil.copytree(top / "1.0.0", tmp_path / "tiny_classes" / "full" / version)
    wanted = str(tmp_path / "tiny_classes" / "full" / "10.0.0")
    assert tfds.folder(tmp_path, "tiny_classes") == wanted  # the only configuration
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    assert tfds.folder("", "tiny_classes/full") == wanted
    assert tfds.folder(wanted, "tiny_classes") == wanted
    shutil.copytree(top / "1.0.0", tmp_path / "tiny_classes" / "small" / "1.0.0")
    with pytest.raises(SourceError, match="say which: tfds:tiny_classes/full"):
        tfds.folder(tmp_path, "tiny_classes")


def test_what_cannot_be_read_is_explained(data_dir, tmp_path):
    with pytest.raises(SourceError, match="convoy fetch tfds:mnist"):
        tfds.scan(tmp_path / "nothing", Options(name="mnist"))
    copy = tmp_path / "tiny_classes" / "1.0.0"
    shutil.copytree(data_dir / "tiny_classes" / "1.0.0", copy)
    (shard,) = copy.glob("*-train.tfrecord*")
    whole = shard.read_bytes()
    shard.write_bytes(whole[:-30])
    with pytest.raises(SourceError, match="the file ends before"):
        tfds.scan(tmp_path, Options(name="tiny_classes"))
    middle = len(whole) - 30
    shard.write_bytes(whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :])
    listing = tfds.scan(tmp_path, Options(name="tiny_classes"))
    with pytest.raises(BadSample, match=r"corrupt_record: .*checksum"):
        [tfds.read(r, listing.labels) for r in listing.references]
    info = copy / "dataset_info.json"
    info.write_text(info.read_text().replace('"tfrecord"', '"array_record"'))
    with pytest.raises(SourceError, match="its files are array_record; expected tfrecord"):
        tfds.scan(tmp_path, Options(name="tiny_classes"))
    info.write_text("{")
    with pytest.raises(SourceError, match=r"dataset_info\.json"):
        tfds.scan(tmp_path, Options(name="tiny_classes"))


def test_box_formats():
    size = np.array([20, 32, 20, 32.0])
    wanted = [[5.0, 8.0, 15.0, 32.0]]
    for kind, box in {
        "REL_YXYX": [0.25, 0.25, 0.75, 1],
        "REL_XYXY": [0.25, 0.25, 1, 0.75],
        "YXYX": [5, 8, 15, 32],
        "XYXY": [8, 5, 32, 15],
        "XYWH": [8, 5, 24, 10],
    }.items():
        np.testing.assert_array_equal(tfds._yxyx(np.array([box], float), kind, size), wanted)


def test_it_is_never_detected(data_dir):
    assert not tfds.detect(files.tree(data_dir / "tiny_classes" / "1.0.0"))
