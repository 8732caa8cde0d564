"""The gRPC side of the model server: TensorFlow Serving's PredictionService and ModelService."""

from __future__ import annotations

import contextlib
import errno
import math
from concurrent import futures

import grpc
import numpy as np
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from convoy.serving import limits, listening, served
from convoy.serving.errors import (
    INTERNAL,
    INVALID_ARGUMENT,
    PortInUse,
    ServingError,
    cannot_listen,
)
from convoy.serving.manager import Asked, Manager
from convoy.serving.servable import CLASSIFY, DEFAULT, REGRESS
from convoy.serving.service import Service

CODES = {code.value[0]: code for code in grpc.StatusCode}

# Typed fields rather than tensor_content, as TensorFlow Serving answers: clients in languages
# without TensorFlow read these.
FIELDS = {
    tf.float32: "float_val",
    tf.float64: "double_val",
    tf.int64: "int64_val",
    tf.int32: "int_val",
    tf.int16: "int_val",
    tf.int8: "int_val",
    tf.uint8: "int_val",
    tf.bool: "bool_val",
    tf.string: "string_val",
}


STRING_BYTES = 24  # of a string's place in a tensor, without its text


def bind(
    service: Service,
    host: str,
    port: int,
    threads: int,
    credentials: grpc.ServerCredentials | None = None,
) -> tuple[grpc.Server, int]:
    """(server that is not started yet, port); port 0 = any free one. Raises PortInUse.

    credentials: of TLS; None = calls are not encrypted. Also answers grpc.health.v1: of the server,
    and of each model by its name.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
        options=[
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", service.limits.request_bytes or -1),
            ("grpc.max_send_message_length", -1),
        ],
        maximum_concurrent_rpcs=service.limits.connections or None,
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        PredictionService(service), server
    )
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service.manager), server)
    health_pb2_grpc.add_HealthServicer_to_server(Health(service.manager), server)
    bare = host.strip("[]")
    address = f"[{bare}]:{port}" if ":" in bare else f"{bare}:{port}"
    try:
        if credentials:
            bound = server.add_secure_port(address, credentials)
        else:
            bound = server.add_insecure_port(address)
    except RuntimeError as error:  # whatever the reason is
        raise cannot_listen(host, port, "--port", _why(bare, port)) from error
    if bound == 0:
        raise PortInUse(host, port, "--port")
    return server, bound


def _why(host: str, port: int) -> OSError:
    """What keeps a socket from the port; that it is taken, where nothing else does."""
    try:
        listening.bound(host, port).close()
    except OSError as error:
        return error
    return OSError(errno.EADDRINUSE, "address in use")


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    """Predict and GetModelMetadata; the calls on tf.Example are not implemented."""

    def __init__(self, service: Service):
        self._service = service
        self._manager = service.manager

    def Predict(self, request, context):
        if not context.is_active():  # nobody waits for what waited for a thread
            return predict_pb2.PredictResponse()
        with _errors(context), self._service.metrics.call(request.model_spec.name, "GRPC"):
            spec = request.model_spec
            strings = {name: proto.string_val for name, proto in request.inputs.items()}
            limits.check(strings, self._service.limits)
            most = self._service.limits.request_bytes
            inputs = {key: to_tensor(key, value, most) for key, value in request.inputs.items()}
            with self._manager.use(_requested(request)) as (number, servable):
                outputs = servable.run(spec.signature_name, inputs, request.output_filter)
            response = predict_pb2.PredictResponse()
            response.model_spec.name = spec.name
            response.model_spec.version.value = number
            response.model_spec.signature_name = spec.signature_name or DEFAULT
            for name, value in outputs.items():
                fill_proto(response.outputs[name], value)
            return response

    def GetModelMetadata(self, request, context):
        with _errors(context):
            return metadata(self._manager, _requested(request), list(request.metadata_field))

    def Classify(self, request, context):
        self._refuse(request, context, CLASSIFY)

    def Regress(self, request, context):
        self._refuse(request, context, REGRESS)

    def MultiInference(self, request, context):
        text = "MultiInference is not implemented: it takes tf.Example; call Predict"
        context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    def _refuse(self, request, context, kind):
        with _errors(context), self._manager.use(_requested(request)) as (_, servable):
            servable.refuse(request.model_spec.signature_name, *kind)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus, and another configuration in place of the command line's."""

    def __init__(self, manager: Manager):
        self._manager = manager

    def GetModelStatus(self, request, context):
        with _errors(context):
            return self._manager.status(_requested(request))

    def HandleReloadConfigRequest(self, request, context):
        with _errors(context):
            self._manager.reload(served.of_config(request.config, "the request"))
            return model_management_pb2.ReloadConfigResponse()


