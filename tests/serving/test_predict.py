"""`convoy predict` on pictures: what it prints, what it writes, and what it never writes over."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from convoy.pipeline import cli, errors
from convoy.pipeline.report.overlay import caption
from tests.serving import tiny


def convoy(capfd, *words) -> tuple[int, list[str], str]:
    code = cli.main(["convoy", "predict", *map(str, words)])
    captured = capfd.readouterr()
    return code, captured.out.splitlines(), captured.err


def test_a_picture_is_never_drawn_over(base, tmp_path, monkeypatch, capfd):
    """The default folder is the one that people are in; two pictures may have one name."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    for name in ("a.png", "sub/a.png", "b.png"):
        (tmp_path / name).write_bytes(tiny.png(30, 40))
    code, out, err = convoy(capfd, base, "a.png", "sub/a.png", "b.png", "--json")
    assert code == errors.OK, err
    rows = json.loads(out[-1])["predictions"]
    assert [row["picture"] for row in rows] == ["a_2.png", "a_3.png", "b_2.png"]
    assert all((tmp_path / name).read_bytes() == tiny.png(30, 40) for name in ("a.png", "b.png"))
    best = [f"{row['class']} {max(row['scores']):.2f} {row['picture']}" for row in rows]
    assert out[:-1] == best
    assert json.loads((tmp_path / "predictions.json").read_text()) == rows


@pytest.mark.parametrize("mode", ["L", "LA", "RGBA", "P", "CMYK", "1", "I;16"])
def test_any_kind_of_picture(base, tmp_path, capfd, mode):
    kind = "tiff" if mode == "CMYK" else "png"
    picture = Image.open(io.BytesIO(tiny.png(30, 40)))
    picture = picture.convert("L").convert("I;16") if mode == "I;16" else picture.convert(mode)
    picture.save(tmp_path / f"one.{kind}")
    code, out, err = convoy(capfd, base, tmp_path / f"one.{kind}", "-o", tmp_path / "out")
    assert code == errors.OK, err
    with Image.open(tmp_path / "out" / "one.png") as drawn:
        assert drawn.height > 30
    assert len(out) == 1


def test_what_failed_is_told_once_and_the_rest_is_done(base, tmp_path, capfd):
    (tmp_path / "good.png").write_bytes(tiny.png(1, 1))
    (tmp_path / "bad.jpg").write_bytes(b"no picture")
    (tmp_path / "empty.jpg").touch()
    names = [tmp_path / name for name in ("good.png", "bad.jpg", "empty.jpg", "none.jpg")]
    code, out, err = convoy(capfd, base, *names, "-o", tmp_path / "out")
    assert code == errors.FAILURE
    assert "convoy: error: 3 of 4 pictures failed: " in err
    assert "Traceback" not in err
    assert [line.count(str(name)) for line, name in zip(out[1:], names[1:], strict=True)] == [1] * 3
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert ["error" in row for row in rows] == [False, True, True, True]


def test_a_caption_is_readable_below_a_small_picture():
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (600, 8))
    assert caption(small, "golf ball 0.93").width > 80
    assert caption(small, "x" * 500).width == 480
    assert caption(large, "golf ball 0.93").width == 600
