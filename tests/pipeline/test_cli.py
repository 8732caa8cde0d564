"""The command line: exit codes, JSON, help, and what must not be imported."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import sys

import pytest

from convoy.data.sources import digits
from convoy.pipeline import cli, config, steps
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verbs import VERBS, load

ROOT = pathlib.Path(__file__).resolve().parents[2]


def convoy(capfd, *arguments: object) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command in this process."""
    code = cli.main(["convoy", *map(str, arguments)])
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def last_json(out: str) -> dict:
    return json.loads(out.splitlines()[-1])


@pytest.fixture
def recipe(tmp_path) -> pathlib.Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        f"name: tiny\ntask: detection\nrun_dir: {tmp_path}/run\n"
        f"data: {{format: voc, path: {tmp_path}/devkit}}\n"
        "model: {name: ssd_mobilenet_v1, input_size: [64, 64]}\n"
    )
    return path


@pytest.fixture
def devkit(tmp_path) -> pathlib.Path:
    return digits.build(tmp_path / "devkit", images=(3, 2))


def test_help_of_the_program(capfd):
    code, out, _ = convoy(capfd, "--help")
    assert code == 0
    assert all(f"convoy {name}" in out for name in VERBS)
    assert convoy(capfd)[0] == 2


@pytest.mark.parametrize("name", sorted(VERBS))
def test_help_of_each_verb(capfd, name):
    code, out, _ = convoy(capfd, name, "--help")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) <= 40
    examples = lines[lines.index("Examples:") + 1 :]
    assert sum(line.strip().startswith(f"convoy {name}") for line in examples) == 2
    assert "--json" in out


@pytest.mark.parametrize("name", sorted(VERBS))
def test_the_examples_use_flags_that_exist(name):
    """Each is parsed by the verb's own flags; Beam's options only where there is a Beam job."""
    verb = load(name)
    for example in verb.examples:
        _, said, *rest = example.split()
        assert said == name
        words, beam = arguments.parse(cli._flag_values(verb), rest, verb.passes_flags)
        assert not beam or verb.passes_flags
        assert not any(word.startswith("-") for word in words)


@pytest.mark.parametrize(("typed", "meant"), [("trian", "train"), ("evalute", "evaluate")])
def test_an_unknown_verb_names_the_closest(capfd, typed, meant):
    code, out, err = convoy(capfd, typed)
    assert (code, out) == (2, "")
    assert err == f"convoy: error: unknown verb '{typed}'; did you mean '{meant}'?\n"


def test_models(capfd):
    code, out, _ = convoy(capfd, "models", "mobilenet_v1", "--json")
    assert code == 0
    described = last_json(out)
    assert (described["params"], described["input"]) == (4231976, [224, 224, 3])
    assert len(last_json(convoy(capfd, "models", "--json")[1])["models"]) >= 17


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["nothing"], 2, "unknown verb 'nothing'"),
        (["models", "mobilnet_v1"], 2, "unknown network 'mobilnet_v1'"),
        (["models", "--colour"], 2, "colour"),
        (["run"], 2, "expected one recipe file, got none"),
        (["run", "a.yaml", "b.yaml"], 2, "expected one recipe file"),
        (["run", "nothing.yaml"], 2, "nothing.yaml: cannot be read"),
        (["digits"], 2, "expected one folder"),
        (["ingest"], 2, "expected a recipe file, or --input DIR --output DIR"),
        (["validate"], 2, "expected a recipe file, or --records DIR --output DIR"),
        (["validate", "--records", "nowhere", "-o", "out"], 1, "run `convoy ingest` first"),
        (["ingest", "--input", "nowhere", "--output", "out"], 2, "nowhere: no such folder or"),
        (["predict", "model"], 2, "expected a run or a model, and at least one picture"),
        (["serve"], 2, "expected one run or model folder"),
    ],
)
def test_errors_have_a_code_and_a_json_line(capfd, words, code, message):
    got, out, err = convoy(capfd, *words, "--json")
    told = last_json(out)
    assert (got, told["exit_code"]) == (code, code)
    assert message in told["error"]
    assert f"convoy: error: {told['error']}" in err
    assert "Traceback" not in err
    assert convoy(capfd, *words)[:2] == (code, "")


