"""`convoy predict` on pictures: what it prints, what it writes, and what it never writes over."""

from __future__ import annotations

import io
import json

import numpy as np
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
    assert "convoy: error: 3 of 4 failed: " in err
    assert "Traceback" not in err
    assert [line.count(str(name)) for line, name in zip(out[1:], names[1:], strict=True)] == [1] * 3
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert ["error" in row for row in rows] == [False, True, True, True]


def test_several_views_are_averaged(base, tmp_path, capfd):
    """A picture and its mirror image, each asked about alone."""
    picture = Image.open(io.BytesIO(tiny.png(30, 40)))
    picture.save(tmp_path / "a.png")
    picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(tmp_path / "b.png")
    names = [tmp_path / name for name in ("a.png", "b.png")]
    rows = json.loads(convoy(capfd, base, *names, "-o", tmp_path, "--json")[1][-1])["predictions"]
    scores = [row["scores"] for row in rows]
    assert scores[0] != scores[1]
    words = (base, names[0], "-o", tmp_path, "--tta", "flip", "--json")
    (seen,) = json.loads(convoy(capfd, *words)[1][-1])["predictions"]
    np.testing.assert_allclose(seen["scores"], np.mean(scores, axis=0), atol=1e-6)
    assert seen["class"] == tiny.LABELS[int(np.argmax(seen["scores"]))]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--tiles", "640"], "--tiles: expected SIZE,OVERLAP in pixels such as 640,128, or of"),
        (["--tiles", "64,a"], "of HEIGHTxWIDTH as 480x640,96, got '64,a'"),
        (["--tiles", "64,-1"], "of HEIGHTxWIDTH as 480x640,96, got '64,-1'"),
        (["--tiles", "64x32x9,1"], "of HEIGHTxWIDTH as 480x640,96, got '64x32x9,1'"),
        (["--tiles", "64x32,40"], "--tiles 64x32,40: expected an OVERLAP smaller than the SIZE"),
        (["--tiles", "64,64"], "--tiles 64,64: expected an OVERLAP smaller than the SIZE"),
        (["--tiles", "8,2"], "--tiles 8,2: expected a SIZE of at least 32 pixels"),
        (["--tiles", "64,8"], "--tiles is for detection and segmentation, the task is class"),
        (["--tta", "flop"], "--tta: expected flip and scales from 0.25 to 4, got flop"),
        (["--tta", "flip,9"], "--tta: expected flip and scales from 0.25 to 4, got flip,9"),
    ],
)
def test_flags_for_views_are_looked_at_first(base, tmp_path, capfd, words, message):
    code, out, err = convoy(capfd, base, "nothing.png", "-o", tmp_path / "out", *words)
    assert (code, out) == (errors.USAGE, [])
    assert message in err
    assert not (tmp_path / "out").exists()


def test_a_caption_is_readable_below_a_small_picture():
    small, large = Image.new("RGB", (8, 8)), Image.new("RGB", (600, 8))
    assert caption(small, "golf ball 0.93").width > 80
    assert caption(small, "x" * 500).width == 480
    assert caption(large, "golf ball 0.93").width == 600
