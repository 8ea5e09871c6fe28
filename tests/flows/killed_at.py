"""`python killed_at.py STEP ARGS...`: run muster, and die by SIGKILL when STEP has done its work but not yet kept it."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from components.workspace import files, store


def _die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def arm(step: str) -> None:
    """Kill this process at the last moment before the step's result would be there."""
    if step == "register":
        from registry import models

        models._create_version = _die  # type: ignore[assignment]
        return
    if step == "draft":
        from flows import release

        release.remember = _die  # type: ignore[assignment]
        return
    kept = store.write_json

    def listing(path: Path, value: Any) -> None:
        if path.name == "listing.json" and path.parent.parent.name.split("@")[0] == step:
            _die()
        kept(path, value)

    assert store.write_json is files.write_json
    store.write_json = listing


if __name__ == "__main__":
    arm(sys.argv[1])
    sys.argv = ["muster", *sys.argv[2:]]
    from muster.app import main

    main()
