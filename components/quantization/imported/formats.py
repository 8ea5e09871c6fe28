"""Which files are taken as models, told by their bytes; what could run code is never opened."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Literal

from components.quantization.targets.c99.tflite import MAGIC, MOST_BYTES
from components.workspace.errors import InputError, NotFound

Kind = Literal["tflite", "keras", "onnx", "pt2", "xgboost"]
ACCEPTED = "accepted are int8 .tflite, XGBoost's .json or .ubj, and with --examples .keras, .onnx and .pt2"
EXPORT = "torch.export.save(torch.export.export(model.eval(), (example,)), 'model.pt2') writes one without"
_HDF5 = b"\x89HDF\r\n\x1a\n"
_PICKLE = b"\x80"  # opcode PROTO, then the number of the protocol
_PICKLE_PROTOCOLS = range(1, 6)
_IR_VERSION = b"\x08"  # key of field 1 of ModelProto, which writers put first
_TORCH = {".pt", ".pth"}
_UNOPENED = {".pkl", ".pickle", ".joblib", ".ckpt", ".bin", ".npy", ".npz"}


def kind_of(file: Path) -> Kind:
    """Raises:
    NotFound: no such file.
    InputError: none of the accepted formats, with what to do instead.
    """
    if file.is_dir():
        raise InputError(f"{file} is a folder", hint=f"convert a SavedModel to an int8 .tflite first; {ACCEPTED}")
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="name a .tflite, .keras, .onnx, .pt2, .json or .ubj file")
    if file.stat().st_size > MOST_BYTES:
        raise InputError(f"{file} has {file.stat().st_size:,} bytes", hint=f"the most is {MOST_BYTES:,}")
    with file.open("rb") as stream:
        head = stream.read(16)
    if head[4:8] == MAGIC:
        return "tflite"
    if file.suffix.lower() == ".onnx" and head[:1] == _IR_VERSION:
        return "onnx"
    if head.lstrip()[:1] == b"{":
        return "xgboost"
    if zipfile.is_zipfile(file):
        return _of_zip(file)
    raise InputError(f"{file}: {_why_not(file, head)}", hint=ACCEPTED)


def _of_zip(file: Path) -> Kind:
    try:
        with zipfile.ZipFile(file) as archive:
            paths = archive.namelist()
    except zipfile.BadZipFile as error:
        raise InputError(f"{file}: a damaged archive: {error}", hint=ACCEPTED) from None
    names = {Path(path).name for path in paths}
    if any(path.endswith("/models/model.json") for path in paths):
        return "pt2"
    if "config.json" in names and any(name.endswith(".weights.h5") for name in names):
        return "keras"
    if any(name.endswith(".pkl") for name in names):
        raise InputError(
            f"{file}: a PyTorch file, which holds a pickle", hint=f"pickles run code and are never opened; {EXPORT}; {ACCEPTED}"
        )
    raise InputError(f"{file}: an archive that is no Keras file", hint=ACCEPTED)


def _why_not(file: Path, head: bytes) -> str:
    if head.startswith(_HDF5):
        return "an HDF5 file of Keras 2; load it with Keras and save it as .keras"
    pickled = head[:1] == _PICKLE and len(head) > 1 and head[1] in _PICKLE_PROTOCOLS
    if file.suffix.lower() in _TORCH:
        return f"may hold a pickle, which runs code, and is never opened; {EXPORT}"
    if pickled or file.suffix.lower() in _UNOPENED:
        return "may hold a pickle, which runs code, and is never opened; export the model instead"
    if file.suffix.lower() == ".onnx":
        return "no ONNX file: it does not begin with a version"
    return "no model format that is known by its bytes"
