import collections
import io

import numpy as np
import PIL.Image
import pytest
import scipy.io

from convoy.data.sample import BadSample
from convoy.data.sources import Options, SourceError, detect, imagenet
from tests.data import build
from tests.data.build import tar_bytes, written

TENCH, CRANE, MACHINE = "n01440764", "n02012849", "n03126707"
WORDS = {TENCH: "tench, Tinca tinca", CRANE: "crane", MACHINE: "crane"}
IDS = {1: MACHINE, 2: TENCH, 3: CRANE}  # ILSVRC2012_ID: not the order of the synsets
NAMES = ("tench", f"crane ({CRANE})", f"crane ({MACHINE})")


def meta():
    kinds = [("ILSVRC2012_ID", object), ("WNID", object), ("words", object)]
    rows = np.array([(i, n, WORDS[n]) for i, n in IDS.items()], kinds).reshape(-1, 1)
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, {"synsets": rows})
    return buffer.getvalue()


def devkit(truth="3\n1\n"):
    kit = {"meta.mat": meta(), "ILSVRC2012_validation_ground_truth.txt": truth.encode()}
    kit["ILSVRC2012_validation_blacklist.txt"] = b"36\n"
    content = {f"ILSVRC2012_devkit_t12/data/{name}": data for name, data in kit.items()}
    return tar_bytes({**content, "ILSVRC2012_devkit_t12/readme.txt": b"read me"}, "w:gz")


def xml(wnid, *boxes):
    objects = []
    for xmin, ymin, xmax, ymax in boxes:
        objects.append(build.xml_object(wnid, (xmin, ymin, xmax, ymax)))
    return build.annotation("".join(objects)).encode()


def picture_tars():
    train = {
        f"{TENCH}.tar": tar_bytes({f"{TENCH}_1.JPEG": build.picture(seed=1)}),
        f"{CRANE}.tar": tar_bytes({f"{CRANE}_{i}.JPEG": build.picture(seed=i) for i in (2, 3)}),
    }
    val = {f"ILSVRC2012_val_0000000{i}.JPEG": build.picture(seed=10 + i) for i in (1, 2)}
    return {"ILSVRC2012_img_train.tar": tar_bytes(train), "ILSVRC2012_img_val.tar": tar_bytes(val)}


def box_tars(nested):
    train = {f"{CRANE}_2.xml": xml(CRANE, (0, 5, 60, 40), (3, 4, 10, 20))}
    if nested:
        train = {
            f"{CRANE}.tar.gz": tar_bytes(
                {f"Annotation/{CRANE}/{CRANE}_2.xml": xml(CRANE, (0, 5, 60, 40), (3, 4, 10, 20))},
                "w:gz",
            )
        }
    val = {"val/ILSVRC2012_val_00000001.xml": xml(CRANE, (1, 2, 30, 31))}
    return {
        "ILSVRC2012_bbox_train_v2.tar.gz": tar_bytes(train, "w:gz"),
        "ILSVRC2012_bbox_val_v3.tgz": tar_bytes(val, "w:gz"),
    }


def samples(listing, **options):
    return [imagenet.read(r, listing.labels, **options) for r in listing.references]


@pytest.mark.parametrize("nested", [False, True])
def test_archives_as_downloaded(tmp_path, nested):
    content = {**picture_tars(), **box_tars(nested), "ILSVRC2012_devkit_t12.tar.gz": devkit()}
    written(tmp_path, content)
    assert detect(tmp_path) == "imagenet"
    listing = imagenet.scan(tmp_path)
    assert listing.labels == NAMES
    assert [(r.split, r.source_id, r.annotation[1]) for r in listing.references] == [
        ("train", f"{TENCH}/{TENCH}_1.JPEG", TENCH),
        ("train", f"{CRANE}/{CRANE}_2.JPEG", CRANE),
        ("train", f"{CRANE}/{CRANE}_3.JPEG", CRANE),
        ("val", "ILSVRC2012_val_00000001.JPEG", CRANE),  # ground truth 3
        ("val", "ILSVRC2012_val_00000002.JPEG", MACHINE),  # ground truth 1
    ]
    found = samples(listing)
    assert [s.labels.tolist() for s in found] == [[0], [1], [1], [1], [2]]
    np.testing.assert_array_equal(found[1].boxes, [[5, 0, 40, 60], [4, 3, 20, 10]])
    assert found[1].classes.tolist() == [1, 1]
    np.testing.assert_array_equal(found[3].boxes, [[2, 1, 31, 30]])
    assert found[0].boxes.shape == (0, 4)
    assert any("blacklist" in note for note in listing.notes)


def test_train_archive_alone_is_split_by_a_hash(tmp_path):
    inner = {f"{TENCH}_{i}.JPEG": build.picture(seed=i) for i in range(40)}
    outer = {
        f"{n}.tar": tar_bytes({k.replace(TENCH, n): d for k, d in inner.items()})
        for n in (TENCH, CRANE)
    }
    path = written(tmp_path, {"ILSVRC2012_img_train.tar": tar_bytes(outer)})
    listing = imagenet.scan(path / "ILSVRC2012_img_train.tar")
    splits = collections.Counter(r.split for r in listing.references)
    assert 4 <= splits["val"] <= 28  # 16 +- 3 deviations
    assert splits["train"] + splits["val"] == 80


