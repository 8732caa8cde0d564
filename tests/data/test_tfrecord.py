import pytest
import tensorflow as tf

from convoy.data import labels, tfrecord

RECORDS = [b"", b"a", bytes(range(256)) * 500]


@pytest.fixture
def path(tmp_path):
    with open(tmp_path / "r.tfrecord", "wb") as file:
        for record in RECORDS:
            tfrecord.write(file, record)
    return tmp_path / "r.tfrecord"


def test_tensorflow_reads_ours_and_we_read_its(path, tmp_path):
    assert list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator()) == RECORDS
    assert list(tfrecord.read(path)) == RECORDS
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for record in RECORDS:
            writer.write(record)
    assert (tmp_path / "theirs").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d[:-1], "byte 33: expected a record of 128000 bytes"),
        (lambda d: d[:40], "byte 33: not the start"),
        (lambda d: d[:-100] + b"x" + d[-99:], "byte 33: the checksum"),
        (lambda d: b"x" + d[1:], "byte 0: not the start"),
    ],
)
def test_damage_is_found_and_placed(path, damage, message):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(tfrecord.CorruptRecord, match=message):
        list(tfrecord.read(path))


def test_labels_round_trip(tmp_path):
    labels.write(tmp_path / "labels.txt", ["dog", "été", "猫 2"])
    assert (tmp_path / "labels.txt").read_text("utf-8") == "dog\nété\n猫 2\n"
    assert labels.read(tmp_path / "labels.txt") == ("dog", "été", "猫 2")


@pytest.mark.parametrize("text", ["", "a\n\nb\n", "a\nb\na\n", " a\nb\n"])
def test_bad_labels_are_refused(tmp_path, text):
    (tmp_path / "labels.txt").write_text(text)
    with pytest.raises(ValueError, match=r"labels\.txt"):
        labels.read(tmp_path / "labels.txt")
