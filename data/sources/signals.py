"""Sounds and series of numbers, each with a class.

* files in one folder per class (data/sources/class_folders.py): .wav, or .npy and .csv of one
  series each (data/signals/series.py). Beside folders of the Speech Commands, validation_list.txt
  and testing_list.txt name the files of their splits, and _background_noise_ is no class;
* tables with one series per line (data/sources/signal_tables.py): the UCR archive's NAME_TRAIN.tsv
  and NAME_TEST.tsv, the UEA archive's .ts, a CSV with a column label and a number per further
  column.

Without pictures beside them. Series without splits are dealt by a hash of their ids.
"""

from __future__ import annotations

import numpy as np

from convoy.data.files import files
from convoy.data.images import images
from convoy.data.sample import BadSample, Listing, Reference, Sample, Told
from convoy.data.signals import series
from convoy.data.sources import Options, SourceError, class_folders, ignore, layout, signal_tables
from convoy.data.sources.split import hashed_split

MAX_BYTES = 1 << 28  # of one file
_LISTS = {"validation_list.txt": "val", "testing_list.txt": "test"}
_NOISE = "_background_noise_"
_PROBE = 1 << 16  # bytes of a file that show what it is


def detect(tree: files.Tree) -> bool:
    """Most files are sounds or series below two class folders, or lines of tables of series."""
    if any(map(files.is_picture, tree.names)):
        return False
    rows = _labelled(tree)
    if len({row.label for row in rows}) > 1 and 2 * len(rows) > len(
        list(layout.visible(tree.names))
    ):
        return all(_is_signal(tree, name) for name in _first_of_each_ending(rows))
    return not tree.pictures() and bool(signal_tables.tables(tree))  # or the arrays are tabulated


def scan(path, options: Options = Options()) -> Listing:
    """Lists every signal. Raises SourceError."""
    tree = files.tree(path)
    rows = _labelled(tree)
    if rows:
        return _of_folders(tree, rows, options)
    tables = signal_tables.tables(tree) or signal_tables.tables(tree, sure=False)
    if not tables:
        raise SourceError(
            f"{tree.root}: expected sounds or series as CLASS/*.wav, *.npy or *.csv, or tables "
            f"with one series per line; found {', '.join(tree.names[:5]) or 'no file'}. "
            "docs/signals.md shows each layout"
        )
    return _of_tables(tree, tables, options)


def read(reference: Reference, labels, *, max_pixels=images.MAX_PIXELS, warn=ignore) -> Sample:
    """One signal. Raises BadSample."""
    label, numbers = reference.annotation
    if numbers is None:
        content = _read_file(reference.image, warn)
    else:
        content = series.encoded(signal_tables.values(numbers, reference.source_id),
                                 reference.source_id)  # fmt: skip
    return Sample(
        source_id=reference.source_id,
        split=reference.split,
        image=b"",
        height=0,
        width=0,
        labels=np.array([list(labels).index(label)], np.int64),
        signal=content,
    )


def _read_file(where: files.Where, warn) -> bytes:
    name = files.name_of(where)
    if files.size(where) > MAX_BYTES:
        raise BadSample("too_large", f"{name}: {files.size(where):,} bytes, at most {MAX_BYTES:,}")
    try:
        return series.signal(files.read(where), name, warn)
    except OSError as error:
        raise BadSample("missing_signal", f"{name}: {error.strerror}") from None


def _of_folders(tree: files.Tree, rows: list[class_folders.Row], options: Options) -> Listing:
    listed: dict[str, str] = {}
    lists = [name for name in _LISTS if name in tree]
    for name, split in _LISTS.items():
        if name in lists:
            lines = tree.read(name).decode("utf-8", "surrogateescape").splitlines()
            listed |= dict.fromkeys((line.strip() for line in lines), split)
    names = options.labels or tuple(sorted({row.label for row in rows}))
    references, rejected = [], []
    for split, label, name in rows:
        if label not in names:
            detail = f"{name}: class folder {label!r} is not among the labels given"
            rejected.append((name, "unknown_class", detail))
            continue
        if lists:
            split = listed.get(name, "train")
        split = split or hashed_split(name, options.holdout, options.seed)
        references.append(Reference(name, split, tree.where(name), (label, None)))
    unused = []
    if lost := tuple(sorted(listed.keys() - {row.name for row in rows})):
        unused.append(Told("lines of lists of splits", len(lost), "no such file", lost[:3]))
    return _listing(references, names, rejected, unused, _like_pictures(tree, rows))


