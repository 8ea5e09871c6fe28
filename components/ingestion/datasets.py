"""Where published data sets lie on this machine: an argument, MUSTER_DATASETS, or a folder beside the checkout."""

from __future__ import annotations

import os
from pathlib import Path

from components.workspace.errors import NotFound

VARIABLE = "MUSTER_DATASETS"
BESIDE = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"


def dataset_folder(data: Path | None, name: str, published: str) -> Path:
    """The folder of the data set ``name``; ``published`` says where a user gets it.

    Raises:
        NotFound: it is nowhere.
    """
    folder = data or Path(os.environ.get(VARIABLE) or BESIDE) / name
    if not folder.is_dir():
        raise NotFound(
            f"no folder {folder} with the data set '{name}'",
            hint=f"get it from {published}, then give its folder with --data, or the folder above it in {VARIABLE}",
        )
    return folder


def dataset_file(folder: Path, name: str, published: str) -> Path:
    """A file of a data set."""
    if not (folder / name).is_file():
        raise NotFound(f"no file {name} in {folder}", hint=f"get it from {published}; the template's README lists the files")
    return folder / name
