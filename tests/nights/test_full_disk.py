"""A full disk: said in one line, whichever library met it, and nothing half-written stays."""

from __future__ import annotations

import errno
import shutil

import pytest

from convoy.pipeline import cli, errors, versions
from convoy.pipeline.components import pusher

TENSORFLOW = (
    "{{function_node __wrapped__SaveV2_device_/job:localhost/device:CPU:0}} "
    "/runs/a/exporter/1.partial/variables/part-0.tempstate8; "
    "No space left on device [Op:SaveV2]"
)
HDF5 = "[Errno 28] Can't synchronously write data (errno = 28, error message = 'No space left on "
HDF5 += "device', buf = 0x1)"


@pytest.mark.parametrize(
    ("error", "where"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "/runs/a/x"), "/runs/a/x"),
        (OSError(errno.EDQUOT, "Disk quota exceeded", "/runs/a/x"), "/runs/a/x"),
        (Exception(TENSORFLOW), "/runs/a/exporter/1.partial/variables/part-0.tempstate8"),
        (OSError(HDF5), "while writing"),
    ],
)
def test_it_is_one_line_without_a_traceback(error, where):
    assert errors.told(error) == f"the disk is full ({where}); free space and run again"
    assert not cli._is_bug(error)


def test_other_errors_are_told_as_they_are():
    assert errors.told(OSError(errno.EACCES, "Permission denied", "/x")).endswith("denied: '/x'")
    assert errors.told(KeyError()) == "KeyError"
    assert cli._is_bug(KeyError("x"))


def test_a_push_that_finds_no_room_leaves_what_serves_and_nothing_else(tmp_path, monkeypatch):
    model, base = tmp_path / "model", tmp_path / "served"
    model.mkdir()
    (model / "saved_model.pb").write_text("first")
    pusher.push(model, base, keep=3)
    (model / "saved_model.pb").write_text("second")

    def full(source, target, **_):
        with open(target, "w") as file:
            file.write("sec")
        raise OSError(errno.ENOSPC, "No space left on device", source)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", _copying(shutil.copytree, full))
        with pytest.raises(OSError, match="the disk is full") as told:
            pusher.push(model, base, keep=3)
    assert (told.value.errno, told.value.filename) == (errno.ENOSPC, str(base))
    assert sorted(path.name for path in base.iterdir()) == [".lock", "1"]
    assert pusher.push(model, base, keep=3).version == 2
    assert versions.versions(base) == [1, 2]


def _copying(copytree, copy):
    return lambda source, target: copytree(source, target, copy_function=copy)
