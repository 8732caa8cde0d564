"""Which models a server serves, from where, and which of their versions.

From a folder (a model base path, or a folder of those: what appears in it is served), or from
TensorFlow Serving's model config file, https://www.tensorflow.org/tfx/serving/serving_config.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Mapping

from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from convoy.serving.errors import INVALID_ARGUMENT, ServingError

MOST_VERSION = 2**63 - 1  # as TensorFlow Serving has it
PLATFORM = "tensorflow"


@dataclasses.dataclass(frozen=True)
class Policy:
    """Of the versions on disk: the `latest` so many, or the `specific` ones; neither: all."""

    latest: int = 0
    specific: frozenset[int] = frozenset()

    def of(self, numbers: set[int]) -> set[int]:
        """Those of the numbers that are to be loaded."""
        if self.specific:
            return numbers & self.specific
        return set(sorted(numbers)[-self.latest :]) if self.latest else numbers


@dataclasses.dataclass(frozen=True)
class Model:
    """One model to serve. labels: names of versions that callers may ask for."""

    base: pathlib.Path
    policy: Policy = Policy(latest=1)
    labels: Mapping[str, int] = dataclasses.field(default_factory=dict)


def check_policy(versions: str) -> Policy:
    """The policy that `convoy serve --versions` names: "latest", "all", or one number."""
    text = str(versions)
    if text == "latest":
        return Policy(latest=1)
    if text == "all":
        return Policy()
    if not text.isdigit():
        raise ValueError(f"--versions: expected latest, all or a number, got {versions!r}")
    return Policy(specific=frozenset({int(text)}))


def discover(base: pathlib.Path, name: str | None, policy: Policy) -> dict[str, Model]:
    """{name: model} of a base path or a folder of base paths.

    name: the model's name; None = the folder's own. A folder of base paths may hold others, which
    are no models (yet).
    """
    if versions_of(base) or name:
        return {name or base.name: Model(base, policy)}
    if not base.is_dir():
        return {}
    folders = [child for child in sorted(base.iterdir()) if child.is_dir() and versions_of(child)]
    return {child.name: Model(child, policy) for child in folders}


def versions_of(base: pathlib.Path) -> dict[int, pathlib.Path]:
    """The complete versions of a model base path, by number; one beyond 64 bits is none."""
    if not base.is_dir():
        return {}
    return {
        int(child.name): child
        for child in base.iterdir()
        if is_version(child.name) and (child / "saved_model.pb").is_file()
    }


def is_version(name: str) -> bool:
    """Whether a folder of this name is a version, or becomes one."""
    return name.isascii() and name.isdigit() and int(name) <= MOST_VERSION


def read_config(path: pathlib.Path) -> dict[str, Model]:
    """The models of a model config file. Raises ServingError, FileNotFoundError."""
    try:
        text = path.read_text(encoding="utf-8")
        config = text_format.Parse(text, model_server_config_pb2.ModelServerConfig())
    except FileNotFoundError:
        raise FileNotFoundError(f"{path}: no such file; expected a model config file") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise ServingError(INVALID_ARGUMENT, f"{path}: is no model config file: {error}") from error
    return of_config(config, str(path))


def of_config(config: model_server_config_pb2.ModelServerConfig, where: str) -> dict[str, Model]:
    """The models of a configuration; relative base paths start from the working folder.

    where: it stands, for errors. Raises ServingError (INVALID_ARGUMENT).
    """
    if config.WhichOneof("config") != "model_config_list":
        raise _wrong(where, "expected model_config_list { config { name: ... base_path: ... } }")
    models: dict[str, Model] = {}
    for entry in config.model_config_list.config:
        if not entry.name or not entry.base_path:
            raise _wrong(where, f"each config needs a name and a base_path, got {entry.name!r} at "
                                f"{entry.base_path!r}")  # fmt: skip
        if entry.name in models:
            raise _wrong(where, f"two models are named {entry.name!r}")
        if entry.model_platform not in ("", PLATFORM):
            raise _wrong(where, f"model {entry.name}: expected model_platform {PLATFORM!r}, got "
                                f"{entry.model_platform!r}")  # fmt: skip
        base = pathlib.Path(entry.base_path.removeprefix("file://"))
        if "://" in entry.base_path.removeprefix("file://"):
            raise _wrong(where, f"model {entry.name}: expected a folder of this machine as "
                                f"base_path, got {entry.base_path!r}")  # fmt: skip
        models[entry.name] = Model(
            base.absolute(), _policy(entry, where), dict(entry.version_labels)
        )
    return models


def _policy(entry: model_server_config_pb2.ModelConfig, where: str) -> Policy:
    policy = entry.model_version_policy
    kind = policy.WhichOneof("policy_choice")
    if kind == "all":
        return Policy()
    if kind == "specific":
        if not policy.specific.versions:
            raise _wrong(where, f"model {entry.name}: specific names no versions")
        return Policy(specific=frozenset(policy.specific.versions))
    return Policy(latest=policy.latest.num_versions or 1)


def _wrong(where: str, what: str) -> ServingError:
    return ServingError(INVALID_ARGUMENT, f"{where}: {what}")