def test_unpacked_pictures_beside_the_packed_kit(tmp_path):
    val = {f"val/ILSVRC2012_val_0000000{i}.JPEG": build.picture(seed=i) for i in (1, 2)}
    train = {f"train/{TENCH}/{TENCH}_1.JPEG": build.picture()}
    content = {**val, **train, **box_tars(True), "ILSVRC2012_devkit_t12.tar.gz": devkit("2\n1\n")}
    listing = imagenet.scan(written(tmp_path, content))
    assert listing.labels == ("tench", "crane")  # the bird is not there
    assert [(r.split, r.annotation[1]) for r in listing.references] == [
        ("train", TENCH),
        ("val", TENCH),
        ("val", MACHINE),
    ]


def test_kaggle(tmp_path):
    data, boxes = "ILSVRC/Data/CLS-LOC", "ILSVRC/Annotations/CLS-LOC"
    solution = f"ImageId,PredictionString\r\nILSVRC2012_val_00000007,{TENCH} 1 2 30 31 \r\n"
    mapping = "".join(f"{n} {words}\n" for n, words in WORDS.items())
    content = {
        f"{data}/train/{TENCH}/{TENCH}_1.JPEG": build.picture(seed=1),
        f"{data}/train/{CRANE}/{CRANE}_1.JPEG": build.picture(seed=2),
        f"{data}/val/ILSVRC2012_val_00000007.JPEG": build.picture(seed=3),
        f"{data}/val/ILSVRC2012_val_00000008.JPEG": build.picture(seed=4),
        f"{data}/test/ILSVRC2012_test_00000001.JPEG": build.picture(seed=5),
        f"{boxes}/train/{TENCH}/{TENCH}_1.xml": xml(TENCH, (0, 0, 60, 40)),
        f"{boxes}/val/ILSVRC2012_val_00000007.xml": xml(TENCH, (1, 2, 30, 31)),
        "LOC_val_solution.csv": solution.encode(),
        "LOC_train_solution.csv": f"ImageId,PredictionString\n{TENCH}_1,{TENCH} 0 0 1 1\n".encode(),
        "LOC_synset_mapping.txt": mapping.encode(),
        "ILSVRC/ImageSets/CLS-LOC/val.txt": b"ILSVRC2012_val_00000007 1\n",
    }
    written(tmp_path, content)
    assert detect(tmp_path) == "imagenet"
    listing = imagenet.scan(tmp_path)
    assert listing.labels == ("tench", "crane")
    assert [(r.split, r.annotation[0]) for r in listing.references] == [
        ("train", "tench"),
        ("train", "crane"),
        ("val", "tench"),
    ]
    assert [row[1] for row in listing.rejected] == ["missing_annotation"]  # val_00000008
    assert listing.notes == ("1 pictures of test have no class and are not used",)
    np.testing.assert_array_equal(samples(listing)[2].boxes, [[2, 1, 31, 30]])


def test_boxes_say_the_class_where_nothing_else_does(tmp_path):
    content = {
        "val/ILSVRC2012_val_00000001.JPEG": build.picture(),
        "Annotations/ILSVRC2012_val_00000001.xml": xml(TENCH, (1, 2, 30, 31)),
        "Annotations/ILSVRC2012_val_00000002.xml": b"<annotation>",
        "val/ILSVRC2012_val_00000002.JPEG": build.picture(),
    }
    listing = imagenet.scan(written(tmp_path, content))
    assert [r.annotation[1] for r in listing.references] == [TENCH]
    assert [row[1] for row in listing.rejected] == ["missing_annotation"]


def test_imagenette_trains_with_pictures_of_val(tmp_path):
    content = {
        f"train/{TENCH}/ILSVRC2012_val_00000009.JPEG": build.picture(),
        f"train/{CRANE}/{CRANE}_9.JPEG": build.picture(),
        f"val/{TENCH}/{TENCH}_8.JPEG": build.picture(),
        "noisy_imagenette.csv": b"path,noisy_labels_0\n",
    }
    written(tmp_path, content)
    assert detect(tmp_path) == "imagenet"
    listing = imagenet.scan(tmp_path)
    assert [r.split for r in listing.references] == ["train", "train", "val"]
    assert listing.labels == (TENCH, CRANE)
    assert any("called by their synsets" in note for note in listing.notes)


@pytest.mark.parametrize(
    "rows",
    [
        "{0}\ttench, Tinca tinca\r\n{1}\tcrane\r\n",
        "\ufeff{0} tench, Tinca tinca\n{1} crane\n",
        "{0} 1 tench\n{1} 134 crane\n",  # map_clsloc.txt
        '"{0}","tench, Tinca tinca"\n"{1}","crane"\n',
    ],
)
def test_tables_of_names(tmp_path, rows):
    content = {f"{n}/{n}_1.JPEG": build.picture() for n in (CRANE, TENCH)}
    content["any table.txt"] = rows.format(TENCH, CRANE).encode()
    content["other.txt"] = f"{TENCH} 0\n{CRANE} 1\n".encode()  # numbers are no names
    listing = imagenet.scan(written(tmp_path, content))
    assert (listing.labels, listing.notes) == (("tench", "crane"), ())


