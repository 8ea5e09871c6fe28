"""Read what validation wrote: the last run's output, or the report of a gate that said no."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.workspace.errors import NotFound

if TYPE_CHECKING:
    import pandas as pd

    from components.workspace import Workspace


def failed_folder(workspace: Workspace) -> Path:
    """Where the report of a refused lake stands; validation that succeeds takes it away."""
    return workspace.state / "reports" / "validate"


def results_folder(workspace: Workspace) -> Path:
    """The folder with `profile.json` and `quarantine.parquet` that a person wants to see now.

    Raises:
        NotFound: nothing was validated yet.
    """
    for folder in (failed_folder(workspace), workspace.out / "validate"):
        if (folder / "profile.json").is_file():
            return folder
    raise NotFound(f"{workspace.root} has no validated data", hint="muster step validate, or muster run, makes them")


def read_profile(folder: Path) -> dict[str, Any]:
    """Counts, reasons, ranges of channels and worst devices."""
    value = dict(json.loads((folder / "profile.json").read_text()))
    value["reasons"] = dict(sorted(value["reasons"].items(), key=lambda pair: -pair[1]))
    return value


def read_quarantine(folder: Path, reason: str = "") -> pd.DataFrame:
    """Rows in quarantine, reason, object and row number first; ``reason`` keeps those whose reason contains it."""
    import pandas as pd

    rows = pd.read_parquet(folder / "quarantine.parquet")
    return rows[rows["reason"].str.contains(reason, regex=False)] if reason else rows
