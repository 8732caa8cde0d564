"""`convoy fetch`: public data sets by name."""

from __future__ import annotations

import pathlib

from absl import flags

from convoy.data.files.files import SourceError
from convoy.pipeline.commands import arguments
from convoy.pipeline.errors import UsageError


def define(values: flags.FlagValues) -> None:
    """The verb's flags."""
    text = "Folder; default: named as the set."
    flags.DEFINE_string("output", None, text, values, short_name="o")
    flags.DEFINE_bool("offline", False, "Only verify what is there.", flag_values=values)
    flags.DEFINE_string("mirror", "", "Address of a folder with the files.", flag_values=values)


def run(words: list[str], values: flags.FlagValues, _: list[str]) -> dict:
    """Fetches and verifies one set, or lists all. Raises SourceError."""
    if not words:
        arguments.unused(values, ("output", "offline", "mirror"), "without a name sets are listed")
        return {"sets": _list()}
    if len(words) > 1:
        raise UsageError(f"expected one name of a data set, got {words}")
    from convoy.data.fetch import fetch  # and with it a web client, which nothing else needs

    name = words[0]
    folder = pathlib.Path(values.output or name.replace(":", "_").replace("/", "_"))
    kind, _, builder = name.partition(":")
    if kind == "tfds" and builder:
        arguments.unused(values, ("mirror",), "tensorflow-datasets fetches from its own addresses")
        folder = fetch.prepare_tfds(builder, folder, offline=values.offline)
        files = []
    else:
        try:
            fetch.look_up(name)
        except SourceError as error:
            raise UsageError(str(error)) from None
        files = fetch.fetch(name, folder, offline=values.offline, mirror=values.mirror)
    print(folder)
    files = [str(path.absolute()) for path in files]
    return {"name": name, "path": str(folder.absolute()), "files": files}


def _list() -> list[dict]:
    from convoy.data.fetch import table as fetch_table

    rows = []
    for name, data_set in fetch_table.SETS.items():
        sizes = [file.size for file in data_set.files]
        total = None if None in sizes else sum(sizes)
        megabytes = f"{total / 1e6:,.0f} MB" if total else "?"
        print(f"{name:<21} {megabytes:>10}  {data_set.title}")
        rows.append(
            {"name": name, "title": data_set.title, "bytes": total, "terms": data_set.terms}
        )
    return rows
