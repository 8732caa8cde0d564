"""ExampleGen: a data set as it was found -> TFRecord shards, manifest.json, labels.txt.

Killed and run again in the same folder, it keeps the shards that are complete. Outputs:
    SPLIT-00000-of-00008.tfrecord   records, see data/example.py
    manifest.json                   counts by split, class and reason
    labels.txt                      class names, one per line
    segmentation_labels.txt         names of the values of label maps, where there are any
    keypoints.txt                   names of the keypoints, where there are any
    rejected.jsonl, warnings.jsonl  source_id, split, reason, detail of what was left out
    dataset_info.json, features.json, *.labels.txt  what TFDS wants to read the records
"""

from __future__ import annotations

import collections
import dataclasses
import difflib
import json
import pathlib
import shutil
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pydantic
from absl import logging

from convoy.data import labels
from convoy.data.augment.policy import Augment
from convoy.data.files import files
from convoy.data.ingest import account, prepare, shards, tfds_metadata, written
from convoy.data.ingest.shards import IngestError, Shard, Work
from convoy.data.sample import Listing, Reference
from convoy.data.sources import WITHOUT_PICTURES, Options, SourceError, detect, source
from convoy.pipeline.artifacts import write_bytes, write_json
from convoy.pipeline.config import Recipe
from convoy.pipeline.errors import ConfigError

INPUTS: dict[str, str] = {}  # raw data alone
MIB = 1 << 20


class TooManyRejected(IngestError):
    """More samples were rejected than the recipe allows."""


# Parameters that readers know by the same names.
OF_READERS = ("labels", "holdout", "seed", "image_sets", "ignore", "scale")
OF_READERS += ("attributes", "frames", "align")
OF_PICTURES = ("channels", "bits")  # of data: what is kept of pictures, whatever the reader


class Params(pydantic.BaseModel):
    """What of a recipe decides the records; `beam` decides only where they are made."""

    model_config = pydantic.ConfigDict(frozen=True, extra="forbid")

    format: str = "auto"
    train: str = "train"  # the split that gets augmented copies
    splits: tuple[str, ...] = ("train", "val")  # the splits to write; () = all that there are
    holdout: float = 0.2
    labels: tuple[str, ...] = ()
    image_sets: str = ""
    ignore: int | None = None
    scale: int = 4
    attributes: tuple[str, ...] = ()
    frames: int = 1
    align: str = "none"
    exif: str = "auto"
    channels: int | None = None
    bits: int = 8
    copies: int = 0
    augment: Augment = Augment()
    shard_mb: float = 64.0
    max_rejected: float = 0.05
    max_pixels: int = 100_000_000
    max_side: int | None = None
    proposals: str = "none"
    max_proposals: int = 2000
    edge_model: str = ""
    seed: int = 0
    beam: tuple[str, ...] = pydantic.Field((), exclude=True)
    # Classes that train.class_weights names: an unknown one is told before a picture is read.
    weighted: tuple[str, ...] = pydantic.Field((), exclude=True)


def params_of(recipe: Recipe) -> Params:
    """The parameters of this component in a recipe."""
    data, ingest = recipe.data, recipe.ingest
    splits = dict.fromkeys(name for name in (data.train, data.val, data.test) if name)
    return Params(
        format=data.format,
        train=data.train,
        splits=tuple(splits),
        exif=data.exif,
        **{key: getattr(data, key) for key in OF_PICTURES},
        **{key: getattr(data, key) for key in OF_READERS if key != "seed"},
        copies=ingest.copies,
        augment=ingest.augment,
        shard_mb=ingest.shard_mb,
        max_rejected=ingest.max_rejected,
        max_pixels=ingest.max_pixels,
        max_side=ingest.max_side,
        proposals=ingest.proposals,
        max_proposals=ingest.max_proposals,
        edge_model=ingest.edge_model,
        seed=recipe.seed,
        beam=ingest.beam,
        weighted=_weighted(recipe),
    )


def _weighted(recipe: Recipe) -> tuple[str, ...]:
    weights = recipe.train.class_weights
    return tuple(weights) if isinstance(weights, dict) else ()


def _check_weighted(weighted: Sequence[str], names: Sequence[str]) -> None:
    for name in weighted:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
            hint = f"did you mean {close[0]!r}?" if close else f"classes: {', '.join(names[:10])}"
            raise ConfigError(f"train.class_weights: no class is called {name!r}; {hint}")


