"""What an artifact's key knows of the code: all that runs, and nothing else."""

from __future__ import annotations

import ast
import pathlib
import shutil

import pytest

from convoy.data.sources import SOURCES
from convoy.models import registry
from convoy.pipeline import chosen, closure, config, steps
from convoy.pipeline.config import parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOPS = ("data", "models", "pipeline", "serving")
COMPONENTS = (*steps.NAMES[:-1], "feature_gen")
NETWORK = "models/detection/ssd.py"


def recipe(**sections) -> config.Recipe:
    data = {"format": "voc", "path": "unused", **sections.pop("data", {})}
    return parse({"name": "x", "task": "detection", "data": data, **sections})


def closures(one: config.Recipe, root: pathlib.Path = ROOT) -> dict[str, closure.Closure]:
    """{component: its closure}, of a copy of the sources where `root` is one."""
    found = {}
    for name in COMPONENTS:
        without = getattr(steps.component(name), "NOT_RUN", ())
        found[name] = closure.of(
            [f"convoy.pipeline.components.{name}"],
            chosen.choices(one),
            without=(*chosen.never(one), *without),
            root=root,
        )
    return found


@pytest.fixture(scope="module")
def copied(tmp_path_factory) -> pathlib.Path:
    top = tmp_path_factory.mktemp("sources")
    for name in TOPS:
        shutil.copytree(ROOT / name, top / name, ignore=shutil.ignore_patterns("__pycache__"))
    return top


@pytest.fixture
def edited(copied):
    """A function that edits a file of the copy; the copy is whole again after the test."""
    before: dict[pathlib.Path, str | None] = {}

    def edit(name: str, old: str = "", new: str = "") -> pathlib.Path:
        """Replaces `old`; without it, appends."""
        path = copied / name
        text = path.read_text() if path.exists() else None
        before.setdefault(path, text)
        assert old in (text or ""), f"{name} has no {old!r}"
        path.write_text(text.replace(old, new, 1) if old else (text or "") + new)
        return copied

    yield edit
    for path, text in before.items():
        path.unlink() if text is None else path.write_text(text)


def changed(one: config.Recipe, root: pathlib.Path) -> set[str]:
    """Components that have another version in the edited copy."""
    ours, theirs = closures(one), closures(one, root)
    return {name for name in COMPONENTS if ours[name].version != theirs[name].version}


MORE = "\n\ndef unheard_of():\n    return 1\n"
WEIGHTS = {"model": {"weights": "imagenet"}}


@pytest.mark.parametrize(
    ("name", "old", "new", "sections"),
    [
        pytest.param("models/detection/new.py", "", MORE, {}, id="a network's file added"),
        pytest.param("models/classification/lenet.py", "", MORE, {}, id="another network"),
        pytest.param("data/input/input.py", "", "\n# a remark\n", {}, id="a comment"),
        pytest.param("models/losses.py", '"""', '"""In other words: ', {}, id="a docstring"),
        pytest.param("models/rows_detection.py", "ROWS = {", 'ROWS = {"x": 1,', {}, id="a row"),
        pytest.param("models/rows.py", "", "\nNEW = Preprocess(size=(9, 9))\n", {}, id="its parts"),
        pytest.param(
            "models/registry.py",
            "    rows_classification,\n",
            "    rows_new,\n    rows_classification,\n",
            {},
            id="a table of networks imported",
        ),
        pytest.param(
            "models/registry.py",
            "    rows_classification.ROWS\n",
            "    rows_new.ROWS\n    | rows_classification.ROWS\n",
            {},
            id="a table of networks used",
        ),
        pytest.param("models/tasks.py", "TASKS = {", 'TASKS = {"x": 1,', {}, id="a task"),
        pytest.param(
            "data/sources/__init__.py", "SOURCES = {", 'SOURCES = {"x": "y",', {}, id="a format"
        ),
        pytest.param("data/sources/coco.py", "", MORE, {}, id="another format's reader"),
        pytest.param("data/fetch/table.py", "", MORE, WEIGHTS, id="data sets to fetch"),
        pytest.param("pipeline/networks/pretrained.py", "", MORE, {}, id="weights, without any"),
        pytest.param(
            "pipeline/networks/pretrained.py",
            "IMAGENET = {",
            'IMAGENET = {"x": "https://example.org/x.pth",',
            WEIGHTS,
            id="another network's weights",
        ),
        pytest.param("pipeline/tools/diagram.py", "", MORE, {}, id="a tool"),
    ],
)
def test_what_did_not_run_changes_no_key(edited, name, old, new, sections):
    assert changed(recipe(**sections), edited(name, old, new)) == set()


