"""Tables of layers: sizes, receptive fields and depths against hand counts and published ones."""

from __future__ import annotations

import functools
import io
import json

import keras
import numpy as np
import pytest
from PIL import Image

from convoy import models
from convoy.models import arithmetic, count, structure
from convoy.pipeline import cli, errors
from convoy.pipeline.errors import UsageError
from convoy.pipeline.report.plots import png
from convoy.pipeline.tools import diagram as model_diagram
from convoy.pipeline.tools import model_table
from tests.models.weightless import weightless


@functools.cache
def lines(name: str) -> list[structure.Line]:
    return structure.lines(weightless(name))


def layers_of(name: str) -> dict[str, structure.Line]:
    return {line.name: line for line in lines(name)}


# Araujo 2019, Computing Receptive Fields, https://distill.pub/2019/computing-receptive-fields/
@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("alexnet", 195),
        ("vgg16", 212),
        ("mobilenet_v1", 315),
        ("resnet50_v1", 483),
        ("resnet101_v1", 1027),
        ("inception_v2", 699),
        ("inception_v3", 1311),
        ("inception_resnet_v2", 3039),
    ],
)
def test_receptive_fields_are_the_published_ones(name, pixels):
    maps = [line for line in layers_of(name).values() if line.is_map]
    assert maps[-1].field == (pixels, pixels)


def test_receptive_fields_are_those_of_the_chain():
    steps = [(3, 1, 1), (3, 1, 1), (2, 2, 0)] * 2 + [(3, 1, 1)] * 3
    field = arithmetic.receptive_field(steps)
    assert layers_of("vgg16")["block3_conv3"].field == (field.size, field.size)


# Layers with kernels that the papers count, but for Inception v3, whose longest path has 48.
@pytest.mark.parametrize(
    ("name", "layers"),
    [("vgg16", 16), ("resnet50", 50), ("resnet200", 200), ("googlenet", 22), ("inception_v3", 48)],
)
def test_depth(name, layers):
    assert structure.depth(layers_of(name).values()) == layers


def test_branches_by_hand():
    """3x3 dilated by 2 beside 1x5 of stride 1, after a 2x2 pooling and one padded side."""
    image = keras.Input((9, 12, 2), name="image")
    x = keras.layers.ZeroPadding2D(((1, 0), (0, 2)), name="pad")(image)
    x = keras.layers.MaxPooling2D(2, name="pool")(x)
    a = keras.layers.Conv2D(4, 3, padding="same", dilation_rate=2, name="a")(x)
    b = keras.layers.DepthwiseConv2D((1, 5), padding="same", name="b")(x)
    b = keras.layers.Conv2D(4, 1, name="c")(b)
    x = keras.layers.Add(name="add")([a, b])
    x = keras.layers.Conv2D(3, 3, 2, padding="same", name="d")(x)
    x = keras.layers.Dense(2, name="e")(keras.layers.Flatten(name="flat")(x))
    found = {line.name: line for line in structure.lines(keras.Model(image, x))}
    assert found["pad"].size == (10, 14, 2)
    assert found["pad"].padding == ((1, 0), (0, 2))
    assert [found[name].field for name in ("pad", "pool", "a", "b")] == [
        (1, 1),
        (2, 2),
        (10, 10),
        (2, 10),
    ]
    assert (found["a"].kernel, found["a"].dilation, found["a"].padding[0]) == (
        (3, 3),
        (2, 2),
        (2, 2),
    )
    assert found["add"].field == (10, 10)
    assert (found["d"].size, found["d"].field) == ((3, 4, 3), (14, 14))
    assert found["d"].padding == ((1, 1), (1, 1))  # 5 and 7 positions at stride 2: odd, so even
    assert (found["flat"].field, found["e"].depth) == (structure.WHOLE, 4)
    assert found["b"].macs == 5 * 7 * 10
    assert found["e"].params == 2 * (3 * 4 * 3 + 1)


def test_an_even_map_at_stride_2_is_padded_behind():
    assert structure._side(224, 3, 2, 1, True) == structure.Side(3, 2, 0, 1)
    assert structure._side(224, 3, 2, 1, False) == structure.Side(3, 2, 0, 0)


def test_an_unknown_window_leaves_the_field_open():
    image = keras.Input((8, 8, 2), name="image")
    x = keras.layers.Conv2DTranspose(2, 2, 2, name="up")(image)
    found = structure.lines(keras.Model(image, keras.layers.Conv2D(2, 3, name="c")(x)))
    assert [line.field for line in found] == [(1, 1), None, None]
    assert "c" in model_table.text(found)


