"""InfraValidator: does the export answer where it will serve?

Input: export (the exporter's folder). Output: verified.json. The SavedModel is put behind the
embedded model server and asked over gRPC and REST; both must say what it says in process.
"""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Mapping, Sequence

import numpy as np

from convoy.pipeline.artifacts import write_json
from convoy.pipeline.components.pusher import content_digest
from convoy.pipeline.config import Recipe, Section
from convoy.serving import client, server, verify, warmup
from convoy.serving.manager import Asked
from convoy.serving.questions import Question

INPUTS = {"export": "exporter", "examples": "example_gen"}
PICTURES = "image_bytes"  # the input that takes them
NOT_A_PICTURE = b"this is no picture"
ROUNDING = 1e-4  # pixels and scores: REST writes decimals


class Params(Section):
    name: str  # of the served model


class ValidationFailed(RuntimeError):
    """The export does not serve; the message says what was asked and what came."""


def params_of(recipe: Recipe) -> Params:
    return Params(name=recipe.name)


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """Serves, asks, compares. Raises ValidationFailed or serving.verify.VerificationError."""
    model = inputs["export"] / "saved_model"
    recorded = list(warmup.read(model))
    if not recorded:
        raise ValidationFailed(f"{model / warmup.PLACE}: no warm-up requests to validate with")
    (input_name, *_), requests = zip(*map(warmup.questions_of, recorded), strict=True)
    try:
        local = client.load_local(model)
    except Exception as error:  # whatever TensorFlow says of a damaged file
        raise ValidationFailed(f"{model}: does not load: {error}") from error
    with tempfile.TemporaryDirectory(dir=workdir) as base:
        (pathlib.Path(base) / "1").symlink_to(model.resolve(), target_is_directory=True)
        running = server.start(base, name=params.name, port=0, rest_api_port=0, poll_s=0)
        try:
            _ask(running, params.name, input_name, requests, local)
        finally:
            running.stop()
    single = requests[0]
    fresh = verify.verify(model, local, single, tolerance=ROUNDING)
    write_json(
        workdir / "verified.json",
        {
            "verified": True,
            "digest": content_digest(model),
            "requests": len(requests),
            "checks": [
                "gRPC",
                "REST",
                *(["non-picture refused"] if input_name == PICTURES else []),
                "fresh process, V1 loader",
            ],
            "outputs": sorted(set(fresh) - {"modules"}),
        },
    )


def _ask(
    running: server.Server, name: str, input_name: str, requests: Sequence[list[Question]], local
) -> None:
    status = running.manager.status(Asked(name)).model_version_status[0]
    if status.status.error_message:
        raise ValidationFailed(f"the model does not load: {status.status.error_message}")
    channel = client.grpc_channel(f"127.0.0.1:{running.grpc_port}")
    connection = client.rest_connection(f"127.0.0.1:{running.rest_port}")
    calls = {
        "gRPC": lambda samples: client.predict_grpc(channel, name, samples, input_name=input_name),
        "REST": lambda samples: client.predict_rest(
            connection, name, samples, input_name=input_name
        ),
    }
    try:
        for images in requests:
            expected = local(images)
            for way, call in calls.items():
                compare(way, expected, call(images))
        for way, call in calls.items() if input_name == PICTURES else ():
            good = requests[0][0]
            _must_refuse(way, call, [good, good._replace(payload=NOT_A_PICTURE)])
    except client.RequestFailed as error:
        raise ValidationFailed(f"a request with a real sample failed: {error}") from error
    finally:
        connection.close()
        channel.close()


def compare(way: str, expected: client.Answers, received: client.Answers) -> None:
    """Raises ValidationFailed where the answers differ by more than decimals."""
    if set(expected) != set(received):
        raise ValidationFailed(
            f"{way}: expected outputs {sorted(expected)}, got {sorted(received)}"
        )
    for name, value in expected.items():
        answer = received[name]
        if value.shape != answer.shape:
            raise ValidationFailed(
                f"{way}: {name}: expected shape {value.shape}, got {answer.shape}"
            )
        if value.dtype.kind == "f":
            distance = float(np.max(np.abs(value - answer), initial=0.0))
            if not distance <= ROUNDING * max(1.0, float(np.max(np.abs(value), initial=0.0))):
                raise ValidationFailed(f"{way}: {name} is {distance:.4g} off the answer in process")
        elif not np.array_equal(value, answer):
            raise ValidationFailed(f"{way}: {name} differs from the answer in process")


def _must_refuse(way: str, call, images: list[Question]) -> None:
    try:
        call(images)
    except client.RequestFailed as error:
        if error.code in ("INVALID_ARGUMENT", 400):
            return
        raise ValidationFailed(
            f"{way}: a request with bytes that are no picture: expected INVALID_ARGUMENT (400), "
            f"got {error}"
        ) from error
    raise ValidationFailed(f"{way}: bytes that are no picture were answered, expected an error")
