"""What a newcomer's data set holds beside its pictures: told, or refused with what to do."""

import pytest

from convoy.data.files import files
from convoy.data.ingest import account, prepare
from convoy.data.sources import Options, SourceError, coco, csv, detect, folder, source, yolo
from tests.data import build
from tests.data.test_ambiguous import coco_file

WHERE = "the set"


def prepared(listing, options=Options()):
    return prepare.prepared(listing, options, "auto", "train", (), WHERE)


def opened(root):
    """(format, listing, account) as the ingest makes them."""
    tree = files.tree(root)
    name = detect(tree)
    tree.forget()
    listing = source(name).scan(tree)
    return name, listing, account.opened(tree, listing, name, found=True)


def told(rows):
    return {(row.what, row.count, row.examples) for row in rows}


def test_one_coco_id_of_two_categories_is_refused(tmp_path):
    twice = [{"id": 1, "name": "cup"}, {"id": 1, "name": "jug"}]
    text = coco_file([(1, "a.jpg")], [(1, 1, [1, 2, 3, 4])], twice)
    build.written(tmp_path, {"train.json": text, "a.jpg": build.picture()})
    with pytest.raises(
        SourceError, match=r"train\.json: the categories 'cup', 'jug' have one id, 1"
    ):
        coco.scan(tmp_path)
    same = [{"id": 1, "name": "cup"}, {"id": 1, "name": "cup"}]
    build.written(tmp_path, {"train.json": coco_file([(1, "a.jpg")], [(1, 1, [1, 2, 3, 4])], same)})
    assert coco.scan(tmp_path).labels == ("cup",)


@pytest.mark.parametrize(
    ("names", "alike"),
    [
        (("Cat", "cat", "dog"), ("Cat", "cat")),
        (("stop sign", "stopsign"), ("stop sign", "stopsign")),
        (("\u00e9t\u00e9", "e\u0301te\u0301"), ("e\u0301te\u0301", "\u00e9t\u00e9")),
        (("cat", "cats"), ()),
    ],
)
def test_classes_that_look_alike_are_told(tmp_path, names, alike):
    build.classes(tmp_path, dict.fromkeys(names, 2))
    listing = folder.scan(tmp_path)
    rows = [row for row in prepared(listing).ambiguous if row.what == "classes"]
    assert [(row.count, row.examples) for row in rows] == ([(2, alike)] if alike else [])
    chosen = Options(labels=listing.labels)  # who names both means both
    rows = prepared(folder.scan(tmp_path, chosen), chosen).ambiguous
    assert not [row for row in rows if row.what == "classes"]


def test_empty_class_folders_are_told(tmp_path):
    build.classes(tmp_path, {"cat": 2, "dog": 2})
    for name in ("eel", "fox/young", ".cache"):
        (tmp_path / name).mkdir(parents=True)
    name, _, sums = opened(tmp_path)
    assert name == "folder"
    assert told(sums.unused) == {("folders", 2, ("eel", "fox/young"))}


def test_an_archive_that_is_read_is_not_called_unused(tmp_path):
    content = {f"{c}/{i}.jpg": build.picture(seed=i) for c in "ab" for i in range(2)}
    packed = build.zip_bytes(content)
    build.written(tmp_path / "packed", {"data.zip": packed})
    name, listing, sums = opened(tmp_path / "packed")
    assert (name, len(listing.references), sums.unused) == ("folder", 4, ())
    build.written(tmp_path / "both", content | {"data.zip": packed})  # not read: pictures are there
    assert told(opened(tmp_path / "both")[2].unused) == {
        (".zip files at the top", 1, ("data.zip",))
    }
    build.written(tmp_path / "nested", {"outer.zip": build.zip_bytes({"inner.zip": packed})})
    with pytest.raises(SourceError, match=r"inner\.zip is an archive that is not opened"):
        detect(tmp_path / "nested")


def test_no_known_layout_says_what_is_damaged(tmp_path):
    build.written(tmp_path, {"a.jpg": build.picture(), "_annotations.coco.json": '{"images": [{'})
    with pytest.raises(SourceError, match=r"_annotations\.coco\.json is no well-formed JSON"):
        detect(tmp_path)
    (tmp_path / "nothing").mkdir()
    with pytest.raises(SourceError, match="holds no file"):
        detect(tmp_path / "nothing")


def test_spreadsheets_annotate_whatever_they_are_called(tmp_path):
    content = {f"{i}.jpg": build.picture(seed=i) for i in range(3)}
    build.written(tmp_path, content | {"my labels.xlsx": b"PK\3\4"})
    with pytest.raises(SourceError, match=r"1 \.xlsx files at the top, e\.g\. my labels\.xlsx"):
        opened(tmp_path)


def test_rows_of_a_table_that_differ_are_told(tmp_path):
    rows = [f"{i:02}.jpg,{'ab'[i % 2]}" for i in range(10)]
    table = "\n".join(["image,label", *rows, "00.jpg,b", "01.jpg,b"])
    content = {f"{i:02}.jpg": build.picture(seed=i) for i in range(12)}
    build.written(tmp_path, content | {"t.csv": table})
    assert told(csv.scan(tmp_path).ambiguous) == {("pictures", 1, ("00.jpg",))}
    build.written(tmp_path, {"t.csv": "\n".join(["image,label", *rows, '10.jpg,"a,b"', "11.jpg,"])})
    listing = csv.scan(tmp_path)
    found = {r.source_id: csv.read(r, listing.labels).labels.tolist() for r in listing.references}
    assert (found["10.jpg"], found["11.jpg"]) == ([0, 1], [])
    cut, bare = listing.ambiguous
    assert (cut.count, cut.examples, "cut at ','" in cut.why) == (1, ("10.jpg",), True)
    assert (bare.count, bare.examples) == (1, ("11.jpg",))


