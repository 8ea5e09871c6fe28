"""`python -m components.quantization.imported.onnx_models.examining MODEL.onnx EXAMPLES.npy FACTS.json`: check, and run it once.

A file that makes a parser or ONNX Runtime crash, hang, or ask for more memory than it may have ends this process only.
"""

from __future__ import annotations

import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.quantization.imported.isolated import ends, run_isolated
from components.quantization.imported.onnx_models.checking import checked, entry, operators
from components.quantization.imported.onnx_models.folding import folded, macs
from components.quantization.imported.onnx_models.session import open_session, run
from components.values.imported_onnx import Signal
from components.workspace.errors import InputError
from components.workspace.files import write_json

_MEMORY = 8 << 30
_TIME_LIMIT_S = 300


@dataclass(frozen=True)
class Facts:
    input: Signal
    outputs: tuple[Signal, ...]
    operators: dict[str, int]
    macs: int


def examine(file: Path, values: NDArray[Any], about: str) -> Facts:
    """What is in the ONNX ``file``. ``values``: (rows, ...) of which the first is tried; ``about``: what the user calls it.

    Raises:
        InputError: it is damaged or hostile, has ends or operators that are not taken, or does not run.
        BackendUnreachable: ONNX or ONNX Runtime is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        source, facts = Path(folder) / "examples.npy", Path(folder) / "facts.json"
        np.save(source, values[:1].astype(np.float32), allow_pickle=False)
        run_isolated(str(__spec__.name), file, source, facts, about=about, time_limit_s=_TIME_LIMIT_S)
        found = json.loads(facts.read_bytes())
    outputs = tuple(Signal.from_json(port) for port in found["outputs"])
    return Facts(Signal.from_json(found["input"]), outputs, found["operators"], found["macs"])


def main(file: Path, examples: Path, facts: Path) -> None:
    write_json(facts, asdict(_facts(file.read_bytes(), np.load(examples, allow_pickle=False))))


def _facts(data: bytes, values: NDArray[np.float32]) -> Facts:
    proto = checked(data)
    source = entry(proto)
    row = values.reshape(len(values), -1)[0]
    if row.size != source.size:
        raise InputError(
            f"examples of {row.size} numbers a row, the input has {source.size}", hint=f"its shape is {source.shape}"
        )
    session = open_session(data)
    found = run(session, source, row)
    outputs = []
    for told, value in zip(session.get_outputs(), found, strict=True):
        if value.dtype != np.float32:
            raise InputError(f"output '{told.name}' is {value.dtype}", hint="export outputs of float32, such as logits")
        if not np.isfinite(value).all():
            raise InputError(
                f"output '{told.name}' is not finite for an example", hint="leave out what has no logarithm or inverse"
            )
        outputs.append(Signal(told.name, value.shape))
    return Facts(source, tuple(outputs), operators(proto), macs(folded(data, source)))


if __name__ == "__main__":
    ends(main, _MEMORY)
    sys.exit(0)