def _like_pictures(tree: files.Tree, rows: list[class_folders.Row]) -> list[Told]:
    """Arrays that may be gray pictures, by the first of them."""
    arrays = [row.name for row in rows if row.name.lower().endswith(".npy")]
    try:
        if not arrays or not series.may_be_picture(layout.beginning(tree, arrays[0], _PROBE)):
            return []
    except OSError:
        return []
    why = "of two dimensions: taken as series [samples, channels]; as gray pictures they are read "
    why += "with --format folder, data.channels and unsigned numbers of 8 or 16 bits"
    return [Told(".npy files", len(arrays), why, tuple(arrays[:3]))]


def _of_tables(tree: files.Tree, tables: list[str], options: Options) -> Listing:
    parsed, notes = [], []
    for name in tables:
        rows, encoding = signal_tables.rows(tree, name)
        parsed.append((name, rows))
        if encoding != "UTF-8":
            notes.append(f"{name} is not UTF-8: read as {encoding}")
    names = options.labels or tuple(
        sorted({row.label for _, rows in parsed for row in rows} - {""})
    )
    splits = {name: _split_of(name) for name in tables}
    references, rejected, unused = [], [], []
    for name, rows in parsed:
        if lost := signal_tables.left_out(tree, name):
            why = "no numbered columns of a series"
            unused.append(Told(f"columns of {name}", len(lost), why, lost[:3]))
        for row in rows:
            source_id = f"{name}:{row.line}"
            if not row.label:
                rejected.append((source_id, "missing_label", f"{source_id}: has no class"))
                continue
            if row.label not in names:
                detail = f"{source_id}: class {row.label!r} is not among the labels given"
                rejected.append((source_id, "unknown_class", detail))
                continue
            split = splits[name] or hashed_split(source_id, options.holdout, options.seed)
            references.append(Reference(source_id, split, "", (row.label, row.numbers)))
    ambiguous = [
        Told("lines", len(rows), f"of {name}: {why}", ())
        for name, rows in parsed
        if (why := signal_tables.like_pixels(rows[0]))
    ]
    return _listing(references, names, rejected, unused, ambiguous, notes)


def _split_of(name: str) -> str | None:
    base = name.rpartition("/")[2]
    return layout.split_of(name) or layout.split_in(base.rpartition(".")[0].lower())


def _listing(references, names, rejected, unused, ambiguous, notes=()) -> Listing:
    references.sort(key=lambda reference: (reference.split, reference.source_id))
    told = {"unused": tuple(unused), "ambiguous": tuple(ambiguous), "notes": tuple(notes)}
    return Listing(tuple(references), names, tuple(sorted(rejected)), **told)


def samples(tree: files.Tree) -> list[str]:
    """Names of the files below class folders."""
    return [row.name for row in _labelled(tree)]


def _labelled(tree: files.Tree) -> list[class_folders.Row]:
    names = [
        name
        for name in layout.visible(tree.names)
        if name.rpartition(".")[2].lower() in series.ENDINGS and f"{_NOISE}/" not in name
    ]
    return class_folders.labelled(names)


def _first_of_each_ending(rows: list[class_folders.Row]) -> list[str]:
    return list({row.name.rpartition(".")[2].lower(): row.name for row in reversed(rows)}.values())


def _is_signal(tree: files.Tree, name: str) -> bool:
    """Whether a file's beginning is that of a sound, a narrow array or a table of numbers."""
    try:
        data = layout.beginning(tree, name, _PROBE)
    except OSError:
        return False
    ending = name.rpartition(".")[2].lower()
    if ending in ("wav", "wave"):
        return True
    if ending == "npy":
        return series.is_series(data)
    text = data.decode("utf-8", "replace")
    text = text[: text.rfind("\n") + 1] or text if len(data) == _PROBE else text
    rows = [row for row in series.cells(text) if any(cell.strip() for cell in row)][1:3]
    return bool(rows) and all(series.is_number(cell) for row in rows for cell in row)
