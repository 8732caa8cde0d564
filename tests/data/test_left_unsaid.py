"""What was read, changed or left out without a word."""

from __future__ import annotations

import json

import pytest

from convoy.data.sources import detect, number
from convoy.pipeline import cli, config
from tests.data.fuzz_sets import picture

XML = (
    "<annotation><filename>0.jpg</filename><object><name>cup</name><bndbox><xmin>{0}</xmin>"
    "<ymin>2</ymin><xmax>9</xmax><ymax>8</ymax></bndbox></object></annotation>"
)


def yolo(root, lines, count=4):
    for index in range(count):
        line = lines[index] if isinstance(lines, list) else lines
        (root / "labels").mkdir(parents=True, exist_ok=True)
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / f"{index}.jpg").write_bytes(picture(index))
        (root / "labels" / f"{index}.txt").write_text(line)
    (root / "classes.txt").write_text("cup\n")
    return root


def ingest(capsys, root, *more):
    """(exit code, the JSON answer)."""
    out = str(root.parent / "out")
    words = ["convoy", "ingest", "--input", str(root), "--output", out, "--json", *more]
    code = cli.main(words)
    return code, json.loads(capsys.readouterr().out.splitlines()[-1])


def test_a_stray_xml_does_not_make_a_yolo_set_voc(tmp_path, capsys):
    root = yolo(tmp_path / "set", "0 0.5 0.5 0.4 0.4\n")
    (root / "images" / "0.xml").write_text(XML.format(2))
    code, told = ingest(capsys, root)
    assert (code, told["format"], told["objects"]) == (0, "yolo", 4)
    (row,) = told["ambiguous"]
    assert row["examples"] == ["images/0.xml"]
    assert row["why"].startswith("1 pictures are annotated twice: taken as yolo")


def test_as_many_xml_as_texts_are_voc_as_before(tmp_path):
    root = yolo(tmp_path / "set", "0 0.5 0.5 0.4 0.4\n")
    for index in range(2):
        (root / "images" / f"{index}.xml").write_text(XML.format(2))
    assert detect(root) == "voc"


def test_a_sixth_number_is_told_and_loses_no_object(tmp_path, capsys):
    lines = ["0 0.5 0.5 0.4 0.4 0.93\n0 0.3 0.3 0.2 0.2 7\n", *["0 0.5 0.5 0.4 0.4\n"] * 3]
    code, told = ingest(capsys, yolo(tmp_path / "set", lines))
    assert (code, told["objects"], told["warnings"]) == (0, 5, {"sixth_number": 1})
    (row,) = map(json.loads, (tmp_path / "out" / "warnings.jsonl").read_text().splitlines())
    assert "2 objects have a sixth number" in row["detail"]


def test_what_is_left_out_is_told_to_be_background(tmp_path, capsys):
    """Picture 2 keeps one of two objects, picture 3 none."""
    good, empty = "0 0.5 0.5 0.4 0.4\n", "0 0.5 0.5 0 0\n"
    code, told = ingest(capsys, yolo(tmp_path / "set", [good, good, good + empty, empty]))
    assert (code, told["objects"], told["warnings"]) == (0, 3, {"empty_box": 2})
    (row,) = told["ambiguous"]
    assert (row["what"], row["count"]) == ("pictures", 2)
    assert sorted(row["examples"]) == ["images/2.jpg", "images/3.jpg"]
    assert row["why"] == (
        "an object was left out (empty_box): its place is learnt as background; 1 of them have no "
        "object left"
    )


def test_what_is_cut_or_left_out_on_purpose_is_not(tmp_path, capsys):
    lines = ["0 0.9 0.5 0.4 0.4\n", *["0 0.5 0.5 0.4 0.4\n1 0.5 0.5 0.4 0.4\n"] * 3]
    code, told = ingest(capsys, yolo(tmp_path / "set", lines), "--set", "data.labels=[cup]")
    assert (code, told["warnings"]) == (0, {"clipped_box": 1, "unknown_class": 3})
    assert told["ambiguous"] == []


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["0", "0,5"], "; '0,5' has a decimal comma: write numbers with a point"),
        (["-12,25"], "; '-12,25' has a decimal comma: write numbers with a point"),
        (["0.5", "a,b", "1,", None, "", "1,2,3"], ""),
    ],
)
def test_decimal_commas(texts, said):
    assert number.commas(texts) == said


def test_decimal_commas_are_named_by_each_reader(tmp_path, capsys):
    comma = "has a decimal comma: write numbers with a point"
    assert comma in ingest(capsys, yolo(tmp_path / "yolo", "0 0,5 0,5 0,4 0,4\n"))[1]["error"]
    voc = tmp_path / "voc"
    for name in ("JPEGImages", "Annotations"):
        (voc / name).mkdir(parents=True)
    for index in range(3):
        (voc / "JPEGImages" / f"{index}.jpg").write_bytes(picture(index))
        (voc / "Annotations" / f"{index}.xml").write_text(XML.format("2,5"))
    assert comma in ingest(capsys, voc)[1]["error"]
    table = tmp_path / "table"
    table.mkdir()
    rows = []
    for index in range(3):
        (table / f"{index}.jpg").write_bytes(picture(index))
        rows.append(f"{index}.jpg;2,5;2;9;8;cup\n")
    (table / "boxes.csv").write_text("filename;xmin;ymin;xmax;ymax;class\n" + "".join(rows))
    assert comma in ingest(capsys, table)[1]["error"]


def test_records_do_not_go_into_the_data_set(tmp_path, capsys):
    root = yolo(tmp_path / "set", "0 0.5 0.5 0.4 0.4\n")
    for inside in (root / "records", root / "labels" / ".." / "records"):
        words = ["convoy", "ingest", "--input", str(root), "--output", str(inside)]
        assert cli.main(words) == 2
        assert "lies inside of --input" in capsys.readouterr().err
    assert not (root / "records").exists()


def test_the_same_fault_has_the_same_exit_code(tmp_path, capsys):
    """2, wrong usage: a folder that is not there, a format that there is not."""
    root = yolo(tmp_path / "set", "0 0.5 0.5 0.4 0.4\n")
    for verb in (["ingest", "--output", str(tmp_path / "o"), "--input"], ["doctor"]):
        assert cli.main(["convoy", *verb, str(tmp_path / "nowhere")]) == 2
        assert cli.main(["convoy", *verb, str(root), "--format", "nonsense"]) == 2


def test_a_weight_of_an_unknown_class_is_told_before_a_picture_is_read(tmp_path, capsys):
    root = tmp_path / "set"
    for name in ("cat", "dog"):
        (root / name).mkdir(parents=True)
        for index in range(8):
            (root / name / f"{index}.jpg").write_bytes(picture(index))
    recipe = {
        "name": "tiny",
        "task": "classification",
        "run_dir": str(tmp_path / "run"),
        "data": {"path": str(root)},
        "model": {"name": "lenet5"},
        "train": {"class_weights": {"cta": 2}},
    }
    path = tmp_path / "recipe.yaml"
    path.write_text(config.yaml.safe_dump(recipe))
    assert cli.main(["convoy", "run", str(path)]) == 2
    assert "no class is called 'cta'; did you mean 'cat'?" in capsys.readouterr().err
    assert not list((tmp_path / "run").rglob("*.tfrecord"))
    recipe["data"]["labels"] = ["cat", "dog"]
    with pytest.raises(config.ConfigError, match=r"'cta' is not among data\.labels: cat, dog"):
        config.parse(recipe)