def test_a_layer_used_twice_has_two_lines_and_one_set_of_weights():
    """3x3 of 2 maps: 36 weights and 2 biases, 36 * 64 multiplications each time."""
    image, layer = keras.Input((8, 8, 2)), keras.layers.Conv2D(2, 3, padding="same", name="twice")
    model = keras.Model(image, layer(layer(image)))
    found = structure.lines(model)
    assert [line.name for line in found[1:]] == ["twice", "twice:2"]
    assert [line.params for line in found] == [0, 38, 0]
    assert [line.macs for line in found] == [0, 36 * 64, 36 * 64]
    assert [line.field for line in found[1:]] == [(3, 3), (5, 5)]
    assert found[2].inputs == ("twice",)
    assert count.macs(model) == 2 * 36 * 64


def test_names_with_sizes():
    assert model_table.parse("vgg16") == ("vgg16", None)
    assert model_table.parse("vgg16", 64) == ("vgg16", (64, 64))
    assert model_table.parse("vgg16@96", 64) == ("vgg16", (96, 96))
    assert model_table.parse("vgg16@96x128") == ("vgg16", (96, 128))
    for wrong in ("vgg16@", "vgg16@x", "vgg16@1x2x3", "vgg16@-1", "vgg16@0"):
        with pytest.raises(UsageError, match="NAME@SIDE or NAME@HEIGHTxWIDTH"):
            model_table.parse(wrong)


def test_the_verb(capfd, tmp_path):
    drawn = tmp_path / "net.png"
    assert cli.main(["convoy", "models", "resnet18@96x64", "--diagram", str(drawn), "--json"]) == 0
    out = capfd.readouterr().out
    told = json.loads(out.splitlines()[-1])
    assert (told["depth"], told["input"]) == (18, [96, 64, 3])
    assert told["params"] == models.describe("resnet18").params
    row = next(line for line in out.splitlines() if line.startswith("stage4_block1_conv1"))
    assert row.split()[:6] == ["stage4_block1_conv1", "Conv2D", "3x2x512", "3x3", "2", "243"]
    picture = np.asarray(Image.open(drawn))
    assert picture.shape[0] > 400
    assert len(np.unique(picture.reshape(-1, picture.shape[-1]), axis=0)) > 50
    deep = tmp_path / "not" / "yet" / "there.png"
    assert cli.main(["convoy", "models", "lenet5", "--diagram", str(deep)]) == errors.OK
    assert cli.main(["convoy", "models", "lenet5", "--diagram", str(tmp_path)]) == errors.FAILURE
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == str(deep)
    assert "is a folder: expected the name of a file" in err
    assert cli.main(["convoy", "models", "--pattern", "vgg1?", "--task", "classification"]) == 0
    names = [line.split()[0] for line in capfd.readouterr().out.splitlines()[1:]]
    assert names == ["vgg11", "vgg13", "vgg16", "vgg19"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--diagram", "a.png"], "the name of one network, got none"),
        (["vgg16", "--task", "detection"], "expected no name beside them"),
        (["resnet18@16"], "at least 32x32 px, got 16x16"),
        (["vgg61"], "unknown network 'vgg61'"),
        (["lenet5", "--diagram", "net.gif"], "net.gif: expected a name that ends in one of .png"),
        (["lenet5", "--diagram", "net"], "one of .png, .svg, .pdf"),
        (["--pattern", "vgg6*"], "no network has a name like 'vgg6*'"),
    ],
)
def test_wrong_usage(capfd, words, message):
    assert cli.main(["convoy", "models", *words]) == errors.USAGE
    assert message in capfd.readouterr().err


def folded(name: str) -> list[tuple[list[str], int, tuple[int, ...]]]:
    found = lines(name)
    return [(block.rows, block.count, block.size) for block in model_diagram.blocks(found)]


def test_resnet50_is_drawn_as_in_the_papers_table():
    stages = folded("resnet50")
    assert stages[0] == (["7x7 conv, 64, /2", "3x3 max pool, /2"], 1, (56, 56, 64))
    for stage, (filters, repeats, side) in enumerate(
        ((64, 3, 56), (128, 4, 28), (256, 6, 14), (512, 3, 7)), start=1
    ):
        steps = [f"1x1 conv, {filters}", f"3x3 conv, {filters}", f"1x1 conv, {4 * filters}"]
        assert stages[stage] == (steps, repeats, (side, side, 4 * filters))
    assert stages[5:] == [
        (["average of all positions"], 1, (2048,)),
        (["full, 1000"], 1, (1000,)),
    ]


