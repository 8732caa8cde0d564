"""`convoy worst`: what an evaluation got most wrong, drawn, by kind of error.

Which they are says pipeline/evaluation/worst.py, of what the evaluation wrote. Drawn is what the
exported model answers of them.
"""

from __future__ import annotations

import itertools
import pathlib
import re
from collections.abc import Callable, Sequence

from convoy.data.sample import Sample
from convoy.pipeline import manifest, tasks, versions
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.components.exporter import payload
from convoy.pipeline.errors import UsageError
from convoy.pipeline.evaluation import worst
from convoy.pipeline.networks import trained
from convoy.pipeline.tools import exported
from convoy.serving import client

RESULT = "worst.json"


def run(
    source: pathlib.Path,
    output: pathlib.Path,
    *,
    count: int,
    kind: str | None,
    score: float | None,
    tell: Callable[[str], None],
    note: Callable[[str], None],
) -> dict:
    """Writes OUTPUT/KIND/001_NAME.png, the worst first, and worst.json.

    count: pictures of each kind at most. score: from which on answers count, None = the mean of the
    classes' scores of best F1. Returns {"evaluation", "score", "errors": {kind: how many}, "kinds":
    {kind: [{"source_id", "amount", "picture"}]}}. Raises UsageError for a kind that the task has
    not, ValueError for a task that is not judged picture by picture, FileNotFoundError.
    """
    evaluation = exported.evaluation_of(source, trained.find(source))
    about = worst.about_of(evaluation)
    task, module = about["task"], tasks.of(about["task"])
    judged = worst.of_evaluation(evaluation)
    if kind is not None and kind not in judged.kinds:
        raise UsageError(f"--kind {kind}: of {task} there are {', '.join(judged.kinds)}")
    score = worst.threshold_of(evaluation, task) if score is None else score
    kinds = judged.kinds if kind is None else (kind,)
    ranked = {each: worst.ranked(judged, score, each, count) for each in kinds}
    ranked = {each: bad for each, bad in ranked.items() if bad}
    counts = judged.counts(score)
    if score:
        tell(f"answers of score {score:.4g} or more")
    for each in kinds:
        tell(f"{each}: {counts[each]} errors in {int((judged.amounts(score, each) > 0).sum())} "
             f"of {len(judged.source_ids)} pictures")  # fmt: skip
    records = worst.records_of(evaluation)
    wanted = {bad.index for found in ranked.values() for bad in found}
    samples = _at(records, about["split"], wanted)
    answers = _answers(exported.find(source, note), samples)
    labels = manifest.class_names(records, task)
    points = dict.fromkeys(labels, score)  # drawn is what was counted
    output.mkdir(parents=True, exist_ok=True)
    _remove_drawn(output)
    rows: dict[str, list[dict]] = {}
    for each, found in ranked.items():
        rows[each] = []
        for place, bad in enumerate(found, 1):
            sample = samples[bad.index]
            row = {"source_id": bad.source_id, "amount": round(bad.amount, 4)}
            if hasattr(module, "page"):
                path = output / each / f"{place:03d}_{_name(bad.source_id)}.png"
                path.parent.mkdir(exist_ok=True)
                module.page(sample, answers[bad.index], labels, points).save(path)
                row["picture"] = str(path)
            else:
                row |= {"text": sample.text, **module.named(answers[bad.index])}
            rows[each].append(row)
        tell(f"{each}: {output / each}")
    result = {"evaluation": str(evaluation), "score": score, "errors": counts, "kinds": rows}
    write_json(output / RESULT, result)
    return result


def _remove_drawn(output: pathlib.Path) -> None:
    """The pictures that an earlier call listed there: they are of another score or training."""
    for kind, rows in versions.read(output / RESULT).get("kinds", {}).items():
        for row in rows:
            if "picture" in row:
                (output / kind / pathlib.Path(row["picture"]).name).unlink(missing_ok=True)


def _at(records: pathlib.Path, split: str, wanted: set[int]) -> dict[int, Sample]:
    """The samples at these places of a split."""
    found = enumerate(worst.samples_of(records, split))
    through = itertools.takewhile(lambda pair: pair[0] <= max(wanted, default=-1), found)
    return {place: sample for place, sample in through if place in wanted}


def _answers(model: pathlib.Path, samples: dict[int, Sample]) -> dict[int, dict]:
    """What the model answers of each, with the names of all classes where it gives none."""
    ask = client.load_local(model)
    names: Sequence[bytes] = [label.encode() for label in client.labels_of(model)]
    found = {}
    for place, sample in samples.items():
        answer = {key: rows[0] for key, rows in ask([payload(sample)]).items()}
        found[place] = {"class_names": names} | answer
    return found


def _name(source_id: str) -> str:
    """The end of a name, as a file may be called."""
    return re.sub(r"[^\w-]+", "_", source_id.rpartition(".")[0] or source_id)[-80:]
