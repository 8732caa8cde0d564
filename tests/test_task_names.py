"""A task is named in its row, its module and its file alone; everything else reads these."""

from __future__ import annotations

import ast

from convoy.models.tasks import TASKS
from tests.test_arrows import FILES, ROOT

PLACES = (
    "models/tasks.py",
    "models/rows_",
    *(
        f"models/{name}/"
        for name in (
            *(
                "captioning",
                "classification",
                "detection",
                "instance",
                "pose",
                "restoration",
                "segmentation",
            ),
            "text",
        )
    ),
    "pipeline/tasks/",
    "pipeline/tools/init/",  # which task data fits, and a table of what to begin with for each
)
# The same word for something else.
OTHERS = {
    "pipeline/evaluation/coco.py": "a key of COCO's JSON",
    "data/exports/coco.py": "a key of COCO's JSON",
    "data/exports/voc.py": "the name of an element",
    "data/sources/voc.py": "the name of an element",
    "data/input/input.py": "a field of the annotation",
    "data/input/parse.py": "a field of the annotation",
    "data/sources/coco_rows.py": "a key of COCO's JSON",
    "data/sources/tfds.py": "a field of the sample",
    "pipeline/commands/doctor.py": "the name of a key",
    "pipeline/components/example_validator.py": "a field of the annotation",
    "pipeline/commands/serve.py": "a form of logs",
    "serving/servable.py": "TensorFlow Serving's word for a kind of call",
    "pipeline/tools/asked.py": "a request",
    "pipeline/tools/preview.py": "a field of the annotation",
    "pipeline/commands/recipes.py": "a kind of request, of tasks.REQUESTS",
    "pipeline/tools/other_runtimes.py": "a kind of request, of tasks.REQUESTS",
    "pipeline/tools/worst.py": "a field of the sample",
    "data/sources/datumaro.py": "a key of Datumaro's JSON",
    "pipeline/components/example_gen.py": "a key of a recipe's data",
    "data/sources/__init__.py": "a format of data sets",
    "data/sources/csv_table.py": "the name of a column",
    "data/sources/huggingface.py": "the name of a key",
    "data/sources/text_lines.py": "the name of a column",
    "data/sources/tfds_features.py": "the name of a feature",
    "data/ingest/tfds_metadata.py": "TFDS's own JSON",
}


def named(source: str) -> set[str]:
    """Tasks that a source names, as text of its own."""
    constants = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return {node.value for node in constants if node.value in TASKS}


def test_a_name_is_seen():
    assert named('if task == "detection":\n    pass') == {"detection"}
    assert named('"""Of detection."""\ndetection = 1') == set()


def test_tasks_are_named_in_their_places_alone():
    sources = [
        file for file in FILES if file.split("/")[0] in ("data", "models", "pipeline", "serving")
    ]
    wrong = {
        file: found
        for file in sources
        if not file.startswith(PLACES) and file not in OTHERS
        if (found := named((ROOT / file).read_text()))
    }
    assert wrong == {}
    assert all(named((ROOT / file).read_text()) for file in OTHERS)