def test_an_unknown_key_of_the_recipe_is_a_usage_error(capfd, recipe):
    recipe.write_text(recipe.read_text() + "trian: {}\n")
    code, _, err = convoy(capfd, "train", recipe)
    assert code == 2
    assert "trian: unknown key; did you mean 'train'?" in err
    code, _, err = convoy(capfd, "train", recipe, "--set", "train.epoch=1")
    assert code == 2
    assert "did you mean 'epochs'" in err


def test_a_missing_data_folder_is_named(capfd, recipe, tmp_path):
    code, out, _ = convoy(capfd, "ingest", recipe, "--json")
    assert code == 1
    assert f"data.path {tmp_path}/devkit: no such folder" in last_json(out)["error"]
    code, out, _ = convoy(capfd, "ingest", recipe, "--set", "data.path=''", "--json")
    assert code == 2
    assert "data.path is empty" in last_json(out)["error"]


def test_ingest_twice(capfd, recipe, devkit, tmp_path):
    """The second time nothing is done; a rerun after a change of the data is."""
    code, out, err = convoy(capfd, "ingest", recipe, "--json")
    assert code == 0
    result = last_json(out)
    assert (result["cached"], result["pushed"]) == ([], False)
    records = pathlib.Path(result["artifacts"]["example_gen"])
    manifest = json.loads((records / "manifest.json").read_text())
    assert {name: split["records"] for name, split in manifest["splits"].items()} == {
        "train": 3,
        "val": 2,
    }
    assert "example_gen: done" in err
    assert json.loads((tmp_path / "run" / "result.json").read_text()) == result
    again = last_json(convoy(capfd, "ingest", recipe, "--json")[1])
    assert again["cached"] == ["example_gen"]
    assert again["artifacts"] == result["artifacts"]
    changed = last_json(convoy(capfd, "ingest", recipe, "--set", "seed=1", "--json")[1])
    assert changed["cached"] == []


def test_ingest_without_a_recipe(capfd, devkit, tmp_path):
    out_dir = tmp_path / "records"
    code, out, _ = convoy(capfd, "ingest", "--input", devkit, "--output", out_dir, "--json")
    result = last_json(out)
    assert code == 0
    assert (result["records"], result["splits"]) == (5, {"train": 3, "val": 2})  # no trainval
    assert (out_dir / "labels.txt").read_text().split() == sorted(set(result["classes"]))
    code, out, _ = convoy(capfd, "ingest", "--input", devkit, "--output", out_dir, "--json")
    assert code == 1
    assert "exists" in last_json(out)["error"]
    (tmp_path / "empty").mkdir()
    words = ["--input", devkit, "--output", tmp_path / "empty", "--set", "data.labels=['3','x']"]
    code, out, _ = convoy(capfd, "ingest", *words, "--json")
    result = last_json(out)
    assert (code, result["classes"]) == (0, ["3", "x"])
    told = {row["what"]: row["examples"] for row in result["unused"]}
    assert told["names of data.labels"] == ["x"]


def test_a_dry_run_says_what_would_run_and_does_nothing(capfd, recipe, devkit, tmp_path):
    code, out, err = convoy(capfd, "run", recipe, "--dry_run", "--json")
    assert code == 0
    assert last_json(out)["cached"] == []
    steps = [line.split(":")[0] for line in err.splitlines() if "would" in line]
    assert steps == [
        "example_gen",
        "statistics_gen",
        "schema_gen",
        "example_validator",
        "trainer",
        "evaluator",
        "exporter",
        "infra_validator",
        "pusher",
    ]
    assert not (tmp_path / "run").exists()