def run(inputs: Mapping[str, pathlib.Path], params: Params, workdir: pathlib.Path) -> None:
    """inputs: {"source": folder of the data set}. Raises SourceError, IngestError, ConfigError."""
    workdir = pathlib.Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    tree, format_name, listing = listed(inputs["source"], params)
    opened = account.opened(tree, listing, format_name, found=params.format == "auto")
    if not params.splits:
        params = params.model_copy(update={"format": format_name, "splits": splits_of(listing)})
    names, segments = listing.labels, listing.segmentation_labels
    _check_weighted(params.weighted, (*names, *segments))
    references = _references(listing, params, inputs["source"])
    work = Work(
        folder=str(workdir.resolve()),
        format=format_name,
        labels=names,
        max_pixels=params.max_pixels,
        max_side=params.max_side or 0,
        channels=params.channels,
        bits=params.bits,
        copies=params.copies,
        augmented_split=params.train,
        policy=params.augment,
        seed=params.seed,
        keypoint_pairs=listing.keypoint_pairs,
        proposals=params.proposals,
        max_proposals=params.max_proposals,
        edge_model=str(inputs.get("edge_model", params.edge_model)),
    )
    planned = shards.plan(references, params.shard_mb * MIB, params.seed)
    _remove_unreferenced(workdir, planned)
    todo = [shard for shard in planned if shards.finished(shard, work) is None]
    logging.info(
        "ingest: %d samples, %d of %d shards to do", len(references), len(todo), len(planned)
    )
    started = time.monotonic()
    if todo:
        _check_space(workdir, todo, work)
        from convoy.data.ingest import job as example_gen  # imports Beam

        example_gen.run(todo, work, params.beam)
    counts = [_counts(shard, work) for shard in planned]
    rejected = [(*row, "") for row in listing.rejected]
    rejected += [(*row, count["split"]) for count in counts for row in count["rejected"]]
    manifest = written.manifest(planned, counts, rejected, references, names, params.splits)
    manifest["params"] = params.model_dump(mode="json")
    flat: tuple[str, ...] = ()
    if params.channels:
        about = params.channels, params.bits, params.train
        manifest["channels"], flat = written.channels(counts, *about)
    manifest["format"] = format_name
    manifest["pictures"], unused = account.closed(opened, params.splits, counts)
    warnings = [(*row, count["split"]) for count in counts for row in count["warnings"]]
    unused = (*unused, *prepare.unseen(counts, params.labels))
    manifest["unused"] = [dataclasses.asdict(told) for told in unused]
    choices = (
        *listing.ambiguous,
        *opened.ambiguous,
        *account.choices(manifest["warnings"], warnings),
        *account.backgrounds(counts, params.labels),
    )
    manifest["ambiguous"] = [dataclasses.asdict(told) for told in choices]
    if params.proposals != "none":
        found = written.proposals(counts, params.splits, params.edge_model)
        manifest["proposals"] = {"method": params.proposals, **found}
    lists = ("segmentation_labels", "keypoints", "keypoint_pairs", "actions", "notes")
    manifest.update({name: list(getattr(listing, name)) for name in lists})
    points, why_none = labels.usable(listing.keypoints, "keypoints")
    manifest["notes"] += [*why_none, *flat]
    manifest["beam_seconds"] = round(time.monotonic() - started, 3)  # with starting workers
    manifest["writing_seconds"] = round(written.writing_s(counts), 3)
    manifest["cpu_seconds"] = round(sum(c["cpu_seconds"] for c in counts), 3)  # of that
    manifest["peak_mb"] = max((c["peak_mb"] for c in counts), default=0)  # of a worker, MiB
    try:
        _check_rejected(rejected, len(references) + len(listing.rejected), params, workdir)
        _check_splits(manifest, rejected)
        if not params.labels and params.max_rejected < 1:  # nobody asked for some, or for any
            account.check_objects(manifest["splits"].values(), manifest["warnings"], warnings)
    except IngestError:
        _remove_unreferenced(workdir, ())
        _write_rows(workdir / "rejected.jsonl", rejected)
        raise
    labels.write(workdir / "labels.txt", names)
    for name, values in (("segmentation_labels", segments), ("keypoints", points)):
        if values:
            labels.write(workdir / f"{name}.txt", values)
    _write_rows(workdir / "rejected.jsonl", rejected)
    _write_rows(workdir / "warnings.jsonl", warnings)
    write_json(workdir / "manifest.json", manifest)
    tfds_metadata.write(workdir)
    for done_with in (*workdir.glob("*.tfrecord.json"), *workdir.glob(".*.tmp")):
        done_with.unlink(missing_ok=True)  # the second kind is of workers that died


def listing_of(path: pathlib.Path | str, params: Params) -> tuple[str, Listing]:
    """The format, found if it is "auto", and what its reader lists. Raises SourceError."""
    return listed(path, params)[1:]


