"""A model on given proposals: exported in each form, asked in every way, and asked wrongly."""

from __future__ import annotations

import base64
import functools
import io
import json

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from convoy import models
from convoy.data import proposals
from convoy.models.detection.task import iou
from convoy.pipeline import cli, errors
from convoy.pipeline.components import infra_validator
from convoy.pipeline.tools import predict_pictures
from convoy.serving import client, export, signatures, verify, warmup
from convoy.serving.questions import Question, inputs
from convoy.serving.servable import load
from tests.models.test_parity import fill
from tests.serving import tiny
from tests.serving.running import serving

LABELS = ("ant", "bee", "cat")
SIZE = (64, 96)
LIMITS = {"score_threshold": 0.01, "iou_threshold": 0.5, "max_detections": 30}
MADE = {"method": "edge_boxes", "max_proposals": 40, "edge_model": ""}
PICTURES = [tiny.jpeg(40, 60), tiny.png(100, 90)]
BOXES = [
    np.float32([[0, 0, 40, 60], [5, 5, 30, 30], [10, 20, 39, 55]]),
    np.float32([[10, 10, 90, 80], [50, 1, 99, 89]]),
]
QUESTIONS = [
    Question(picture, {"proposals": boxes}) for picture, boxes in zip(PICTURES, BOXES, strict=True)
]


@functools.cache
def task():
    keras.utils.set_random_seed(0)
    built = models.build_task(
        "fast_rcnn_caffenet", num_classes=3, input_size=SIZE, backbone="mobilenet_v1", width=0.25
    )
    fill(built.model)
    pictures = np.stack([tf.image.resize(tf.io.decode_image(p), SIZE) for p in PICTURES])
    outputs = built.model([pictures, np.stack([BOXES[0], BOXES[0]])])
    for name, output, spread in (("roi_cls", "cls", 2.0), ("roi_box", "box", 0.5)):
        layer = built.model.get_layer(name)  # scores are not all 0 or 1, boxes move a little
        factor = spread / np.std(outputs[output])
        layer.set_weights([weight * factor for weight in layer.get_weights()])
    return built


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("given") / "m" / "1"
    path.parent.mkdir()
    arguments = {"labels": LABELS, "input_size": SIZE, "samples": QUESTIONS, **LIMITS}
    export.export(
        task(), path, **arguments, precision="float32", budget_s=0.1, given={"proposals": MADE}
    )
    return path


@pytest.fixture(scope="module")
def running(model):
    with serving(model.parent) as ports:
        yield ports


def in_memory(questions):
    return export.in_memory(task(), labels=LABELS, input_size=SIZE, **LIMITS)(questions)


def same(found, expected) -> None:
    assert set(found) == set(expected)
    for name, value in expected.items():
        if value.dtype.kind == "f":
            np.testing.assert_allclose(found[name], value, atol=2e-3)
        else:
            np.testing.assert_array_equal(found[name], value)


@pytest.mark.slow  # each export compares its forms by itself
def test_every_form_says_what_the_network_says(tmp_path):
    expected = in_memory(QUESTIONS)
    assert (expected["num_detections"] > 0).all()
    for form, tolerance in (("float32", 1e-4), ("frozen_bfloat16", 0.1)):
        export.save(task(), tmp_path / form, form, labels=LABELS, input_size=SIZE, **LIMITS)
        found = client.load_local(tmp_path / form)(QUESTIONS)
        assert task().difference(expected, found, **LIMITS) < tolerance, form


def test_detections_are_near_their_proposals(model):
    """Of boxes in pixels of the picture sent, whatever its size; all inside it."""
    found = client.load_local(model)(QUESTIONS)
    for index, (height, width) in enumerate(((40, 60), (100, 90))):
        count = found["num_detections"][index]
        boxes = found["boxes"][index][:count]
        assert (boxes >= 0).all()
        assert (boxes <= [height, width, height, width]).all()
        assert all(iou(box, BOXES[index]).max() > 0.2 for box in boxes)


def test_both_signatures_agree(model):
    pixels = tf.io.decode_png(PICTURES[1])[None]
    signature = load(model).run
    given = tf.constant(BOXES[1][None])
    raw = signature("serving_tensor", {"image": pixels, "proposals": given})
    encoded = signature(
        "serving_default", {"image_bytes": tf.constant(PICTURES[1:]), "proposals": given}
    )
    same(raw, encoded)


def test_servers_answer_as_in_process(model, running):
    _, channel, connection = running
    expected = client.load_local(model)(QUESTIONS)
    same(client.predict_grpc(channel, "m", QUESTIONS), expected)
    same(client.predict_rest(connection, "m", QUESTIONS), expected)


def test_rows_of_rest_have_proposals_of_their_own(model, running):
    _, _, connection = running
    encoded = {"image_bytes": {"b64": base64.b64encode(PICTURES[0]).decode()}}
    document = {"instances": [{**encoded, "proposals": BOXES[0].tolist()}]}
    (row,) = client.rest(connection, "POST", "/v1/models/m:predict", document)["predictions"]
    expected = client.load_local(model)(QUESTIONS[:1])
    np.testing.assert_allclose(row["boxes"], expected["boxes"][0], atol=2e-3)