@pytest.mark.parametrize(
    ("name", "sections", "must", "must_not"),
    [
        (NETWORK, {}, {"trainer", "evaluator", "exporter"}, {"example_gen", "statistics_gen"}),
        ("models/losses.py", {}, {"trainer"}, {"example_gen", "infra_validator"}),
        ("models/layers.py", {}, {"trainer", "exporter"}, {"example_gen"}),
        ("pipeline/networks/pretrained.py", WEIGHTS, {"trainer", "feature_gen"}, {"example_gen"}),
        ("models/weights/torch_pth.py", WEIGHTS, {"trainer"}, {"example_gen"}),
        ("data/augment/geometry.py", {}, {"trainer", "example_gen"}, {"schema_gen"}),
        ("data/sources/voc.py", {}, {"example_gen"}, {"trainer", "exporter"}),
        ("data/sources/coco.py", {"data": {"format": "auto"}}, {"example_gen"}, {"trainer"}),
        ("pipeline/training/loop.py", {}, {"trainer"}, {"evaluator", "exporter"}),
        ("pipeline/training/longer.py", {}, {"trainer"}, {"evaluator", "exporter"}),
        ("pipeline/report/plots.py", {}, {"evaluator"}, {"trainer", "exporter", "example_gen"}),
        ("serving/signatures.py", {}, {"exporter"}, {"trainer", "example_gen"}),
        ("serving/server.py", {}, {"infra_validator"}, {"trainer", "exporter"}),
        ("serving/v1_check.py", {}, {"infra_validator"}, {"trainer", "exporter"}),
    ],
)
def test_what_runs_changes_the_key(edited, name, sections, must, must_not):
    found = changed(recipe(**sections), edited(name, "", MORE))
    assert must <= found
    assert not must_not & found


def test_a_constant_beside_a_table_counts(edited):
    root = edited("models/tasks.py", '"image": "image_bytes"', '"image": "image_bits"')
    assert "exporter" in changed(recipe(), root)


def test_a_template_counts_by_its_text(edited):
    root = edited("pipeline/report/page.html", "<head>", "<head> ")
    found = changed(recipe(), root)
    assert "evaluator" in found
    assert not {"trainer", "exporter", "example_gen"} & found


def test_a_remark_in_a_script_beside_changes_nothing(edited):
    assert changed(recipe(), edited("serving/v1_check.py", "", "\n# a remark\n")) == set()


def test_the_row_in_use_counts(monkeypatch):
    before = closures(recipe())
    row = registry.MODELS["ssd_mobilenet_v1"]
    monkeypatch.setitem(registry.MODELS, "brand_new", row)
    assert closures(recipe()) == before
    other = row._replace(family=row.family._replace(module="convoy.models.classification.lenet"))
    monkeypatch.setitem(registry.MODELS, "ssd_mobilenet_v1", other)
    after = closures(recipe())
    assert "convoy.models.classification.lenet" in after["trainer"].modules
    assert after["example_gen"] == before["example_gen"]
    monkeypatch.setitem(registry.MODELS, "ssd_mobilenet_v1", row._replace(num_classes=21))
    assert closures(recipe())["trainer"].version != before["trainer"].version


