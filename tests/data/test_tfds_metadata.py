"""tfds.builder_from_directory reads a folder of our records as we do."""

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy.data import example, tfrecord
from convoy.pipeline.components import example_gen
from tests.data import build

tensorflow_datasets = pytest.importorskip("tensorflow_datasets")


def ours(folder, split):
    records = [r for path in sorted(folder.glob(f"{split}-*")) for r in tfrecord.read(path)]
    return {sample.source_id: sample for sample in map(example.decode, records)}


def theirs(folder, split):
    builder = tensorflow_datasets.builder_from_directory(str(folder))
    rows = builder.as_dataset(split=split).as_numpy_iterator()
    return builder, {row["image"]["source_id"].decode(): row for row in rows}


def test_pictures_and_boxes(tmp_path):
    splits = {"train": [f"{i:06d}" for i in range(1, 10)], "val": ["000010", "000011"]}
    build.voc(tmp_path / "VOC", splits, count=12)
    out = tmp_path / "records"
    example_gen.run({"source": tmp_path / "VOC"}, example_gen.Params(shard_mb=0.005), out)
    builder, found = theirs(out, "train")
    samples = ours(out, "train")
    assert found.keys() == samples.keys()
    assert {name: info.num_examples for name, info in builder.info.splits.items()} == {
        "train": 9,
        "val": 2,
    }
    assert builder.info.splits["train"].num_shards > 1
    image = builder.info.features["image"]
    assert image["object"]["class"]["label"].feature.names == ["cat", "dog"]
    for key, sample in samples.items():
        row = found[key]["image"]
        np.testing.assert_array_equal(row["encoded"], tf.io.decode_image(sample.image).numpy())
        assert (row["height"], row["width"]) == (sample.height, sample.width)
        size = np.array([sample.height, sample.width] * 2)
        edges = [row["object"]["bbox"][edge] for edge in ("ymin", "xmin", "ymax", "xmax")]
        np.testing.assert_allclose(np.stack(edges, -1) * size, sample.boxes, rtol=1e-6)
        assert row["object"]["class"]["label"].tolist() == sample.classes.tolist()
        assert [t.decode() for t in row["object"]["class"]["text"]] == ["dog", "cat"]
        assert row["class"]["label"].tolist() == sample.labels.tolist()
        assert row["object"]["mask"].shape[0] == 0


def test_gray_pictures_and_label_pictures(tmp_path):
    values = np.arange(6, dtype=np.uint8).reshape(2, 3) % 3
    for split in ("train", "val"):
        for folder, kind in (("images", "L"), ("labels", "L")):
            (tmp_path / "set" / split / folder).mkdir(parents=True)
            picture = PIL.Image.fromarray(values * (90 if folder == "images" else 1)).convert(kind)
            picture.save(tmp_path / "set" / split / folder / "a.png")
    out = tmp_path / "records"
    example_gen.run({"source": tmp_path / "set"}, example_gen.Params(), out)
    _, found = theirs(out, "val")
    (row,) = found.values()
    np.testing.assert_array_equal(row["image"]["encoded"][..., 0], values * 90)
    raster = row["image"]["segmentation"]["class"]["encoded"]
    np.testing.assert_array_equal(raster[0, ..., 0], values)


def test_sentences(tmp_path):
    for split in ("train", "val"):
        (tmp_path / "set" / split).mkdir(parents=True)
        for name in ("pos", "neg"):
            text = f"a {name} film in {split}\n"
            (tmp_path / "set" / split / f"film.{name}").write_text(text)
    out = tmp_path / "records"
    example_gen.run({"source": tmp_path / "set"}, example_gen.Params(format="text"), out)
    builder, found = theirs(out, "train")
    rows = {
        row["text"]["string"][0].decode(): row["image"]["class"]["label"].tolist()
        for row in found.values()
    }
    assert rows == {"a neg film in train": [0], "a pos film in train": [1]}
    assert builder.info.features["image"]["class"]["label"].feature.names == ["neg", "pos"]
