"""model.weights: files, addresses with hashes from a server on this machine, and `imagenet`."""

from __future__ import annotations

import hashlib
import importlib
import json
import pathlib

import numpy as np
import pytest

from convoy import models
from convoy.data.files.files import SourceError
from convoy.models.weights import sources
from convoy.pipeline import cli, outside, steps
from convoy.pipeline.commands import arguments, recipes
from convoy.pipeline.commands.verbs import load
from convoy.pipeline.config import Model, Recipe, parse
from convoy.pipeline.errors import ConfigError
from convoy.pipeline.networks import pretrained
from tests.models.test_weights_torch import true_tensors, write_safetensors

ROOT = pathlib.Path(__file__).resolve().parents[2]
DARKNETS = {"darknet19", "darknet53", "darknet_reference"}  # bodies in no library's table
# Bodies whose published weights have no address that is known here: a file's is to be given.
WITHOUT_ADDRESS = DARKNETS | {
    *("alexnet", "caffenet", "cspdarknet53", "cspdarknet53_tiny"),
    *("lm_resnet20", "spp_net_zf5", "vgg_m_1024", "zf_caffe"),
}


def test_an_address_is_fetched_once(served, tmp_path):
    folder, url = served
    content = b"weights"
    digest = hashlib.sha256(content).hexdigest()
    for name, mark in (
        ("a.pth", f"#sha256={digest}"),
        ("b.pth", f"#md5={hashlib.md5(content).hexdigest()}"),
        (f"c-{digest[:8]}.pth", ""),
        ("d.pth", ""),
    ):
        (folder / name).write_bytes(content)
        found = pretrained.find(f"{url}/{name}{mark}", "resnet18")
        assert found.read_bytes() == content
        assert found.name == name
        assert found.is_relative_to(tmp_path / "cache")
        (folder / name).unlink()
        assert pretrained.find(f"{url}/{name}{mark}", "resnet18") == found


@pytest.mark.parametrize("mark", [f"a.pth#sha256={'0' * 64}", "a-00000000.pth"])
def test_another_file_than_expected_is_refused(served, mark, tmp_path):
    folder, url = served
    (folder / mark.partition("#")[0]).write_bytes(b"<html>sign in</html>")
    with pytest.raises(SourceError, match="another file than expected"):
        pretrained.find(f"{url}/{mark}", "resnet18")
    assert not list((tmp_path / "cache").rglob("*.pth"))


def test_two_addresses_with_one_file_name_are_two_files(served):
    folder, url = served
    for place in ("one", "two"):
        (folder / place).mkdir()
        (folder / place / "a.h5").write_text(place)
    found = [pretrained.find(f"{url}/{place}/a.h5", "vgg16") for place in ("one", "two")]
    assert [path.read_text() for path in found] == ["one", "two"]


@pytest.mark.parametrize(
    ("weights", "kind", "told"),
    [
        ("ftp://host/a.pth", ValueError, "expected http:// or https://"),
        ("https://host/", ValueError, "https://HOST"),
        ("https://host/a.pth#sha256=12", ValueError, "64 digits"),
        ("https://host/a.pth#crc=12", ValueError, "#sha256="),
        ("nowhere/a.pth", FileNotFoundError, "nowhere/a.pth: no such file"),
        ("imagenet", ValueError, "no published weights of lenet5"),
    ],
)
def test_what_is_no_source_of_weights_is_said(weights, kind, told):
    with pytest.raises(kind, match=told):
        pretrained.find(weights, "lenet5")


def test_the_table_of_imagenet():
    for network, address in pretrained.IMAGENET.items():
        assert network in models.list_models()
        file = pretrained.published(address)
        table = "keras" if file.name.endswith(".h5") else "torch"
        assert sources.of(table, network), f"{network} has no names for {file.name}"
        assert file.sha256 or file.md5 or network in ("mobilenet_v1", "mobilenet_v2")
    assert set(sources.BACKBONES.values()) - WITHOUT_ADDRESS <= set(pretrained.IMAGENET)