def test_closures_of_the_components():
    found = {name: set(one.modules) for name, one in closures(recipe(**WEIGHTS)).items()}
    networks = {row.family.module for row in registry.MODELS.values()}
    sources = {*SOURCES.values()}
    must = {
        "example_gen": "data.ingest.job data.sources.voc data.augment.offline data.example",
        "statistics_gen": "data.statistics.job data.example pipeline.manifest",
        "schema_gen": "pipeline.validation.infer",
        "example_validator": "pipeline.validation.checks models.detection.ssd",
        "feature_gen": "models.classification.extraction pipeline.networks.pretrained",
        "trainer": (
            "data.input.input data.input.parse data.input.order data.augment.crops "
            "data.augment.geometry data.augment.mix data.augment.policy data.example models.losses "
            "models.assign models.boxes models.layers models.detection.ssd "
            "models.classification.mobilenet models.weights.load pipeline.networks.pretrained "
            "pipeline.networks.network pipeline.training.loop pipeline.training.step "
            "pipeline.training.optimizers pipeline.training.checkpoints pipeline.training.stages "
            "pipeline.tasks.detection pipeline.evaluation.coco"
        ),
        "evaluator": (
            "models.detection.ssd data.input.input pipeline.tasks.detection "
            "pipeline.evaluation.gate pipeline.evaluation.coco pipeline.report.report "
            "serving.client"
        ),
        "exporter": "models.detection.ssd models.decode serving.export serving.signatures",
        "infra_validator": "serving.server serving.client serving.verify serving.warmup",
    }
    for name, modules in must.items():
        assert {f"convoy.{module}" for module in modules.split()} <= found[name], name
    for name, modules in found.items():
        assert not any(module.startswith("convoy.data.fetch") for module in modules), name
        assert not any(module.startswith("convoy.pipeline.commands") for module in modules), name
        assert "convoy.models.classification.lenet" in networks - modules, name
        assert "convoy.models.classification.darknet" in networks - modules, name
        assert modules & sources <= {"convoy.data.sources.voc"}, name
        assert "convoy.pipeline.store" not in modules, name
    for start in ("convoy.serving", "convoy.pipeline.report", "convoy.data.ingest"):
        assert not any(module.startswith(start) for module in found["trainer"]), start
    models = {module for module in found["infra_validator"] if module.startswith("convoy.models.")}
    # How far two answers are apart, and what a client draws masks with.
    answers = ("tasks", "spec", "detection.task", "boxes", "paste")
    assert models <= {f"convoy.models.{name}" for name in answers}


def test_extraction_knows_all_of_its_networks():
    networks = [{"name": name, "weights": "imagenet"} for name in ("vgg16", "inception_v3")]
    one = parse(
        {
            "name": "x",
            "task": "classification",
            "data": {"format": "folder", "path": "unused"},
            "model": {"features": networks},
            "train": {"mode": "extract"},
        }
    )
    for name in ("feature_gen", "trainer"):
        modules = closures(one)[name].modules
        assert "convoy.models.classification.vgg" in modules
        assert "convoy.models.classification.inception_v3" in modules


def test_steps_ask_for_these_closures():
    one = recipe()
    for name, found in closures(one).items():
        assert steps.code(steps.component(name), one) == found.version


# What the closure takes for granted of our sources.


def _trees() -> dict[str, ast.Module]:
    paths = [path for top in TOPS for path in sorted((ROOT / top).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): ast.parse(path.read_bytes()) for path in paths}


def test_imports_by_name_are_known():
    """Each is chosen in chosen.py, or no component reaches it."""
    found = {
        name
        for name, tree in _trees().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "import_module"
    }
    followed = {
        "data/sources/__init__.py",
        "models/registry.py",
        "pipeline/tasks/__init__.py",
        "serving/verify.py",
    }
    reached = {module for one in closures(recipe()).values() for module in one.modules}
    for name in found - followed:
        module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        assert f"convoy.{module}" not in reached


def test_packages_have_no_effects():
    """So that an import of a module need not count the packages it lies in."""
    plain = (ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign, ast.FunctionDef, ast.ClassDef)
    wrong = [
        f"{name}:{node.lineno}"
        for name, tree in _trees().items()
        if name.endswith("__init__.py")
        for node in tree.body
        if not isinstance(node, plain)
        and not isinstance(getattr(node, "value", 0), ast.Constant)
        and ast.unparse(getattr(node, "test", node)) != "TYPE_CHECKING"
    ]
    assert not wrong


def test_data_files_are_read_by_a_module_that_names_them():
    """Of what components run; serving/deploy and pages of other verbs are for people."""
    files = {
        path.relative_to(ROOT).as_posix()
        for top in ("data", "models", "pipeline")
        for path in (ROOT / top).rglob("*")
        if path.is_file()
        and "__pycache__" not in path.parts
        and path.suffix != ".py"
        and not path.is_relative_to(ROOT / "pipeline/tools")
        and not path.is_relative_to(ROOT / "pipeline/look")
    }
    known = {name for one in closures(recipe()).values() for name in one.files}
    assert files <= known


def test_components_declare_what_their_steps_need():
    def read(name: str) -> set[str]:
        others = steps.component(name).INPUTS.values()
        return {name}.union(*(read(other) for other in others)) - {"feature_gen"}

    for name in COMPONENTS[:-1]:
        assert read(name) == set(steps.needed(name)), name
    assert read("pusher") | set(steps.CHECKS) == set(steps.needed("pusher"))