def test_vgg16_is_drawn_with_five_blocks():
    rows = [rows for rows, _, _ in folded("vgg16")]
    pool = "2x2 max pool, /2"
    convolutions = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
    assert rows[:5] == [[f"3x3 conv, {filters}   (x{n})", pool] for filters, n in convolutions]
    assert [count for _, count, _ in folded("vgg16")[5:]] == [2, 1]


def test_googlenets_stem_and_heads_are_drawn_where_they_stand():
    """Table 1 of the paper: convolution, pool, two convolutions, pool; the heads are beside."""
    shown = model_diagram.blocks(lines("googlenet_aux"))
    assert [(block.rows, block.size) for block in shown[:4]] == [
        (["7x7 conv, 64, /2"], (112, 112, 64)),
        (["3x3 max pool, /2"], (56, 56, 64)),
        (["1x1 conv, 64", "3x3 conv, 192"], (56, 56, 192)),
        (["3x3 max pool, /2"], (28, 28, 192)),
    ]
    last = [(block.name, block.source) for block in shown[-3:]]
    assert last == [("logits", ""), ("aux1", "14x14x512"), ("aux2", "14x14x528")]
    assert not any(block.source for block in shown[:-2])
    assert sum(block.macs for block in shown) == sum(line.macs for line in lines("googlenet_aux"))


def test_what_stands_side_by_side_is_no_chain():
    shown = model_diagram.blocks(lines("text_cnn_rand"))
    assert [(block.name, block.source) for block in shown] == [
        ("vectors", ""),
        ("conv3", ""),
        ("conv4", "64x300"),
        ("conv5", "64x300"),
        ("logits", ""),
    ]


def test_notes_name_the_odd_ones_of_a_stage():
    found = lines("resnet50_v2_keras")
    blocks = model_diagram.blocks(found)
    assert [block.note for block in blocks if block.skips] == [
        "first: projection; last: stride 2"
    ] * 3 + ["first: projection"]
    assert sum(block.params for block in blocks) == sum(line.params for line in found)


def test_branches_are_rows_of_their_own():
    rows = next(rows for rows, _, size in folded("inception_v3") if size == (8, 8, 2048))
    assert rows == [
        "1x1 conv, 320",
        "1x1 conv, 384 - 1x3 conv, 384 | 3x1 conv, 384",
        "1x1 conv, 448 - 3x3 conv, 384 - 1x3 conv, 384 | 3x1 conv, 384",
        "3x3 average pool - 1x1 conv, 192",
    ]


def test_networks_of_other_things_than_maps_are_drawn_too():
    """Words as vectors, a convolution along them, full layers: 5 * 4, 3 * 4 * 6 + 6, 6 * 2 + 2."""
    words = keras.Input((9,), name="words")
    x = keras.layers.Embedding(5, 4, name="vectors")(words)
    x = keras.layers.Conv1D(6, 3, name="conv")(x)
    x = keras.layers.Dense(2, name="logits")(keras.layers.GlobalMaxPooling1D(name="pool")(x))
    found = structure.lines(keras.Model(words, x))
    blocks = model_diagram.blocks(found)
    assert [block.rows for block in blocks] == [["Embedding, 4"], ["Conv1D, 6"], ["full, 2"]]
    assert [block.params for block in blocks] == [20, 78, 14]
    assert png(model_diagram.draw("words", found)).startswith(b"\x89PNG")
    assert "Conv1D" in model_table.text(found)


@pytest.mark.parametrize(
    ("name", "begins"), [("net.svg", b"<?xml"), ("net.PDF", b"%PDF-"), ("net.png", b"\x89PNG")]
)
def test_the_suffix_says_the_kind_of_file(tmp_path, name, begins):
    assert cli.main(["convoy", "models", "lenet5", "--diagram", str(tmp_path / name)]) == errors.OK
    content = (tmp_path / name).read_bytes()
    assert content.startswith(begins)
    figure = model_diagram.draw("lenet5", lines("lenet5"))
    assert model_diagram.encoded(figure, model_diagram.kind_of(name)) == content


def test_a_picture_is_the_same_each_time():
    found = lines("lenet5")
    first, second = (png(model_diagram.draw("lenet5", found)) for _ in range(2))
    assert first == second
    assert Image.open(io.BytesIO(first)).width > 500
    assert count.macs(model_table.build("lenet5")) == sum(line.macs for line in found)