def test_a_dry_run_before_the_embedded_data_is_built(capfd, recipe):
    code, _, err = convoy(capfd, "run", recipe, "--set", "data.format=digits", "--dry_run")
    assert code == 0, err
    assert "pusher: would push" in err


def test_a_refusal_is_3(capfd, recipe, devkit):
    """A gate that decided against the model stops before the export."""
    job = steps.Job(config.load(recipe), plan=True)
    steps.run(job, "evaluator")
    for artifact in job.done.values():
        artifact.path.mkdir(parents=True)
    folder = job.done["evaluator"].path
    gate = {"blessed": False, "reasons": ["Low."], "summary": "Refused: Low."}
    write_json(folder / "gate.json", gate)
    write_json(folder / "metrics.json", {"AP50": 0.25, "per_class": {}})
    (folder / "report.html").write_text("<p>low</p>")
    manifest = {"splits": {}, "rejected": {}, "warnings": {}, "labels": []}
    write_json(job.done["example_gen"].path / "manifest.json", manifest)
    code, out, _ = convoy(capfd, "evaluate", recipe, "--json")
    assert code == 0  # to evaluate is no wish to push
    assert last_json(out)["metrics"] == {"AP50": 0.25}
    code, out, err = convoy(capfd, "export", recipe, "--json")
    assert code == 3
    assert last_json(out)["exit_code"] == 3
    assert last_json(out)["error"].startswith("Low. Report: ")
    assert "convoy: refused: Low. Report: " in err


