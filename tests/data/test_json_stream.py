import gzip
import json
import tracemalloc
import zipfile

import hypothesis
import hypothesis.strategies as st
import pytest

from convoy.data.files import files, json_stream
from convoy.data.files.json_stream import DamagedJson

NAMES = st.text(max_size=6) | st.sampled_from(["images", 'a"b', "é\\", "\u2028", "猫😀", ""])
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


def listed(path, block=7):
    return list(json_stream.items(str(path), block))


def expected(document):
    if isinstance(document, list):
        return [("", value) for value in document]
    return [(k, v) for k, values in document.items() if isinstance(values, list) for v in values]


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    st.lists(VALUES, max_size=5) | st.dictionaries(NAMES, VALUES, max_size=5),
    st.integers(1, 40),
    st.booleans(),
    st.sampled_from([None, 1, "\t"]),
    st.booleans(),
)
def test_as_json_loads(tmp_path_factory, document, block, ascii_only, indent, mark):
    path = tmp_path_factory.mktemp("stream") / "a.json"
    text = json.dumps(document, ensure_ascii=ascii_only, indent=indent)
    path.write_text(text, encoding="utf-8-sig" if mark else "utf-8")
    found = listed(path, block)
    assert [(key, value) for key, _, value in found] == expected(document)
    for _, raw, value in found:
        assert raw in path.read_bytes()
        assert json.loads(raw) == value


def test_raw_bytes_are_those_of_the_file(tmp_path):
    (tmp_path / "a.json").write_bytes(
        b'{"n":1, "a" : [ {"b": "\\u00e9\xc3\xa9"} ,[ 1.50 ],-0.5e1]}'
    )
    raws = [item.raw for item in listed(tmp_path / "a.json", 3)]
    assert raws == [b'{"b": "\\u00e9\xc3\xa9"}', b"[ 1.50 ]", b"-0.5e1"]


@pytest.mark.parametrize("block", [1, 2, 3, 64])
def test_numbers_cut_by_a_block(tmp_path, block):
    (tmp_path / "a.json").write_text("[123456, 1.5e+10, -12.25, true, null, Infinity]")
    values = [item.value for item in listed(tmp_path / "a.json", block)]
    assert values == [123456, 1.5e10, -12.25, True, None, float("inf")]


@pytest.mark.parametrize(
    ("text", "given", "offset"),
    [
        (b"", 0, 0),
        (b"  x", 0, 2),
        (b'{"a": [1, 2', 2, 11),  # cut off
        (b'{"a": [1 2]}', 1, 9),
        (b'{"a": [{"b": 1,, "c": 2}]}' + b" " * 60, 0, 15),
        (b'{"a": [1], b: 2}' + b" " * 60, 1, 11),
        (b'{"a": [1] "b": 2}', 1, 10),
        (b'{"a" [1]}', 0, 5),
        (b'{"a": ["\xc3\xa9", x]}' + b" " * 60, 1, 13),
        (b'{"a": [1, "\xff"]}', 0, 11),  # not UTF-8
        (b'{"a": [1]} true', 1, 11),
        (b'{"a": [1' + b"1" * 5000 + b"]}", 0, 7),
        (b'{"a": [1,]}' + b" " * 60, 1, 9),
    ],
)
def test_damage_is_placed(tmp_path, text, given, offset):
    (tmp_path / "a.json").write_bytes(text)
    found = []
    with pytest.raises(DamagedJson, match=f"byte {offset}: ") as caught:
        found.extend(json_stream.items(str(tmp_path / "a.json")))
    assert (len(found), caught.value.offset) == (given, offset)


def test_damage_is_placed_by_tiny_blocks(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": ["\xc3\xa9\xc3\xa9", 12, y]}' + b" " * 40)
    with pytest.raises(DamagedJson, match="byte 22: "):
        listed(tmp_path / "a.json", 2)


def test_deep_nesting_is_damage_not_a_crash(tmp_path):
    (tmp_path / "a.json").write_text("[" * 200_000)
    with pytest.raises(DamagedJson):
        listed(tmp_path / "a.json", 1 << 20)


def test_out_of_archives(tmp_path):
    text = json.dumps({"a": [{"i": i, "t": "é" * i} for i in range(50)]}).encode()
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("b/a.json", text)
    with zipfile.ZipFile(tmp_path / "stored.zip", "w") as archive:
        archive.writestr("b/a.json", text)
    (tmp_path / "a.json.gz").write_bytes(gzip.compress(text))
    packed = files.Span(str(tmp_path / "a.json.gz"), 0, len(text), "gzip")
    wheres = [files.tree(tmp_path / name).where("b/a.json") for name in ("a.zip", "stored.zip")]
    assert wheres[0].packed == "deflate"
    for where in [*wheres, packed]:
        found = [item.value["i"] for item in json_stream.items(where, 64)]
        assert found == list(range(50))
        assert all(len(piece) <= 64 for piece in json_stream.blocks(where, 64))


def test_memory_does_not_grow_with_the_file(tmp_path):
    with open(tmp_path / "a.json", "w") as file:
        file.write('{"annotations": [')
        file.write(",".join(json.dumps({"id": i, "s": [[0.5] * 40]}) for i in range(10_000)))
        file.write("]}")
    assert (tmp_path / "a.json").stat().st_size > 2_000_000
    tracemalloc.start()
    count = sum(1 for _ in json_stream.items(str(tmp_path / "a.json"), 1 << 14))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000
    assert peak < 300_000
