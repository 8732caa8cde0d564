"""Rollback: the version before the newest one is served again, and the newest one stays away.

TensorFlow Serving serves the highest number and watches the folder's names. So the newest version
is renamed to NUMBER.withdrawn, all at once: servers load the version before, switch, and let
running calls end. Nothing is copied, no version that people name changes its number, and what was
withdrawn can still be looked at. A recipe that runs again the next night would train and bless the
same model: what was withdrawn is written down first, and pushes of that training are refused.
"""

from __future__ import annotations

import datetime
import getpass
import os
import pathlib
import platform
from collections.abc import Callable

from convoy.pipeline import locks, versions
from convoy.pipeline.artifacts import write_json
from convoy.pipeline.components import pusher


class NothingBefore(RuntimeError):
    """There is no sound version to go back to; the message says what there is."""


def back(
    base: pathlib.Path, reason: str = "", tell: Callable[[str], None] = lambda _: None
) -> dict:
    """Withdraws the newest version under a base path.

    Returns {"version": that is the newest now, "withdrawn", "path", "reason"}. Raises NothingBefore
    where no other version is there, or where the files of the one before are no longer those that
    were pushed, and locks.Held.
    """
    if not base.is_dir():
        raise NothingBefore(f"{base}: no such folder; nothing was pushed there")
    with locks.held(base / locks.LOCK, str(base), wait_s=pusher.WAIT_S, tell=tell):
        found = versions.folders(base)
        if len(found) < 2:
            there = ", ".join(map(str, found)) or "none"
            raise NothingBefore(
                f"{base}: no version to go back to; there is {there}. push.keep says how many stay"
            )
        before, newest = sorted(found)[-2:]
        pushed = versions.read(found[before] / versions.MARK).get("digest")
        if pushed is not None and pusher.content_digest(found[before]) != pushed:
            raise NothingBefore(
                f"{found[before]}: its files have changed since it was pushed, so it is not served "
                "again. Bring back its files or rename the folder, and roll back again"
            )
        record = versions.read(base / versions.RECORD)
        record[str(newest)] = _about(found[newest], reason)
        write_json(base / versions.RECORD, record)
        aside = base / f"{newest}{versions.ASIDE}"
        os.rename(found[newest], _free(aside))
    return {
        "version": before,
        "withdrawn": newest,
        "path": str(found[before].resolve()),
        "reason": reason,
    }


def _about(version: pathlib.Path, reason: str) -> dict:
    return {
        "identity": versions.identity(version),
        "trainer": versions.trainer_of(version),
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "by": f"{_user()}@{platform.node()}",
        "reason": reason,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


def _free(path: pathlib.Path) -> pathlib.Path:
    """The path, or the first of its name with a number behind it that is not there."""
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}{number}")
    return found