def test_labels_are_synsets_or_names(tmp_path):
    content = {f"{n}/{n}_1.JPEG": build.picture() for n in (TENCH, CRANE, MACHINE)}
    content["words.txt"] = "".join(f"{n}\t{words}\n" for n, words in WORDS.items()).encode()
    written(tmp_path, content)
    for labels in ((CRANE, "tench"), (NAMES[1], TENCH)):
        listing = imagenet.scan(tmp_path, Options(labels=labels, holdout=0))
        assert listing.labels == labels
        wanted = {TENCH: labels.index("tench" if "tench" in labels else TENCH)}
        wanted[CRANE] = 1 - wanted[TENCH]
        pairs = zip(listing.references, samples(listing), strict=True)
        assert {r.annotation[1]: s.labels[0] for r, s in pairs} == wanted
        assert [row[:2] for row in listing.rejected] == [
            (f"{MACHINE}/{MACHINE}_1.JPEG", "unknown_class")
        ]
    with pytest.raises(SourceError, match=r"none of data\.labels"):
        imagenet.scan(tmp_path, Options(labels=("cat",)))


def test_odd_pictures(tmp_path):
    """n02105855_2933.JPEG is a PNG; some JPEGs of ImageNet are CMYK."""
    image = PIL.Image.open(io.BytesIO(build.picture()))
    content = {
        f"train/{TENCH}/{TENCH}_1.JPEG": build.picture(kind="PNG"),
        f"train/{TENCH}/{TENCH}_2.JPEG": build.encoded(image.convert("CMYK"), "JPEG"),
        f"train/{CRANE}/{CRANE}_1.JPEG": b"\xff\xd8\xff",
        f"train/{CRANE}/{CRANE}_2.JPEG": build.picture(),
        f"train/{CRANE}/{CRANE}_2.xml": b"<annotation>",
    }
    listing = imagenet.scan(written(tmp_path, content))
    *broken, png, cmyk = sorted(listing.references, key=lambda r: r.annotation[1] == TENCH)
    sample = imagenet.read(png, listing.labels)
    assert (sample.image[:4], sample.height, sample.width) == (b"\x89PNG", 40, 60)
    assert PIL.Image.open(io.BytesIO(imagenet.read(cmyk, listing.labels).image)).mode == "RGB"
    for reference, reason in zip(broken, ("corrupt_image", "corrupt_annotation"), strict=True):
        with pytest.raises(BadSample, match=reason):
            imagenet.read(reference, listing.labels)


def test_damaged_boxes_are_left_out(tmp_path):
    objects = xml(TENCH, (1, 2, 30, 31), (9, 9, 9, 20), (70, 1, 90, 9), (50, 30, 61, 41))
    other = build.xml_object(CRANE, (1, 1, 9, 9)) + "<object><name>x</name></object></annotation>"
    objects = objects.replace(b"</annotation>", other.encode())
    content = {f"{TENCH}/{TENCH}_1.JPEG": build.picture(), f"{TENCH}/{TENCH}_1.xml": objects}
    listing = imagenet.scan(written(tmp_path, content))
    warned = collections.Counter()
    (sample,) = samples(listing, warn=lambda reason, _: warned.update([reason]))
    np.testing.assert_array_equal(sample.boxes, [[2, 1, 31, 30], [30, 50, 40, 60]])
    assert warned == {"empty_box": 1, "outside_box": 1, "clipped_box": 1, "unknown_class": 2}


@pytest.mark.parametrize(
    ("kit", "message"),
    [
        (devkit("9\n"), "line 1: '9' is no ILSVRC2012_ID"),
        (devkit("x\n"), "line 1: 'x'"),
        (devkit()[:-30], r"devkit.*damaged"),
        (tar_bytes({"data/ILSVRC2012_validation_ground_truth.txt": b"1\n"}, "w:gz"), r"meta\.mat"),
        (
            tar_bytes(
                {"ILSVRC2012_validation_ground_truth.txt": b"1\n", "meta.mat": b"x" * 200}, "w:gz"
            ),
            "synsets",
        ),
    ],
)
def test_damaged_kits_are_explained(tmp_path, kit, message):
    written(tmp_path, {**picture_tars(), "ILSVRC2012_devkit_t12.tar.gz": kit})
    with pytest.raises(SourceError, match=message):
        imagenet.scan(tmp_path)


def test_other_folders(tmp_path):
    with pytest.raises(SourceError, match="ILSVRC2012_devkit"):
        imagenet.scan(tmp_path)
    build.classes(tmp_path / "train", {"cat": 2, TENCH: 1})
    assert not imagenet.detect(imagenet.files.tree(tmp_path))