def listed(path: pathlib.Path | str, params: Params) -> tuple[files.Tree | None, str, Listing]:
    """As `listing_of`, and the files; None where the reader makes or finds them itself."""
    name = params.format
    built = name == "digits" or name.startswith("tfds:")
    tree = None if built else files.tree(path)
    where = path if tree is None else tree
    name = detect(where, of_pictures=params.channels is not None) if name == "auto" else name
    if params.channels and name in WITHOUT_PICTURES:
        raise SourceError(f"{path}: format {name} holds no pictures: leave data.channels out")
    if tree:
        tree.forget()  # what other readers looked into
    own = {key: getattr(params, key) for key in OF_READERS}
    options = Options(**own, name=name.partition(":")[2])
    listing = source(name).scan(where, options)
    given = params.exif, params.train, params.splits, str(path)
    return tree, name, prepare.prepared(listing, options, *given)


def splits_of(listing: Listing) -> tuple[str, ...]:
    """The splits but "trainval" where it only repeats others, as in every VOC devkit."""
    members: dict[str, set[str]] = {}
    for reference in listing.references:
        members.setdefault(reference.split, set()).add(reference.source_id)
    others = set().union(*(ids for split, ids in members.items() if split != "trainval"))
    if members.get("trainval", {""}) <= others:
        del members["trainval"]
    return tuple(sorted(members))


def _references(listing: Listing, params: Params, where) -> list[Reference]:
    """The references of the splits that the recipe names; each must have some."""
    existing = collections.Counter(r.split for r in listing.references)
    empty = [split for split in params.splits if not existing[split]]
    if empty:
        listed = ", ".join(f"{split} ({count})" for split, count in sorted(existing.items()))
        raise SourceError(
            f"{where}: no samples in split {', '.join(map(repr, empty))}; the splits are {listed}. "
            "Set data.train, data.val and data.test to some of them"
        )
    return [reference for reference in listing.references if reference.split in params.splits]


def _remove_unreferenced(workdir: pathlib.Path, planned: Sequence[Shard]) -> None:
    """Removes record files that no shard of this plan has, and what killed workers left."""
    keep = {f"{shard.name}{end}" for shard in planned for end in ("", ".json")}
    for path in workdir.iterdir():
        leftover = path.name.startswith(".") and path.name.endswith(".tmp")
        if leftover or (shards.is_record_file(path.name) and path.name not in keep):
            path.unlink(missing_ok=True)


def _check_space(workdir: pathlib.Path, todo: Sequence[Shard], work: Work) -> None:
    need = sum(shards.bytes_needed(shard, work) for shard in todo)
    free = shutil.disk_usage(workdir).free
    if free < need:
        raise IngestError(
            f"{workdir}: needs about {need / MIB:,.0f} MiB for records, {free / MIB:,.0f} MiB are "
            "free; free space there, or choose another run_dir"
        )


def _counts(shard: Shard, work: Work) -> dict[str, Any]:
    counts = shards.finished(shard, work)
    if counts is None:
        raise IngestError(
            f"{work.folder}/{shard.name}: the job ended, but the shard is not here. Do the workers "
            "share this folder with this machine?"
        )
    # Each id once in memory, however often the sidecar repeats it: there may be some million.
    known = {reference.source_id: reference.source_id for reference in shard.references}
    counts["source_ids"] = [known.get(name, name) for name in counts["source_ids"]]
    counts["images_sha256"] = [
        (known.get(name, name), sha256) for name, sha256 in counts["images_sha256"]
    ]
    return counts


def _check_rejected(rejected, total: int, params: Params, workdir: pathlib.Path) -> None:
    faults = {(reason, detail) for _, reason, detail, _ in rejected}
    # One fault is never fatal by itself, however small the data set; 0 allows none.
    if len(rejected) <= params.max_rejected * total or (params.max_rejected and len(faults) == 1):
        return
    reasons = collections.Counter(reason for _, reason, _, _ in rejected)
    listed = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common())
    examples = "; ".join(f"{row[0]}: {row[2]}" for row in rejected[:3])
    raise TooManyRejected(
        f"{len(rejected)} of {total} samples cannot be used, more than ingest.max_rejected = "
        f"{params.max_rejected:g} allows: {listed}. For example {examples}; all are in "
        f"{workdir / 'rejected.jsonl'}. Repair the data, or raise ingest.max_rejected"
    )


def _check_splits(manifest: Mapping[str, Any], rejected) -> None:
    for split, numbers in manifest["splits"].items():
        if not numbers["records"]:
            example_row = next((row[2] for row in rejected if row[3] == split), "none read")
            raise TooManyRejected(f"split {split!r}: no sample can be used, e.g. {example_row}")


def _write_rows(path: pathlib.Path, rows) -> None:
    keys = ("source_id", "reason", "detail", "split")
    lines = [json.dumps(dict(zip(keys, row, strict=True))) for row in rows]
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())
