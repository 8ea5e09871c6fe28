"""How far each activation of an ONNX graph reaches, measured in ONNX Runtime; see `models.ranges` for the calibrators."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.models.ranges import Calibrator, span_of
from components.quantization.imported.onnx_models.session import Floats, open_session, run
from components.values.imported_onnx import Signal

_BINS = 2048


@dataclass(frozen=True)
class Activations:
    """Tensor -> least and greatest value, and (bins,) counts between them; without counts where nothing may be clipped."""

    spans: dict[str, tuple[float, float]]
    counts: dict[str, NDArray[np.float64]]

    def under(self, calibrator: Calibrator) -> dict[str, tuple[float, float]]:
        if calibrator == "minmax":
            return self.spans
        return self.spans | {name: span_of(counts, *self.spans[name], calibrator) for name, counts in self.counts.items()}


def measured(proto: Any, entry: Signal, rows: Floats) -> Activations:
    """Of the folded ``proto`` over (rows, size) inputs. Outputs keep their whole range: nothing of an answer is clipped."""
    spans: dict[str, tuple[float, float]] = {}
    for found in watched_values(proto, entry, rows):
        for name, value in found.items():
            low, high = spans.get(name, (0.0, 0.0))
            spans[name] = min(low, float(value.min())), max(high, float(value.max()))
    inner = {name: span for name, span in spans.items() if span[0] < span[1] and name not in {o.name for o in proto.graph.output}}
    counts = {name: np.zeros(_BINS) for name in inner}
    for found in watched_values(proto, entry, rows):
        for name, span in inner.items():
            counts[name] += np.histogram(found[name], _BINS, span)[0]
    return Activations(spans, counts)


def watched_values(proto: Any, entry: Signal, rows: Floats) -> Iterator[dict[str, NDArray[Any]]]:
    """Of each row: every tensor of floats in the folded ``proto``, by its name."""
    watched, names = _watched(proto)
    for row in rows:
        yield _values(watched, names, entry, row)


def _watched(proto: Any) -> tuple[Any, list[str]]:
    """A session of ``proto`` that puts out every tensor, and their names."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(proto)
    there = {output.name for output in watched.graph.output}
    names = [name for node in watched.graph.node for name in node.output if name and name not in there]
    watched.graph.output.extend([onnx.ValueInfoProto(name=name) for name in names])
    session = open_session(watched.SerializeToString(), as_is=True)
    return session, [output.name for output in session.get_outputs()]


def _values(session: Any, names: list[str], entry: Signal, row: Floats) -> dict[str, NDArray[Any]]:
    found = dict(zip(names, run(session, entry, row), strict=True)) | {entry.name: row}
    return {name: value for name, value in found.items() if value.dtype == np.float32 and value.size}
