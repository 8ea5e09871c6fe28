"""Run `muster` as a user does, on a fleet small enough for tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from components.ingestion.scaffold import copy_profiles

QUICK = {"width": 16, "blocks": 2, "pretrain_steps": 60, "finetune_steps": 80, "batch": 64, "learning_rate": 0.008}


def muster(*args: object, check: int | None = 0, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own; ``check`` is the exit code it must have."""
    done = subprocess.run(
        [sys.executable, "-m", "muster", *map(str, args)],
        capture_output=True,
        text=True,
        timeout=600,
        env=os.environ | (env or {}),
        check=False,
    )
    if check is not None:
        assert done.returncode == check, f"{args}: exit {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


def small_pumps(checkout: Path, root: Path) -> Path:
    """The default workspace with a quarter of its pumps, a quick model, and gates that a quick model can pass."""
    root.mkdir(parents=True)
    origin = checkout / "examples" / "pumps"
    settings: dict[str, Any] = yaml.safe_load((origin / "muster.yaml").read_text())
    settings["model"] = QUICK
    (root / "muster.yaml").write_text(yaml.safe_dump(settings, sort_keys=False))
    for name in ("labeling.py", "rules.yaml"):
        (root / name).write_text((origin / name).read_text())
    copy_profiles(root)
    for file in (root / "profiles").glob("*.yaml"):
        change(
            file,
            lambda profile: profile.setdefault("numeric", {}).update(
                min_label_agreement=0.8, max_metric_drop=0.3, min_rank_correlation=0.8
            ),
        )
    spec = importlib.util.spec_from_file_location("small_source", origin / "source.py")
    assert spec is not None
    assert spec.loader is not None
    source = importlib.util.module_from_spec(spec)
    sys.modules["small_source"] = source
    spec.loader.exec_module(source)
    source.GATEWAYS = 1
    source.write(root, None, 7)
    return root


def change(file: Path, edit: Any) -> None:
    """Apply ``edit`` to the content of a YAML file."""
    value = yaml.safe_load(file.read_text())
    edit(value)
    file.write_text(yaml.safe_dump(value, sort_keys=False))
