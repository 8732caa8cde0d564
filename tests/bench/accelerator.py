"""Our networks through Keras on JAX beside torchvision's under torch.compile: images/s, peak share.

    python -m tests.bench.accelerator --batch 64 vgg16 inception_v3_aux@299 resnet50 resnet200

Needs JAX, Keras and for the other side PyTorch, torchvision and (resnet200) timm; no TensorFlow.
Both train alike: forward, loss, gradients, plain SGD of float32 weights, on one batch in the
device's memory; inference leaves auxiliary heads out. Rounds of both sides alternate in one
process, a network has a process of its own, and numbers are medians.

Ours:   one jax.jit of a step, weights and statistics donated; pixels are normalised inside. Keras'
        image_data_format is channels_last: the networks know no other, XLA lays out as it likes.
Theirs: torch.compile, channels_last memory, autocast for mixed_bfloat16, fused SGD on a GPU; images
        come normalised. Its float32 takes TF32 on a GPU, as XLA's does.

Share of peak: 2 operations a multiply-accumulate of convolutions and dense layers, 6 in training.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
from collections.abc import Callable

from convoy import models
from convoy.pipeline.tools.benchmark import aligned, alternate, in_child

RATE = 1e-4
WAYS = "ours: jax.jit, state donated; PyTorch: torch.compile, default mode, channels_last, autocast"
# Dense bfloat16, TFLOP/s, of the SXM cards; others and other precisions by --peak-tflops.
PEAKS = {"H200": 989.0, "H100": 989.0, "A100": 312.0}
PLAIN = {"dropout": 0.0, "init_weights": False}  # of the networks that start slowly
# name -> (package, its function, its options): those of torchvision that have our layout.
TWINS = {
    "alexnet_owt": ("torchvision", "alexnet", {"dropout": 0.0}),
    "googlenet_bn": ("torchvision", "googlenet", {**PLAIN, "aux_logits": False}),
    "googlenet_bn_aux": ("torchvision", "googlenet", {**PLAIN, "dropout_aux": 0.0}),
    "inception_v3_aux": ("torchvision", "inception_v3", PLAIN),
    "mobilenet_v2": ("torchvision", "mobilenet_v2", {"dropout": 0.0}),
    "resnet200": ("timm", "resnet200", {}),
    **{
        f"vgg{depth}{norm}": ("torchvision", f"vgg{depth}{norm}", {"dropout": 0.0})
        for depth in (11, 13, 16, 19)
        for norm in ("", "_bn")
    },
    **{f"resnet{depth}": ("torchvision", f"resnet{depth}", {}) for depth in (18, 34, 50, 101, 152)},
}
WORK = {"train": 3, "infer": 1}  # forward passes that one run is worth
_HEADS = ("Model", "Input", "GMACs", "Train img/s", "peak", "Torch", "peak", "ratio")
_HEADS += ("Infer img/s", "peak", "Torch", "peak", "ratio")


def measure(name: str, size, *, batch: int, rounds: int, steps: int, precision: str) -> dict:
    """One row: what was run, and images/s of both sides in training and inference."""
    import jax
    import keras
    import numpy as np

    from convoy.models.heads import without_heads

    if keras.backend.backend() != "jax":
        raise ValueError(f"expected KERAS_BACKEND=jax, got {keras.backend.backend()}")
    keras.config.set_image_data_format("channels_last")
    keras.config.set_dtype_policy(precision)
    task = models.build_task(name, input_size=size)
    bare = without_heads(task)
    pixels, draw = task.info.preprocess.shape, np.random.default_rng(0)
    images = draw.uniform(0, 255, (batch, *pixels)).astype("float32")
    labels = draw.integers(0, task.info.num_classes, batch)
    sides = {"ours": ours(task, bare.model, images, labels, steps)}
    row = {
        "name": name,
        "input": list(pixels),
        "batch": batch,
        "precision": precision,
        "macs": {"train": task.info.macs, "infer": bare.info.macs},
        "params": task.info.params,
        "device": jax.devices()[0].device_kind,
        "versions": {"jax": jax.__version__, "keras": keras.__version__},
    }
    try:
        twin, versions = build_twin(name, task.info)
        row["versions"] |= versions
        sides["torch"] = theirs(twin, task, images, labels, steps, precision)
    except (ImportError, ValueError) as error:
        row["alone"] = str(error)
    # All of training comes first: torch.compile keeps one graph of each mode.
    for what in WORK:
        calls = {who: side[what] for who, side in sides.items()}
        for call in calls.values():
            call()
        wall, _ = alternate(calls, rounds)
        row[what] = {who: 1000 * batch * steps / ms for who, ms in wall.items()}
    return row


def ours(task, bare, images, labels, steps: int) -> dict[str, Callable]:
    """{"train", "infer"}: functions that run `steps` batches; bare: without auxiliary heads."""
    import jax
    import jax.numpy as jnp

    from convoy.models import losses

    whole = task.model
    images, labels = jax.device_put(images), jax.device_put(labels.astype("int32"))

    def total(weights, state, images, labels):
        outputs, state = whole.stateless_call(weights, state, images, training=True)
        return losses.total(task.loss({"label": labels}, outputs)), state

    def step(weights, state, images, labels):
        slope_of = jax.value_and_grad(total, has_aux=True)
        (value, state), slopes = slope_of(weights, state, images, labels)
        weights = [weight - RATE * slope for weight, slope in zip(weights, slopes, strict=True)]
        return weights, state, value

    def infer(weights, state, images):
        return bare.stateless_call(weights, state, images, training=False)[0]

    train, infer = jax.jit(step, donate_argnums=(0, 1)), jax.jit(infer)
    # Copies: a donated array is gone after the step.
    held = [
        [jnp.array(variable.value) for variable in group]
        for group in (whole.trainable_variables, whole.non_trainable_variables)
    ]
    fixed = [
        [variable.value for variable in group]
        for group in (bare.trainable_variables, bare.non_trainable_variables)
    ]

    def run_train():
        for _ in range(steps):
            held[0], held[1], value = train(*held, images, labels)
        value.block_until_ready()
        if not math.isfinite(float(value)):
            raise ValueError(f"{task.info.name}: the loss is {float(value)}")

    def run_infer():
        for _ in range(steps):
            logits = infer(*fixed, images)
        logits.block_until_ready()

    return {"train": run_train, "infer": run_infer}


def build_twin(name: str, info):
    """(The same network in PyTorch, versions); ImportError or ValueError says why there is none."""
    if name not in TWINS:
        raise ValueError(f"{name}: no network of torchvision has its layout")
    package, function, options = TWINS[name]
    import torch

    from tests.parity.torch_reference import import_torchvision

    stubs, source = import_torchvision()  # timm needs it, too
    if package == "timm":
        import timm as source

        twin = source.create_model(function, num_classes=info.num_classes, **options)
    else:
        twin = getattr(source.models, function)(num_classes=info.num_classes, **options)
    twin.stubs = stubs  # live as long as the network
    params = sum(parameter.numel() for parameter in twin.parameters())
    if params != info.params:
        raise ValueError(
            f"{name}: {package}'s has {params:,} parameters, ours {info.params:,} here"
        )
    return twin, {"torch": torch.__version__, package: source.__version__}


def theirs(twin, task, images, labels, steps: int, precision: str):
    """As `ours`, of a network of PyTorch."""
    import numpy as np
    import torch

    from convoy.models.registry import MODELS

    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    p = task.info.preprocess
    normalized = (images * p.scale - np.float32(p.mean)) / np.float32(p.std)
    pixels = torch.from_numpy(normalized).permute(0, 3, 1, 2).to(device)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    labels = torch.from_numpy(labels).to(device)
    twin = twin.to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(twin.parameters(), RATE, fused=device == "cuda")
    network = torch.compile(twin)
    half = torch.autocast(device, torch.bfloat16, enabled=precision == "mixed_bfloat16")
    aux_weight = MODELS[task.info.name].family.aux_weight

    def run_train():
        twin.train()
        for _ in range(steps):
            optimizer.zero_grad(set_to_none=True)
            with half:
                outputs = network(pixels)
            heads = outputs if isinstance(outputs, tuple) else (outputs,)
            losses = [torch.nn.functional.cross_entropy(head.float(), labels) for head in heads]
            value = losses[0] + aux_weight * sum(losses[1:])
            value.backward()
            optimizer.step()
        if not math.isfinite(value.item()):
            raise ValueError(f"torch: the loss is {value.item()}")

    def run_infer():
        twin.eval()
        with torch.no_grad(), half:
            for _ in range(steps):
                logits = network(pixels)
        logits.float().sum().item()

    return {"train": run_train, "infer": run_infer}


def peak_of(device: str, precision: str) -> float | None:
    """TFLOP/s of a device by its name; None where the table does not know."""
    known = (peak for name, peak in PEAKS.items() if name in device)
    return next(known, None) if precision == "mixed_bfloat16" else None


def share(macs: int, images_per_s: float, what: str, peak_tflops: float) -> float:
    """Part of the device's peak that the network's arithmetic takes."""
    return WORK[what] * 2 * macs * images_per_s / (peak_tflops * 1e12)


def text(rows: list[dict], peak_tflops: float | None = None) -> str:
    """The table, what it was measured on, and why a number is missing."""
    lines = [aligned([_HEADS, *(_cells(row, peak_tflops) for row in rows)]), WAYS]
    for row in rows:
        if "error" in row:
            lines.append(row["error"])
            continue
        peak = peak_tflops or peak_of(row["device"], row["precision"])
        told = f"peak {peak:g} TFLOP/s" if peak else "its peak is not known: give --peak-tflops"
        lines.append(f"{row['device']}, {row['precision']}, batch {row['batch']}, {told}")
        lines.append(", ".join(f"{name} {version}" for name, version in row["versions"].items()))
        lines += [f"ours alone: {row['alone']}"] if "alone" in row else []
    return "\n".join(dict.fromkeys(lines))


def _cells(row: dict, peak_tflops: float | None) -> tuple[str, ...]:
    if "error" in row:
        return (row["name"], *("-",) * (len(_HEADS) - 1))
    peak = peak_tflops or peak_of(row["device"], row["precision"])
    cells = [row["name"], "x".join(map(str, row["input"][:2])), f"{row['macs']['train'] / 1e9:.2f}"]
    for what in WORK:
        rates = row[what]
        for who in ("ours", "torch"):
            cells.append(f"{rates[who]:.1f}" if who in rates else "")
            known = peak and who in rates
            part = share(row["macs"][what], rates[who], what, peak) if known else None
            cells.append("" if part is None else f"{100 * part:.1f}%")
        cells.append(f"{rates['ours'] / rates['torch']:.3f}" if "torch" in rates else "")
    return tuple(cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("networks", nargs="+", metavar="NAME[@SIDE]")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="alternating, of which medians")
    parser.add_argument("--steps", type=int, default=20, help="batches a round")
    choices = ("mixed_bfloat16", "float32")
    parser.add_argument("--precision", default=choices[0], choices=choices)
    parser.add_argument("--peak-tflops", type=float, help="of the device, at this precision")
    parser.add_argument("--json", action="store_true", help="a line for machines, too")
    options = parser.parse_args()
    os.environ["KERAS_BACKEND"] = "jax"
    os.environ.setdefault("XLA_PYTHON_CLIENT_MEM_FRACTION", ".45")  # the other half is PyTorch's
    from convoy.pipeline.tools.model_table import parse  # imports Keras

    given = {key: getattr(options, key) for key in ("batch", "rounds", "steps", "precision")}
    try:
        asked = [(word, *parse(word)) for word in options.networks]
        strange = [name for _, name, _ in asked if models.describe(name).task != "classification"]
    except ValueError as error:
        parser.error(str(error))
    if strange:
        parser.error(f"{strange[0]}: expected a classification network of pictures")
    rows = [
        in_child("tests.bench.accelerator", word, {"name": name, "size": size, **given})
        for word, name, size in asked
    ]
    print(text(rows, options.peak_tflops))
    if options.json:
        print(json.dumps({"accelerator": rows}))
    sys.exit(any("error" in row for row in rows))


if __name__ == "__main__":
    if len(sys.argv) == 2 and sys.argv[1].startswith("{"):  # a network's own process
        try:
            found = measure(**json.loads(sys.argv[1]))
        except ValueError as error:  # the parent tells it
            found = {"error": str(error)}
        print(json.dumps(found))
    else:
        main()