def test_a_table_that_excel_wrote(tmp_path):
    text = "image,label\n0.jpg,a\n1.jpg,\u00f1\n2.jpg,a\n3.jpg,\u00f1\n"
    content = {f"{i}.jpg": build.picture(seed=i) for i in range(4)}
    build.written(tmp_path, content | {"t.csv": text.encode("cp1252")})
    listing = csv.scan(tmp_path)
    assert prepared(listing).labels == ("a", "\u00f1")
    (row,) = listing.ambiguous
    assert row.why == "not UTF-8: classes read as Windows-1252"


def test_yolo_says_what_its_numbers_lack(tmp_path):
    content = {f"images/{i}.jpg": build.picture(seed=i) for i in range(2)}
    content |= {f"labels/{i}.txt": f"{i} .5 .5 .2 .2\n" for i in range(2)}
    build.written(tmp_path, content)
    (row,) = yolo.scan(tmp_path).ambiguous
    assert (row.what, row.count) == ("classes", 2)
    assert row.why == "no list names them: called by their numbers; give classes.txt"
    build.written(tmp_path, {"data.yaml": "nc: 2\nnames: [cup]\ntrain: images\n"})
    assert "data.yaml says nc: 2, but names 1 classes" in yolo.scan(tmp_path).notes
    build.written(tmp_path, {"data.yaml": "nc: 2\nnames: [cup, jug]\ntrain: images\n"})
    assert yolo.scan(tmp_path).notes == ()


def test_a_name_with_a_line_break_says_its_file(tmp_path):
    text = build.annotation(build.xml_object("cup\nsmall", (1, 2, 9, 9)))
    build.written(tmp_path, {"JPEGImages/a.jpg": build.picture(), "Annotations/a.xml": text})
    with pytest.raises(
        SourceError, match=r"'cup\\nsmall' of '.*/Annotations/a\.xml' has a line break"
    ):
        prepared(source("voc").scan(tmp_path))


def test_names_that_no_record_has_are_told_where_none_has_any():
    count = {"images_by_class": {"cups": 0}, "warned": {"unknown_class": 4}}
    assert told(prepare.unseen([count], ("cups",))) == {("names of data.labels", 1, ("cups",))}
    pixels = {"images_by_class": {"sky": 0}, "warned": {}}  # classes of pixels alone
    assert prepare.unseen([pixels], ("sky",)) == ()


def test_xml_that_names_another_picture_of_the_set(tmp_path):
    def text(name):
        box = build.xml_object("cup", (1, 2, 9, 9))
        return build.annotation(f"<filename>{name}</filename>{box}")

    content = {f"JPEGImages/{i}.jpg": build.picture(seed=i) for i in range(3)}
    names = {"0": "0.jpg", "1": "2.jpg", "2": "IMG_7.jpg"}  # the last: renamed since, nothing else
    content |= {f"Annotations/{key}.xml": text(name) for key, name in names.items()}
    build.written(tmp_path, content)
    (row,) = source("voc").scan(tmp_path).ambiguous
    assert (row.what, row.count) == ("samples", 1)
    assert row.examples[0].endswith("/1")


def test_junk_in_many_folders_is_one_group(tmp_path):
    build.classes(tmp_path, {f"c{i}": 1 for i in range(9)})
    build.written(tmp_path, {f"c{i}/Thumbs.db": b"x" for i in range(9)} | {"c1/a.lock": b"x"})
    assert [(row.what, row.count) for row in opened(tmp_path)[2].unused] == [
        (".db files in 9 folders", 9),
        (".lock files in folders called c1", 1),
    ]


def test_no_known_layout_says_why_a_table_is_not_read(tmp_path):
    """A box that lacks an edge: neither boxes nor classes alone."""
    rows = "".join(f"{i}.jpg,cup,10,4,30\n" for i in range(3))
    content = {f"{i}.jpg": build.picture(seed=i) for i in range(3)}
    build.written(tmp_path, content | {"b.csv": f"filename,class,xmin,ymin,xmax\n{rows}"})
    with pytest.raises(SourceError, match=r"no known layout .*found b\.csv: .*xmin"):
        detect(tmp_path)


def test_weather_that_is_taken_as_pairs_is_told(tmp_path):
    content = {f"{f}/{i}.jpg": build.picture(seed=i) for f in ("rain", "clear") for i in range(4)}
    build.written(tmp_path, content)
    name, listing, _ = opened(tmp_path)
    assert (name, told(listing.ambiguous)) == ("pairs", {("folders", 2, ("clear", "rain"))})


def test_a_table_that_says_other_classes_than_the_folders(tmp_path):
    build.classes(tmp_path, {"cat": 3, "dog": 3})
    names = [f"{name}/{i:03d}.jpeg" for name in ("cat", "dog") for i in range(3)]
    same = "".join(f"{name},{name[:3]}\n" for name in names)
    build.written(tmp_path, {"t.csv": f"image,label\n{same}"})
    assert csv.scan(tmp_path).ambiguous == ()
    build.written(tmp_path, {"t.csv": f"image,label\n{same}".replace("0.jpeg,cat", "0.jpeg,dog")})
    listing = csv.scan(tmp_path)
    assert told(listing.ambiguous) == {("pictures", 1, ("cat/000.jpeg",))}
    assert {r.source_id: r.annotation[2][0][1] for r in listing.references}["cat/000.jpeg"] == "dog"