@pytest.mark.parametrize("words", [["--help"], ["models", "--json"], ["train", "--help"]])
def test_quick_verbs_import_no_tensorflow(words):
    program = (
        "import sys; from convoy.pipeline import cli; code = cli.main(['convoy', *sys.argv[1:]]);"
        "names = 'tensorflow', 'keras', 'apache_beam', 'dagster', 'imagehash';"
        "heavy = [name for name in names if name in sys.modules];"
        "sys.exit(f'imported {heavy}' if heavy else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_installed_program(tmp_path):
    """`convoy` itself: exit code and both streams, from another folder."""
    program = pathlib.Path(sys.executable).with_name("convoy")
    command = [str(program)] if program.exists() else [sys.executable, "-m", "convoy.pipeline.cli"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*command, "run", "nothing.yaml", "--json"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert last_json(done.stdout)["exit_code"] == 2
    assert done.stderr.startswith("convoy: error: recipe nothing.yaml: cannot be read")


@pytest.mark.parametrize("verbosity", [-1, 0])
def test_our_warnings_are_shown(capfd, verbosity):
    """Whatever the root logger leaves out, which Beam writes to."""
    program = (
        "import logging, sys; from absl import logging as ours;"
        "from convoy.pipeline.commands import verb;"
        "verb.set_up_logs(int(sys.argv[1])); ours.warning('kept fresh'); ours.info('a detail');"
        "logging.warning('of Beam')"
    )
    subprocess.run([sys.executable, "-c", program, str(verbosity)], cwd=ROOT, check=True)
    told = capfd.readouterr().err
    assert "kept fresh" in told
    assert ("a detail" in told) == (verbosity == 0)
    assert "of Beam" not in told


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        (["run", "--epochs=5"], "unknown flag --epochs; did you mean --set train.epochs=5?"),
        (["run", "--epochs", "5"], "did you mean --set train.epochs=5?"),
        (["run", "--train.epochs=5"], "did you mean --set train.epochs=5?"),
        (["train", "--lr=0.1"], "did you mean --set train.learning_rate=0.1?"),
        (["train", "--batch-size=8"], "did you mean --set train.batch_size=8?"),
        (["run", "--lr"], "did you mean --set train.learning_rate=VALUE?"),
        (["run", "--dry_run=maybe"], "boolean flag maybe; expected true or false"),
        (["run", "--dry-run"], "unknown flag --dry-run; did you mean --dry_run?"),
        (["ingest", "--direct_num_worker=2"], "did you mean --direct_num_workers?"),
        (["run", "--direct_num_workers", "2"], "expected --direct_num_workers=VALUE in one word"),
        (["run", "--", "--direct_num_worker=2"], "did you mean --direct_num_workers?"),
        (["run", "--", "--epochs=5"], "did you mean --set train.epochs=5, before the --?"),
        (["run", "--", "--nothing=5"], "--nothing is no option of Apache Beam"),
        (["run", "--", "epochs=5"], "'epochs=5' behind -- is no option of Apache Beam"),
        (["run", "--", "--runner=FooRunner"], "--runner=FooRunner: expected one of DataflowRunner"),
        (["run", "--", "--runner", "foo"], "--runner=foo: expected one of DataflowRunner"),
        (["serve", "--prot=1"], "unknown flag --prot; did you mean --port?"),
        (["export", "runs/a", "--to="], "--to: expected one or more of the runtimes"),
        (["serve", "--direct_num_workers=2"], "expected one of --batching_parameters_file"),
        (["models", "-tsk=text"], "unknown flag --tsk; did you mean --task?"),
        (["ingest", "--input", "a", "--output", "b", "--set", "name=1"], "--set name is not used"),
        (["ingest", "--input", "a", "--output", "b", "--set", "train.epochs=1"], "is not used"),
        (["ingest", "--input", "a", "--output", "b", "--set", "data.path=c"], "is not used"),
        (["ingest", "--input", "a", "--output", "b", "--set", "data.lables=[c]"], "'labels'?"),
        (["ingest", "RECIPE", "--weights=c"], "--weights is not used: nothing is trained"),
        (["ingest", "--input", "a", "--output", "b", "--dry_run"], "--dry_run is not used"),
        (["ingest", "--input", "a", "--output", "b", "--weights=c"], "--weights is not used"),
        (["ingest", "RECIPE", "--format=voc"], "--format is not used: a recipe says where"),
        (["validate", "RECIPE", "-o", "b"], "--output is not used: a recipe says where"),
        (["validate", "--records", "a", "-o", "b", "--dry_run"], "--dry_run is not used"),
        (["preview", "RECIPE", "-o", "b", "--dry_run"], "flag --dry_run; expected one of"),
        (["run", "--labels=[a]"], "unknown flag --labels; did you mean --set data.labels=[a]?"),
        (["fetch", "--offline"], "--offline is not used: without a name sets are listed"),
    ],
)
def test_flags_that_would_do_nothing(capfd, recipe, typed, message):
    words = [str(recipe) if word == "RECIPE" else word for word in typed]
    if typed[0] in ("run", "train"):
        words.insert(1, str(recipe))
    code, out, err = convoy(capfd, *words)
    assert (code, out) == (2, "")
    assert message in err


@pytest.mark.parametrize(
    ("words", "beam"),
    [
        (["--", "--runner=FlinkRunner", "--flink_master", "host:1", "--a_runner_s_own=1"], None),
        (["--", "--direct_num_workers=2"], None),
        (["--direct_num_workers=2", "--streaming"], None),
        (["--streaming", "--", "--region=x"], ["--streaming", "--region=x"]),
        ([], []),
    ],
)
def test_options_of_beam(recipe, words, beam):
    """Behind `--` all, before it those that Beam's parser knows; they reach the recipe's ingest."""
    verb = load("run")
    values = cli._flag_values(verb)
    positional, options = arguments.parse(values, [str(recipe), "--set", "seed=3", *words], True)
    expected = [word for word in words if word != "--"] if beam is None else beam
    assert (positional, options) == ([str(recipe)], expected)
    assert recipes.load(positional, values, options).ingest.beam == tuple(expected)


def test_behind_dashes_without_a_beam_job():
    """As everywhere: positional, whatever it begins with."""
    values = cli._flag_values(load("predict"))
    words = ["model", "--score=0.1", "--", "- a film"]
    assert arguments.parse(values, words, False) == (["model", "- a film"], [])
    assert values.score == 0.1
