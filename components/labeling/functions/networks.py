"""Trained models that labelling functions call: ONNX files, run by ONNX Runtime over pieces of the windows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.workspace.errors import InputError, NotFound

_CHUNK = 4096  # windows at a time
_WINDOW_RANK = 3


class Network:
    """One ONNX model with one input: (n, steps, channels) float32, n of any size. Threads may share it."""

    def __init__(self, file: Path) -> None:
        """Load ``file``.

        Raises:
            NotFound: there is no such file.
            InputError: ONNX Runtime cannot load it, or its input is of another kind.
        """
        if not file.is_file():
            raise NotFound(f"no file {file}", hint="write it, or take its name out of labeling.models")
        self._file = file
        self._session = _session(file)
        inputs = self._session.get_inputs()
        if len(inputs) != 1 or inputs[0].type != "tensor(float)" or len(inputs[0].shape) != _WINDOW_RANK:
            shown = "; ".join(f"{i.name} {i.type} {i.shape}" for i in inputs)
            raise InputError(f"{file}: takes {shown}", hint="a model takes one float32 input (windows, steps, channels)")
        self._input = inputs[0]
        self._outputs = [o.name for o in self._session.get_outputs()]

    def __call__(self, samples: NDArray[np.float32], output: str | None, missing: float) -> NDArray[np.float64]:
        """(windows, steps, channels), NaN for missing -> (windows, outputs) of ``output``, the first one for None.

        Raises:
            InputError: the windows do not fit the input, or the output is none of one row a window.
        """
        self._check(samples.shape)
        if output is not None and output not in self._outputs:
            raise InputError(f"{self._file}: no output '{output}'", hint=f"it has {', '.join(self._outputs)}")
        name = output or self._outputs[0]
        parts = [self._run(name, samples[i : i + _CHUNK], missing) for i in range(0, len(samples), _CHUNK)]
        return np.concatenate(parts) if parts else np.empty((0, 1))

    def _check(self, shape: tuple[int, ...]) -> None:
        fixed = [want for want in self._input.shape if isinstance(want, int)]
        wrong = any(isinstance(want, int) and want != got for want, got in zip(self._input.shape[1:], shape[1:], strict=True))
        if wrong or isinstance(self._input.shape[0], int):
            wanted = ", ".join(str(n) for n in self._input.shape)
            raise InputError(
                f"{self._file}: takes ({wanted}), windows are (any number, {shape[1]}, {shape[2]})",
                hint="export it for these windows" + (", with a free first dimension" if fixed else ""),
            )

    def _run(self, name: str, samples: NDArray[np.float32], missing: float) -> NDArray[np.float64]:
        x = np.ascontiguousarray(samples, np.float32)
        if not np.isnan(missing):
            x = np.where(np.isnan(x), np.float32(missing), x)
        try:
            said = self._session.run([name], {self._input.name: x})[0]
        except Exception as error:  # noqa: BLE001 -- ONNX Runtime has a class of its own for each status, all of them RuntimeErrors
            raise InputError(f"{self._file}: {str(error).splitlines()[0]}", hint="the model fails on these windows") from None
        y = np.asarray(said)
        if y.dtype == object or y.ndim not in {1, 2} or len(y) != len(x):
            raise InputError(
                f"{self._file}: output {name} has shape {y.shape} for {len(x)} windows",
                hint="a model puts out (windows,) or (windows, outputs) numbers",
            )
        return y.reshape(len(x), -1).astype(np.float64)


def _session(file: Path) -> Any:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # partitions already run beside each other
    options.log_severity_level = 4
    try:
        return ort.InferenceSession(file.read_bytes(), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # noqa: BLE001 -- as above
        raise InputError(f"{file}: no ONNX model: {str(error).splitlines()[0]}", hint="export it to ONNX again") from None