def test_a_width_has_an_address_of_its_own(served, monkeypatch):
    folder, url = served
    (folder / "half.h5").write_bytes(b"half")
    monkeypatch.setitem(pretrained.WIDTHS, ("mobilenet_v1", 0.5), f"{url}/half.h5")
    assert pretrained.find("imagenet", "ssd_mobilenet_v1", 0.5).read_bytes() == b"half"


def test_weights_into_a_task(tmp_path):
    path = write_safetensors(tmp_path / "r.safetensors", true_tensors("resnet18"))
    task = models.build_task("resnet18", num_classes=3, input_size=(32, 32))
    report = pretrained.load(task, "resnet18", str(path))
    assert set(report) == {"matched", "missing", "mismatched", "unused", "notes", "classes"}
    assert report["classes"] == 10
    assert len(report["mismatched"]) == 2
    stem = np.asarray(task.model.get_layer("stem_norm").gamma)
    np.testing.assert_array_equal(stem, true_tensors("resnet18")["bn1.weight"])
    with pytest.raises(ValueError, match=r"width 1\.0, 0\.25, 0\.5, 0\.75, got 0\.6"):
        pretrained.load(task, "mobilenet_v1", "imagenet", 0.6)


def test_a_class_count_that_differs_is_said(tmp_path, monkeypatch):
    path = write_safetensors(tmp_path / "r.safetensors", true_tensors("resnet18"))
    told = []
    monkeypatch.setattr(pretrained.logging, "warning", lambda text, *a: told.append(text % a))
    for classes in (10, 3):
        task = models.build_task("resnet18", num_classes=classes, input_size=(32, 32))
        pretrained.load(task, "resnet18", str(path))
    said = [text for text in told if "classes" in text]
    assert said == ["weights: of 10 classes; the last layer starts anew for the 3 here"]


def index(*rows) -> bytes:
    return json.dumps({str(k): row for k, row in enumerate(rows)}).encode()


def test_names_of_classes_are_fetched_and_told_apart(served, monkeypatch):
    """ImageNet has two cranes and two maillots."""
    folder, url = served
    content = index(["n02012849", "crane"], ["n03126707", "crane"], ["n01440764", "tench"])
    (folder / "index.json").write_bytes(content)
    mark = hashlib.md5(content).hexdigest()
    monkeypatch.setattr(pretrained, "CLASSES", f"{url}/index.json#md5={mark}")
    expected = ["crane_n02012849", "crane_n03126707", "tench"]
    assert pretrained.class_names() == expected
    (folder / "index.json").unlink()
    assert pretrained.class_names() == expected


def test_the_addresses_are_keras_s():
    """Those of keras.applications, whose tables of hashes lie in its modules."""
    utilities = importlib.import_module("keras.src.applications.imagenet_utils")
    source = pathlib.Path(utilities.__file__).read_text()
    url, _, digits = pretrained.CLASSES.partition("#md5=")
    assert pretrained.published(pretrained.CLASSES).name in source
    assert url == utilities.CLASS_INDEX_PATH
    assert digits in source
    folder = pathlib.Path(utilities.__file__).parent
    everything = "".join(path.read_text() for path in folder.glob("*.py"))
    for address in (*pretrained.IMAGENET.values(), *pretrained.WIDTHS.values()):
        if "keras-applications" in address and "#md5=" in address:
            assert address.partition("#md5=")[2] in everything, address


def test_the_weights_of_a_training_of_ours_are_for_init_from(tmp_path):
    (tmp_path / "network.json").write_text("{}")
    (tmp_path / "model.weights.h5").write_bytes(b"")
    with pytest.raises(ValueError, match=f"set model.init_from={tmp_path}"):
        pretrained.find(str(tmp_path / "model.weights.h5"), "resnet18")


