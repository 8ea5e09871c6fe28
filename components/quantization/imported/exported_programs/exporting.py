"""`python -m components.quantization.imported.exported_programs.exporting PROGRAM.pt2 OUT.onnx`: an exported program as ONNX."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from components.quantization.imported.exported_programs.archive import copy_plain
from components.quantization.imported.isolated import ends, run_isolated
from components.workspace.errors import InputError
from components.workspace.files import write_bytes

_MEMORY = 16 << 30
_TIME_LIMIT_S = 900
_YOURSELF = "export it yourself with torch.onnx.export(dynamo=True), and import that"


def as_onnx(file: Path, out: Path) -> None:
    """Write the program in ``file`` as an ONNX model, by `torch.onnx.export`.

    Raises:
        InputError: it is damaged, holds more than plain tensors and torch's own operators, or ONNX lacks one of these.
        BackendUnreachable: torch is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "plain.pt2"
        try:
            copy_plain(file, copy)
        except InputError as error:
            raise InputError(f"{file}: {error.message}", hint=error.hint) from None
        run_isolated(str(__spec__.name), copy, out, about=str(file), time_limit_s=_TIME_LIMIT_S)


def main(copy: Path, out: Path) -> None:
    import torch

    try:
        program = torch.export.load(copy)
        made = torch.onnx.export(program, dynamo=True, external_data=False)
    except Exception as error:  # noqa: BLE001 - exporters raise what their rules for single operators raise
        said = " ".join(str(error).split())
        raise InputError(
            f"not exported to ONNX: {said[:300]}", hint="export it yourself with torch.onnx.export(dynamo=True)"
        ) from None
    if made is None:
        raise InputError("not exported to ONNX", hint="export it yourself with torch.onnx.export(dynamo=True)")
    write_bytes(out, made.model_proto.SerializeToString())


if __name__ == "__main__":
    ends(main, _MEMORY)
    sys.exit(0)
