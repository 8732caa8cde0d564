"""`convoy predict` on videos: each frame's answer is the frame's as a picture, in order."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
from PIL import Image

from convoy.data.images.images import encode
from convoy.data.sample import BadSample
from convoy.pipeline import cli, errors
from convoy.pipeline.tools import predict_pictures, video
from convoy.serving.export import export
from tests.serving import tiny

HEIGHT, WIDTH, RATE = 30, 40, 10.0


def frames(count: int) -> list[np.ndarray]:
    return [tiny.picture(HEIGHT, WIDTH, seed=number) for number in range(count)]


def lossless(path, pictures) -> str:
    """Each frame a PNG: what is read is what was written."""
    code = cv2.VideoWriter_fourcc(*"MPNG")
    file = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, code, RATE, (WIDTH, HEIGHT))
    for pixels in pictures:
        file.write(pixels[..., ::-1])
    file.release()
    return str(path)


def lines(path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_frames_come_as_they_are_with_their_moments(tmp_path):
    written = frames(4)
    source = video.Video(lossless(tmp_path / "a.avi", written))
    assert (source.rate, source.count) == (RATE, 4)
    seconds, read = zip(*source.frames(), strict=True)
    assert seconds == pytest.approx([0, 0.1, 0.2, 0.3])
    np.testing.assert_array_equal(read, written)


@pytest.mark.parametrize("count", range(1, 7))
def test_neighbours_are_those_of_a_folder_of_pictures(count):
    """data/frames.py says which of numbered pictures lie beside one."""
    from convoy.data import frames as film

    expected = [(place, film.neighbours(place, count)) for place in range(count)]
    assert list(video.beside(range(count))) == expected


def test_each_frame_is_answered_as_the_picture_would_be(base, tmp_path, capfd):
    pictures = frames(5)
    for number, pixels in enumerate(pictures):
        (tmp_path / f"{number}.png").write_bytes(encode(pixels))
    stills = [str(tmp_path / f"{number}.png") for number in range(5)]
    expected = predict_pictures.run(str(base), stills, tmp_path / "stills", None, print)
    clip = lossless(tmp_path / "street.avi", pictures)
    out = tmp_path / "out"
    capfd.readouterr()
    assert cli.main(["convoy", "predict", str(base), clip, "-o", str(out)]) == errors.OK
    assert capfd.readouterr().out == f"5 frames {out}/street.mp4\n"
    found = lines(out / "street.jsonl")
    assert [row["frame"] for row in found] == [*range(5)]
    assert [row["seconds"] for row in found] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [row["scores"] for row in found] == [row["scores"] for row in expected]
    (row,) = json.loads((out / "predictions.json").read_text())
    assert row == {
        "video": clip,
        "picture": str(out / "street.mp4"),
        "lines": str(out / "street.jsonl"),
        "frames": 5,
        "frames_in_header": 5,
    }
    shown = [pixels for _, pixels in video.Video(str(out / "street.mp4")).frames()]
    assert len(shown) == 5
    for pixels, still in zip(shown, expected, strict=True):
        drawn = np.asarray(Image.open(still["picture"]).convert("RGB"), float)
        height, width = pixels.shape[:2]
        assert np.abs(pixels - drawn[:height, :width]).mean() < 12  # VP9 loses a little
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_objects_of_all_frames_are_counted(tmp_path):
    task = tiny.detector([[10, 20, 30, 60], [50, 100, 90, 180]], [0.9, 0.6], [0, 2])
    limits = {"score_threshold": 0.01, "iou_threshold": 0.5, "max_detections": 4}
    arguments = tiny.export_arguments(input_size=(100, 200), precision="float32", **limits)
    export(task, tmp_path / "model", **arguments)
    clip = lossless(tmp_path / "a.avi", frames(3))
    told: list[str] = []
    (row,) = predict_pictures.run(
        str(tmp_path / "model"), [clip], tmp_path / "out", 0.5, told.append
    )
    assert row["found"] == 6
    assert told[0] == f"6 found in 3 frames {tmp_path}/out/a.mp4"
    assert [each["found"] for each in lines(tmp_path / "out" / "a.jsonl")] == [2, 2, 2]


def test_a_folder_of_pictures_and_videos_and_its_own_output(base, tmp_path, monkeypatch, capfd):
    """Asked twice: what was drawn is not asked about, and nothing is written over."""
    monkeypatch.chdir(tmp_path)
    before = lossless("b.avi", frames(2))
    shutil.copy(before, "b.mp4")  # a name that the drawn one would have
    (tmp_path / "a.png").write_bytes(tiny.png(HEIGHT, WIDTH))
    for _ in range(2):
        assert cli.main(["convoy", "predict", str(base), ".", "--json"]) == errors.OK
        (told,) = capfd.readouterr().out.splitlines()[-1:]
        rows = json.loads(told)["predictions"]
        asked = [row.get("image") or row["video"] for row in rows]
        assert asked == ["a.png", "b.avi", "b.mp4"]
        assert [row["picture"] for row in rows] == ["a_2.png", "b_2.mp4", "b_3.mp4"]
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "b.avi").read_bytes()


def test_what_is_no_video_is_told_and_the_rest_is_done(base, tmp_path, capfd):
    (tmp_path / "bad.mp4").write_bytes(b"no video" * 100)
    good = lossless(tmp_path / "good.avi", frames(2))
    names = [str(tmp_path / "bad.mp4"), good, str(tmp_path / "none.mp4")]
    words = ["convoy", "predict", str(base), *names, "-o", str(tmp_path / "out")]
    assert cli.main(words) == errors.FAILURE
    captured = capfd.readouterr()
    assert "2 of 3 failed" in captured.err
    assert "bad.mp4: not a video that OpenCV can read" in captured.out
    assert "2 frames" in captured.out
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"good.mp4", "good.jsonl", "labels.txt", "predictions.json"}


def test_a_video_that_ends_before_its_header_says(base, tmp_path):
    whole = lossless(tmp_path / "whole.avi", frames(8))
    content = (tmp_path / "whole.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(content[: len(content) // 2])
    assert video.Video(whole).count == 8
    told: list[str] = []
    cut = str(tmp_path / "cut.avi")
    (row,) = predict_pictures.run(str(base), [cut], tmp_path / "out", None, told.append)
    assert 0 < row["frames"] < row["frames_in_header"] == 8
    assert f"{row['frames']} frames of 8: the others cannot be read" in told[0]


def test_nothing_is_left_of_a_drawing_that_broke(tmp_path):
    def drawn():
        with video.Writer(tmp_path / "a.mp4", RATE) as write:
            write(Image.new("RGB", (32, 32)))
            raise RuntimeError("the model failed")

    with pytest.raises(RuntimeError, match="the model failed"):
        drawn()
    assert not [*tmp_path.iterdir()]


def test_pictures_of_other_sizes_are_laid_on_the_first_ones(tmp_path):
    with video.Writer(tmp_path / "a.mp4", RATE) as write:
        for size in ((33, 21), (20, 40), (60, 60)):
            write(Image.new("RGB", size, (200, 30, 30)))
    shown = [pixels for _, pixels in video.Video(str(tmp_path / "a.mp4")).frames()]
    assert {pixels.shape for pixels in shown} == {(20, 32, 3)}
    assert shown[1][:, 24:].mean() < 20 < shown[1][:, :16, 0].mean()


def test_a_video_without_frames(tmp_path):
    path = tmp_path / "none.avi"
    lossless(path, [])
    with pytest.raises((BadSample, OSError)):
        list(video.Video(str(path)).frames())


def test_pictures_and_videos_are_counted_apart(capsys):
    rows = [{"found": 2}, {"found": 0}, {"video": "a.mp4", "found": 5}]
    predict_pictures._tell_found(rows, 0.5, print)
    said = "7 found in 2 pictures and 1 video from score 0.5 on; nothing in 1 of them\n"
    assert capsys.readouterr().out == said
    predict_pictures._tell_found([{"error": "a.mp4: not a video"}], 0.5, print)
    assert not capsys.readouterr().out


def test_a_file_that_is_no_text_is_no_sentences(tmp_path):
    (tmp_path / "a.avi").write_bytes(b"RIFF\0\0\0\1AVI fine\n")
    with pytest.raises(ValueError, match=r"a\.avi: expected a sentence or a file of text"):
        predict_pictures._lines(str(tmp_path / "a.avi"))
    (tmp_path / "a.txt").write_bytes("fine\n\nfilmé".encode())
    assert predict_pictures._lines(str(tmp_path / "a.txt")) == ["fine", "filmé"]
