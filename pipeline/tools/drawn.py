"""A model's answers to pictures and videos: drawn, written, and said in a line."""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import types
from collections.abc import Callable, Sequence

from tqdm import tqdm

from convoy.data.images.images import load
from convoy.data.images.wanted import Wanted, wanting
from convoy.data.sample import BadSample
from convoy.pipeline import json_lines
from convoy.pipeline.tools import video

# A bar on a terminal, nothing elsewhere.
bar = functools.partial(tqdm, disable=None, leave=False)


@dataclasses.dataclass(frozen=True)
class Drawn:
    """answer(encoded picture, [those beside it]) -> an answer; module: the task's."""

    answer: Callable[..., dict]
    module: types.ModuleType
    want: Wanted  # of pictures
    score: object  # from which on objects are drawn and counted; None of other answers
    output: pathlib.Path

    def picture(self, path: str, target: pathlib.Path, beside: Sequence) -> tuple[dict, str]:
        """(the row of predictions.json, a line for people). Raises BadSample, OSError."""
        with wanting(self.want):
            picture = load(path).image
        row, drawn, said, _ = self._seen(picture, beside, pathlib.Path(target.name))
        drawn.save(target)
        if "found" in row:
            said = f"{row['found']} found"
        row = {"image": str(pathlib.Path(path)), "picture": str(target), **row}
        return row, f"{said} {target}".strip()

    def video(self, path: str, target: pathlib.Path) -> tuple[dict, str]:
        """The same of a video: drawn as one, with a row per frame in a file of lines beside it."""
        if self.want != Wanted():
            raise BadSample(
                "unreadable_video",
                f"{path}: a video has 8-bit RGB, the model sees {self.want.channels} channels of "
                f"{self.want.bits} bits",
            )
        source = video.Video(path)
        lines, count, found, files = target.with_suffix(".jsonl"), 0, 0, {}
        name = pathlib.Path(path).name
        moments = bar(source.frames(), name, source.count or None, unit="frame")
        frames = ((seconds, video.encoded(pixels)) for seconds, pixels in moments)
        with video.Writer(target, source.rate) as write, json_lines.written(lines) as note:
            for (seconds, picture), near in video.beside(frames):
                place = pathlib.Path(target.stem) / f"{count:06d}.png"
                row, drawn, _, written = self._seen(picture, [each for _, each in near], place)
                write(drawn)
                note({"frame": count, "seconds": round(seconds, 3), **row})
                count, found = count + 1, found + row.get("found", 0)
                files |= {key: str(path.parent) for key, path in written.items()}
        row = {"video": str(pathlib.Path(path)), "picture": str(target), "lines": str(lines)}
        row |= {"frames": count, "frames_in_header": source.count, **files}
        row |= {"found": found} if hasattr(self.module, "found") else {}
        said = f"{found} found in {count} frames" if "found" in row else f"{count} frames"
        if count < source.count:
            said += f" of {source.count}: the others cannot be read"
        return row, f"{said} {target}"

    def _seen(self, picture: bytes, beside: Sequence, place: pathlib.Path) -> tuple:
        """(what was answered, the picture drawn, a few words, {kind: the file} of what is one)."""
        answered = self.answer(picture, beside)
        row = dict(self.module.named(answered))
        if hasattr(self.module, "found"):
            row["found"] = self.module.found(answered, self.score)
        contents = self.module.files(answered) if hasattr(self.module, "files") else {}
        written = {kind: self.output / kind / place for kind in contents}
        for kind, path in written.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(contents[kind])
        row |= {kind: str(path) for kind, path in written.items()}
        drawn = self.module.draw(picture, answered, self.score)
        return row, drawn, self.module.summary(answered), written
