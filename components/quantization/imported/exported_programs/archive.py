"""A copy of an archive that `torch.export.save` wrote, of plain data only."""

from __future__ import annotations

import json
import re
import zipfile
from pathlib import Path
from typing import Any

from components.quantization.imported.exported_programs.program import check_plain, plain_program
from components.quantization.targets.c99.tflite import MOST_BYTES
from components.workspace.errors import InputError

_PROGRAM, _SAMPLES = "models/model.json", "data/sample_inputs/model.pt"
_MARKS = ("archive_format", "archive_version", "byteorder", ".data/version")
_CONFIGS = {"data/weights/": "model_weights_config.json", "data/constants/": "model_constants_config.json"}
_MEMBER = re.compile(r"\w{1,64}")
_AGAIN = "write it with torch.export.save of torch 2.9 or later"


def copy_plain(file: Path, copy: Path) -> None:
    """``file`` without pickles: raw weights, and a program that `plain_program` let through. The samples that come with it are a
    pickle: the copy has an empty file in their place.

    Raises:
        InputError: it is damaged or too large, or its weights are pickled.
    """
    try:
        with zipfile.ZipFile(file) as archive, zipfile.ZipFile(copy, "w") as made:
            prefix = _checked(archive)
            for name in _MARKS:
                made.writestr(prefix + name, archive.read(prefix + name))
            made.writestr(prefix + _PROGRAM, plain_program(archive.read(prefix + _PROGRAM)))
            made.writestr(prefix + _SAMPLES, b"")
            for folder, name in _CONFIGS.items():
                config = archive.read(prefix + folder + name)
                made.writestr(prefix + folder + name, config)
                for member in sorted(_raw(json.loads(config)["config"])):
                    made.writestr(prefix + folder + member, archive.read(prefix + folder + member))
    except (zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, RecursionError, OSError, EOFError) as error:
        raise InputError(f"no exported program: {type(error).__name__}: {error}", hint=_AGAIN) from None


def _checked(archive: zipfile.ZipFile) -> str:
    """The folder that all its members are in."""
    found = archive.infolist()
    if any(info.compress_type != zipfile.ZIP_STORED for info in found) or sum(info.file_size for info in found) > MOST_BYTES:
        raise InputError(f"compressed, or more than {MOST_BYTES:,} bytes", hint=_AGAIN)
    programs = [info.filename for info in found if "/models/" in info.filename]
    if len(programs) != 1 or not programs[0].endswith(_PROGRAM):
        raise InputError(f"{len(programs)} programs; one, called model, is taken", hint=_AGAIN)
    return programs[0].removesuffix(_PROGRAM)


def _raw(config: dict[str, Any]) -> set[str]:
    """Members that hold the tensors of ``config``."""
    check_plain(config)
    members = set()
    for name, told in config.items():
        member = told["path_name"]
        if told["use_pickle"] is not False:
            raise InputError(f"'{name}' is pickled", hint="pickles run code and are never opened; export plain tensors")
        if not _MEMBER.fullmatch(member):
            raise InputError(f"'{name}' is in a file '{member[:100]}'", hint=_AGAIN)
        members.add(member)
    return members
