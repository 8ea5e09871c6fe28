"""Run a module in a process of its own: what it opens may crash it, hang it, or ask for all the memory there is."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from components.workspace.errors import BackendUnreachable, InputError

TIME_LIMIT_S = 1800
_REFUSED = 2
_QUIET = {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1", "TF_ENABLE_ONEDNN_OPTS": "0", "PYTHONWARNINGS": "ignore"}


def run_isolated(module: str, *files: Path, about: str, time_limit_s: int = TIME_LIMIT_S) -> None:
    """``python -m module files``, which ends in `ends`. ``about``: what is opened, for the message.

    Raises:
        InputError: the module refused it, crashed, or did not come to an end.
        BackendUnreachable: a library is not there.
    """
    command = [sys.executable, "-m", module, *map(str, files)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=os.environ | _QUIET, check=False, timeout=time_limit_s)
    except subprocess.TimeoutExpired:
        raise InputError(f"{about}: not done after {time_limit_s} s", hint="make the model smaller") from None
    if not done.returncode:
        return
    said = last_word(done.stderr) or f"ended with {done.returncode}"
    if done.returncode == _REFUSED and said.startswith("{"):
        refused = json.loads(said)
        raise InputError(f"{about}: {refused['message']}", hint=refused["hint"])
    if "No module named" in said:
        raise BackendUnreachable(f"{about}: {said}", hint="pip install 'muster-mlops[pipeline]'")
    raise InputError(f"{about}: not read: {said[:300]}", hint="check the file with the library that wrote it")


def last_word(said: str) -> str:
    """Of a process' standard error the last line that names an error or is no warning's; '' where there is none."""
    lines = [line for line in said.strip().splitlines() if line.strip() and "warnings.warn(" not in line]
    named = [line for line in lines if re.match(r"(\{|\S*(Error|Exception)\b)", line)]
    return (named or lines or [""])[-1]


def ends(main: Callable[..., None], memory: int | None = None) -> None:
    """Call ``main`` with the files of the command line; what it refuses goes to the caller. ``memory``: bytes, at most."""
    if memory is not None:
        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    try:
        main(*(Path(argument) for argument in sys.argv[1:]))
    except InputError as error:
        sys.stderr.write("\n" + json.dumps({"message": error.message, "hint": error.hint}) + "\n")
        sys.exit(_REFUSED)