class Health(health_pb2_grpc.HealthServicer):
    """Whether the server, or a model, serves: what probes of Kubernetes and load balancers ask."""

    def __init__(self, manager: Manager):
        self._manager = manager

    def Check(self, request, context):
        serving = self._manager.names()
        if request.service and request.service not in serving:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no model {request.service} serves")
        states = health_pb2.HealthCheckResponse
        return states(status=states.SERVING if serving else states.NOT_SERVING)


def metadata(
    manager: Manager, asked: Asked, fields: list[str]
) -> get_model_metadata_pb2.GetModelMetadataResponse:
    """The signatures of a model, as an Any under "signature_def"."""
    if not fields:
        raise ServingError(
            INVALID_ARGUMENT, "GetModelMetadataRequest must specify at least one metadata_field"
        )
    for field in fields:
        if field != "signature_def":
            raise ServingError(INVALID_ARGUMENT, f"Metadata field {field} is not supported")
    response = get_model_metadata_pb2.GetModelMetadataResponse()
    with manager.use(asked) as (version, servable):
        response.model_spec.name = asked.name
        response.model_spec.version.value = version
        signatures = get_model_metadata_pb2.SignatureDefMap()
        for key, definition in servable.definitions.items():
            signatures.signature_def[key].CopyFrom(definition)
    response.metadata["signature_def"].Pack(signatures)
    return response


def to_tensor(name: str, proto: tensor_pb2.TensorProto, most_bytes: int = 0) -> tf.Tensor:
    """A tensor of a request. Strings and raw bytes take no detour over Python objects.

    most_bytes: that it may take, as the last value fills what a message leaves out; 0 = any.
    """
    try:
        dtype = tf.as_dtype(proto.dtype)
        shape = [dim.size for dim in proto.tensor_shape.dim]
        repeated = STRING_BYTES + len(proto.string_val[-1]) if proto.string_val else STRING_BYTES
        size = math.prod(shape) * (repeated if dtype == tf.string else dtype.size)
        if min(shape, default=0) < 0:
            raise ValueError(f"its shape is {shape}")
        if most_bytes and size > most_bytes and len(proto.string_val) != math.prod(shape):
            raise ValueError(
                f"of shape {shape} it takes {size:,} bytes, more than the server's --max_request_mb"
            )
        if dtype == tf.string and len(proto.string_val) == math.prod(shape):
            return tf.constant(list(proto.string_val), dtype, shape)
        if proto.tensor_content and dtype != tf.string:
            content = np.frombuffer(proto.tensor_content, dtype.as_numpy_dtype)
            return tf.constant(content.reshape(shape))
        return tf.io.parse_tensor(proto.SerializeToString(), dtype)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        text = str(error).splitlines()[0]
        raise ServingError(INVALID_ARGUMENT, f"input {name}: not a valid tensor: {text}") from error


def fill_proto(proto: tensor_pb2.TensorProto, value: np.ndarray) -> None:
    """Writes an output into the response."""
    dtype = tf.string if value.dtype == object else tf.as_dtype(value.dtype)
    proto.dtype = dtype.as_datatype_enum
    for size in value.shape:
        proto.tensor_shape.dim.add().size = size
    field = FIELDS.get(dtype)
    if field:
        getattr(proto, field).extend(value.ravel().tolist())
    else:
        proto.tensor_content = value.tobytes()


def _requested(request) -> Asked:
    if not request.HasField("model_spec"):
        raise ServingError(INVALID_ARGUMENT, "Missing ModelSpec")
    spec = request.model_spec
    return Asked(
        spec.name, spec.version.value if spec.HasField("version") else None, spec.version_label
    )


@contextlib.contextmanager
def _errors(context: grpc.ServicerContext):
    try:
        yield
    except ServingError as error:
        context.abort(CODES.get(error.code, grpc.StatusCode.UNKNOWN), error.message)
    except Exception as error:
        if isinstance(error, grpc.RpcError) or not str(error):
            raise
        context.abort(CODES[INTERNAL], f"{type(error).__name__}: {error}")