def test_the_report_says_how_proposals_are_made_and_warm_up_has_some(model):
    assert client.report_of(model)["takes"] == {"proposals": MADE}
    for request in warmup.read(model):
        name, questions = warmup.questions_of(request)
        assert name == "image_bytes"
        assert all(question.given["proposals"].shape[1] == 4 for question in questions)
    assert load(model).warm_up() == 3  # two pictures, and a batch of four


def test_it_is_validated_where_it_will_serve(model, tmp_path):
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "saved_model").symlink_to(model)
    (tmp_path / "out").mkdir()
    infra_validator.run(
        {"export": tmp_path / "export"}, infra_validator.Params(name="m"), tmp_path / "out"
    )
    assert json.loads((tmp_path / "out" / "verified.json").read_text())["requests"] == 3


@pytest.mark.slow  # the validator above starts one as well
def test_a_fresh_process_answers(model):
    answers = verify.verify(model, client.load_local(model), QUESTIONS[:1], tolerance=1e-3)
    assert not any(name.startswith("convoy") for name in answers["modules"])


def test_without_proposals_the_client_says_what_is_missing(model):
    with pytest.raises(ValueError, match=r"given proposals beside each image_bytes: expected an"):
        client.load_local(model)([PICTURES[0]])


def test_without_proposals_the_server_says_what_is_missing(running):
    _, channel, connection = running
    with pytest.raises(client.RequestFailed, match=r"INVALID_ARGUMENT.*Missing.*\{proposals\}"):
        client.predict_grpc(channel, "m", PICTURES[:1])
    with pytest.raises(client.RequestFailed, match=r"400: Missing named input: proposals"):
        client.predict_rest(connection, "m", PICTURES[:1])


def test_none_found_nothing(model, running):
    _, channel, connection = running
    nothing = [Question(PICTURES[0], {"proposals": []})]
    for found in (
        client.load_local(model)(nothing),
        client.predict_grpc(channel, "m", nothing),
        client.predict_rest(connection, "m", nothing),
        load(model).run(
            "serving_default",
            {"image_bytes": tf.constant(PICTURES[:1]), "proposals": tf.zeros([1, 0, 4])},
        ),
    ):
        assert found["num_detections"].tolist() == [0]
        assert not found["boxes"].any()


def test_outside_they_are_cut_and_what_has_no_area_is_none(model):
    """A box far beyond the picture is the box that its border leaves of it."""
    ask = client.load_local(model)

    def found(boxes):
        return ask([Question(PICTURES[0], {"proposals": np.float32(boxes)})])

    inside = [[10, 20, 40, 60], [5, 5, 30, 30]]
    same(found([[10, 20, 400, 600], [5, 5, 30, 30]]), found(inside))
    outside = [[-50, -50, -10, -10], [60, 100, 90, 140], [9, 9, 9, 20], [30, 30, 10, 40]]
    same(found([*inside, *outside]), found(inside))
    assert found(outside)["num_detections"].tolist() == [0]
    broken = [[np.nan, 0, 10, 10], [0, 0, np.inf, 10]]
    same(found([*inside, *broken]), found(inside))


def test_thousands_are_answered_and_too_many_refused(model, running):
    _, channel, _ = running
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 20, (signatures.MOST_PROPOSALS + 1, 2))
    boxes = np.float32(np.concatenate([low, low + rng.uniform(5, 20, low.shape)], axis=1))
    found = client.predict_grpc(channel, "m", [Question(PICTURES[0], {"proposals": boxes[:3000]})])
    assert 0 < found["num_detections"][0] <= LIMITS["max_detections"]
    message = r"expected at most 10000 proposals per picture, got 10001"
    with pytest.raises(client.RequestFailed, match=f"INVALID_ARGUMENT: {message}"):
        client.predict_grpc(channel, "m", [Question(PICTURES[0], {"proposals": boxes})])


def test_proposals_of_fewer_pictures_are_refused(model):
    message = "expected proposals for all pictures of the request, got them for 1 of 2"
    with pytest.raises(Exception, match=message):
        load(model).run(
            "serving_default",
            {"image_bytes": tf.constant(PICTURES), "proposals": tf.constant(BOXES[0][None])},
        )


def test_rows_are_filled_up():
    arrays = inputs(QUESTIONS, "image_bytes")
    assert arrays["proposals"].shape == (2, 3, 4)
    assert not arrays["proposals"][1, 2].any()
    with pytest.raises(ValueError, match=r"rows of four numbers, .*got an array of shape \[2, 3\]"):
        inputs([Question(b"", {"proposals": np.zeros((2, 3))})], "image_bytes")


def test_predict_makes_them_on_the_spot(model, tmp_path, capfd):
    picture = tmp_path / "one.jpg"
    picture.write_bytes(PICTURES[0])
    words = ["convoy", "predict", str(model), str(picture), "-o", str(tmp_path / "out"), "--json"]
    assert cli.main(words) == errors.OK
    (row,) = json.loads(capfd.readouterr().out.splitlines()[-1])["predictions"]
    pixels = np.asarray(PIL.Image.open(io.BytesIO(PICTURES[0])))
    boxes = proposals.propose(pixels, "edge_boxes", 40)
    expected = client.load_local(model)([Question(PICTURES[0], {"proposals": boxes})])
    assert len(row["detections"]) == expected["num_detections"][0]
    (answer,) = predict_pictures.answers(model, [PICTURES[0]])
    np.testing.assert_allclose(answer["boxes"], expected["boxes"][0], atol=1e-3)