def recipe_of(verb: str, *words: str):
    """What `convoy VERB RECIPE WORDS` would run."""
    values = cli._flag_values(load(verb))
    left, _ = arguments.parse(values, ["configs/transfer.yaml", *words], beam=True)
    return recipes.load([str(ROOT / left[0])], values, [])


@pytest.mark.parametrize("verb", ["run", "train", "evaluate", "compare", "ingest", "preview"])
@pytest.mark.parametrize("weights", ["imagenet", "a: b/#c.pth", "https://h/a.h5#md5=" + "0" * 32])
def test_the_flag_is_the_recipe_s_key(verb, weights):
    assert recipe_of(verb, "--weights", weights).model.weights == weights
    assert recipe_of(verb, "--set", "seed=3", f"--weights={weights}").seed == 3
    assert recipe_of(verb).model.weights == "imagenet"


def test_the_flag_against_the_recipe():
    init = ("--set", "model.init_from=runs/x")
    with pytest.raises(ConfigError, match="give one of them"):
        recipe_of("train", *init, "--weights", "imagenet")
    joined = ("--set", "model.features=[{name: vgg16, weights: imagenet}]")
    extract = ("--set", "train.mode=extract", "--set", "train.stages=[]")
    with pytest.raises(cli.UsageError, match=r"each of model\.features"):
        recipe_of("train", *joined, *extract, "--weights", "imagenet")
    with pytest.raises(cli.UsageError, match="expected imagenet"):
        recipe_of("train", "--weights", "")


@pytest.mark.parametrize(
    ("network", "weights", "code", "told"),
    [
        ("lenet5", "imagenet", 2, "no published weights of lenet5"),
        ("resnet18", "nowhere.pth", 1, "nowhere.pth: no such file"),
        ("resnet18", "https://host/a.npz", 2, "a.npz: the format goes by the name"),
        ("mobilenet_v2", "https://host/a.pth", 2, "a.pth: PyTorch .pth does not hold mobilenet_v2"),
        ("resnet18", "https://host/a.pth#md5=1", 2, "expected #sha256="),
    ],
)
def test_weights_are_looked_at_before_the_data(network, weights, code, told, capfd):
    """data.path names nothing: had the run begun, that would be the error."""
    recipe = str(ROOT / "configs/transfer.yaml")
    for verb in ("train", "run", "compare"):
        words = [verb, recipe, "--set", f"model.name={network}", "--weights", weights]
        words += ["--set", "model.input_size=null"]
        assert cli.main(["convoy", *words]) == code
        assert told in capfd.readouterr().err


STANDING = {name for name, body in sources.BACKBONES.items() if body not in WITHOUT_ADDRESS}


@pytest.mark.parametrize("network", sorted({*pretrained.IMAGENET, *STANDING}))
def test_imagenet_passes_what_is_looked_at(network):
    pretrained.check("imagenet", network)


def test_imagenet_of_a_body_without_an_address_is_refused():
    with pytest.raises(ValueError, match="no published weights of darknet53 are known"):
        pretrained.check("imagenet", "yolov3")


def test_one_beginning_alone():
    model = {"name": "resnet18", "weights": "imagenet", "init_from": "runs/x"}
    with pytest.raises(ConfigError, match="give one of them"):
        parse({"name": "x", "task": "classification", "model": model})


def test_a_file_of_weights_is_part_of_what_the_training_is_kept_by(tmp_path, monkeypatch):
    """By its contents, wherever its name begins; a folder called imagenet is not what is meant."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pth").write_bytes(b"weights")
    (tmp_path / "imagenet").mkdir()

    def found(**model):
        recipe = Recipe(name="x", task="classification", model=Model(name="resnet18", **model))
        return list(outside.weights(steps.Job(recipe), {}).values())

    assert found(weights="~/a.pth") == found(weights=str(tmp_path / "a.pth"))
    assert found(weights="~/a.pth") == [tmp_path / "a.pth"]
    assert found(weights="imagenet") == []
    assert found(weights="https://example.org/a.pth") == []
    assert found() == []
