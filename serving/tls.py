"""TLS of the gRPC port, by TensorFlow Serving's --ssl_config_file.

The file is a protocol buffer in text form with the certificates themselves, not their paths:

    server_key: "-----BEGIN PRIVATE KEY-----\\n..."
    server_cert: "-----BEGIN CERTIFICATE-----\\n..."
    custom_ca: ""
    client_verify: false

https://github.com/tensorflow/serving/blob/master/tensorflow_serving/config/ssl_config.proto,
which the package tensorflow-serving-api does not hold.
"""

from __future__ import annotations

import pathlib

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

_STRING, _BOOL = (
    descriptor_pb2.FieldDescriptorProto.TYPE_STRING,
    descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
)
_FIELDS = (
    ("server_key", _STRING),
    ("server_cert", _STRING),
    ("custom_ca", _STRING),
    ("client_verify", _BOOL),
)


def credentials(path: pathlib.Path) -> grpc.ServerCredentials:
    """What a server needs to speak TLS. Raises ValueError, FileNotFoundError."""
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; expected an SSL config file")
    try:
        config = text_format.Parse(path.read_text(encoding="utf-8"), _message())
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: is no SSL config file: {error}") from error
    for name in ("server_key", "server_cert"):
        if "-----BEGIN " not in getattr(config, name):
            raise ValueError(
                f"{path}: expected {name} to be PEM text (-----BEGIN ...), not a path or nothing"
            )
    if config.client_verify and not config.custom_ca:
        raise ValueError(f"{path}: client_verify needs custom_ca, which clients are checked by")
    pair = (config.server_key.encode(), config.server_cert.encode())
    return grpc.ssl_server_credentials(
        [pair], config.custom_ca.encode() or None, config.client_verify
    )


def _message():
    file = descriptor_pb2.FileDescriptorProto(name="ssl_config.proto", syntax="proto3")
    message = file.message_type.add(name="SSLConfig")
    for number, (name, kind) in enumerate(_FIELDS, 1):
        message.field.add(name=name, number=number, type=kind, label=1)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("SSLConfig"))()
