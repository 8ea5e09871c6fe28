"""XGBoost's UBJSON becomes its JSON, by XGBoost in a process of its own: a damaged file may end that process.

python -m components.quantization.imported.boosted.ubjson MODEL.ubj OUT.json
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from components.workspace.errors import BackendUnreachable, InputError
from components.workspace.files import write_bytes

MAGIC = b"{L"
"""An object, and a key whose length is a 64-bit number."""
_TIME_LIMIT_S = 600


def as_json(file: Path) -> bytes:
    """Raises:
    InputError: XGBoost does not read ``file``.
    BackendUnreachable: XGBoost is not there.
    """
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "model.json"
        command = [sys.executable, "-m", "components.quantization.imported.boosted.ubjson", str(file), str(made)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise InputError(f"{file}: XGBoost reads it for more than {_TIME_LIMIT_S} s", hint="save it as .json") from None
        if done.returncode == 0 and made.is_file():
            return made.read_bytes()
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    if "No module named" in said:
        raise BackendUnreachable(f"no XGBoost: {said}", hint="pip install 'muster-mlops[pipeline]'")
    raise InputError(f"{file}: XGBoost does not read it: {said[:200]}", hint="save it again, as .json")


def main(file: Path, out: Path) -> None:
    """Write ``out`` whole or not at all."""
    import xgboost as xgb

    booster = xgb.Booster({"nthread": 1})
    try:
        booster.load_model(bytearray(file.read_bytes()))
    except xgb.core.XGBoostError as error:
        sys.exit(str(error).splitlines()[0])
    write_bytes(out, bytes(booster.save_raw("json")))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
