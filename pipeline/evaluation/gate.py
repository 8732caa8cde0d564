"""The gate before the push: is the model good enough, and as good as the one that is pushed?"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

ROUNDING = 1e-9  # 0.2 + 0.1 > 0.3 in binary; a gain of exactly min_gain must pass


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What the gate decided; `str(verdict)` is the one paragraph for people."""

    blessed: bool
    reasons: list[str]  # one sentence each, the refusals first
    gain: float | None = None  # over the pushed model, where there is a comparable one

    def __str__(self) -> str:
        return ("Blessed: " if self.blessed else "Refused: ") + " ".join(self.reasons)


def decide(
    metrics: Mapping[str, Any],
    metric: str,
    threshold: float | None = None,
    previous_metrics: Mapping[str, Any] | None = None,
    min_gain: float = 0.0,
) -> Verdict:
    """Blesses a model whose `metric` (higher is better) reaches both marks.

    threshold: the least value; None = no such mark. previous_metrics: of the pushed model on the
    same data; None = there is none. The new value must be at least the old one + min_gain, so with
    min_gain=0 an equal model is good enough. A metric that is missing, None or NaN is refused; an
    old model without a usable value is no mark.
    """
    value = _number(metrics.get(metric))
    if value is None:
        if metric not in metrics:
            listed = ", ".join(k for k, v in metrics.items() if _number(v) is not None) or "none"
            return Verdict(
                False,
                [f"The evaluation has no metric {metric!r} (evaluate.metric); it has: {listed}."],
            )
        return Verdict(
            False, [f"{metric} is {metrics[metric]!r}, not a finite number (evaluate.metric)."]
        )
    against, in_favour = [], []
    if threshold is not None:
        if value >= threshold - ROUNDING:
            in_favour.append(f"{metric} {value:.4f} reaches the threshold {threshold:.4f}.")
        else:
            against.append(
                f"{metric} {value:.4f} is below the threshold {threshold:.4f} (evaluate.threshold: "
                f"{math.floor(value * 1e4) / 1e4:.4f} would let it pass)."
            )
    else:
        in_favour.append(f"{metric} is {value:.4f}; no threshold is set.")
    old = None if previous_metrics is None else _number(previous_metrics.get(metric))
    if previous_metrics is None:
        in_favour.append("No other model is pushed, so there is none to compare with.")
    elif old is None:
        in_favour.append(f"The pushed model has no usable {metric}, so it sets no mark.")
    else:
        change = f"{metric} {value:.4f} against {old:.4f} of the pushed model ({value - old:+.4f})"
        requirement = (
            f"a gain of at least {min_gain:.4f} is asked for" if min_gain else "equal is enough"
        )
        if value >= old + min_gain - ROUNDING:
            in_favour.append(f"{change}; {requirement}.")
        else:
            passing = math.floor((value - old) * 1e4) / 1e4
            against.append(
                f"{change} is not enough; {requirement} (evaluate.min_gain: {passing:.4f} would "
                "let it pass)."
            )
    gain = None if old is None else value - old
    return Verdict(not against, against + in_favour, gain)


def _number(value: Any) -> float | None:
    """A finite float, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
