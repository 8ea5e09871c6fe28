"""Many fleets with many firmware variants: what a large user's repository has to hold."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.workspace import Workspace, open_workspace
from registry import rollout
from registry.inventory import import_devices
from registry.keys import init_keys
from tests.registry.workspaces import CONFIGURATION, HEADER, artefacts, make_workspace, proofs, version

_FLEET = """  - name: {name}
    inventory: inventory.csv
    variants:
{variants}
"""


def many_fleets(root: Path, fleets: int, variants: int) -> Workspace:
    """``fleets`` fleets with ``variants`` firmware variants each, one gateway a variant, each with a release that runs.

    The log has every release; nothing was published yet.
    """
    make_workspace(root, people=())
    ranges = "\n".join(f'      - {{name: v{i}, firmware: ">={i},<{i + 1}"}}' for i in range(1, variants + 1))
    names = [f"f{i:03}" for i in range(fleets)]
    head, _, rest = CONFIGURATION.partition("fleets:\n")
    every = "".join(_FLEET.format(name=n, variants=ranges) for n in names)
    tail = rest[rest.index("release:") :]
    (root / "muster.yaml").write_text(f"{head}fleets:\n{every}{tail}")
    rows = [f"{n}-gw-{v},{n},gateway,{v}.0.0,plant,," for n in names for v in range(1, variants + 1)]
    (root / "inventory.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    workspace = open_workspace(root)
    init_keys(workspace, ("ana", "ben"), demo=True)
    import_devices(workspace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("registry.rollout.approval.publish_decided", lambda *_a, **_k: ())
        for drafted in rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline"):
            for person in ("ana", "ben"):
                rollout.approve(workspace, drafted.id, person, "fine")
    return workspace
