"""What a device fetches to know what to run: requests and bytes of bodies, beside how many fleets the repository serves.

    python -m benchmarks.device_traffic [--fleets 100] [--write docs/benchmarks.md]

Every fleet has ten firmware variants, so 100 fleets are 1,000 manifests. The repository is made by drafting and approving a
release in each fleet, and served by a server that counts. Artefacts are counted apart: they are as large as models are.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from components.workspace import Workspace, open_workspace
from registry import rollout
from registry.contract.cohort import bucket
from registry.device import Facts, check
from registry.inventory import import_devices
from registry.keys import init_keys
from tests.registry.servers import folder_server
from tests.registry.workspaces import (
    HEADER,
    gateway_artefact,
    image_root,
    make_workspace,
    proof,
    repository_of,
    version,
)

MARK = "<!-- measured: device traffic -->"
VARIANTS = range(1, 11)
AIMS = {
    "cold, outside of the stage": 50_000,
    "cold, in the stage": 50_000,
    "nothing changed": 500,
    "another fleet's release changed": 10_000,
    "its own release changed": 10_000,
}
"""Bytes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--fleets", type=int, default=100)
    parser.add_argument("--write", type=Path, help="page whose table is replaced")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = traffic(many_fleets(Path(folder) / "w", asked.fleets), Path(folder) / "device")
    lines = [f"| {asked.fleets * len(VARIANTS):,} manifests | requests | bytes | aim | reached |", "|---|---:|---:|---:|---|"]
    lines += [
        f"| {what} | {n} | {size:,} | {AIMS[what]:,} | {'yes' if size <= AIMS[what] else 'no'} |"
        for what, (n, size) in measured.items()
    ]
    table = "\n".join(lines)
    print(table)
    if asked.write:
        before, _, rest = asked.write.read_text().partition(MARK)
        asked.write.write_text(f"{before}{MARK}\n{table}\n{MARK}{rest.partition(MARK)[2]}")


def many_fleets(root: Path, count: int) -> Workspace:
    """A release runs in each of so many fleets, with a manifest for each of ten variants."""
    make_workspace(root, people=())
    text = (root / "muster.yaml").read_text()
    ranges = "".join(f'      - {{name: v{k}, firmware: ">={k},<{k + 1}"}}\n' for k in VARIANTS)
    names = [f"f{i:03}" for i in range(count)]
    fleets = "".join(f"  - name: {name}\n    inventory: inventory.csv\n    variants:\n{ranges}" for name in names)
    north = text[text.index("  - name: north") : text.index("release:")]
    (root / "muster.yaml").write_text(text.replace(north, fleets))
    rows = [f"{name}-{k}-{j},{name},gateway,{k}.1,site,," for name in names for k in VARIANTS for j in range(2)]
    (root / "inventory.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    workspace = open_workspace(root)
    init_keys(workspace, ["ana", "ben"])
    import_devices(workspace)
    artefact = gateway_artefact()
    for drafted in rollout.draft(workspace, version(), [artefact], [proof(artefact)], "benchmark"):
        for person in ("ana", "ben"):
            rollout.approve(workspace, drafted.id, person, "benchmark")
    return workspace


def traffic(workspace: Workspace, state: Path) -> dict[str, tuple[int, int]]:
    """What happened -> (requests, bytes of bodies) of one check; two devices of the first fleet, of which one is a canary."""
    inside, outside = sorted(("f000-2-0", "f000-2-1"), key=lambda device: bucket("f000-r1", device))
    known = Facts(
        device_id=outside,
        fleet="f000",
        firmware_variant="gateway-v2",
        hardware_profile="gateway",
        firmware_version="2.1",
        runtime="onnxruntime",
    )
    measured = {}
    with folder_server(repository_of(workspace)) as served:

        def ask(facts: Facts) -> tuple[int, int]:
            served.requests.clear()
            served.sent = 0
            decision = check(served.url, image_root(workspace), facts, state / facts.device_id)
            artefact = decision.manifest.artifact.length if decision.install and decision.manifest else 0
            return len(served.requests) - bool(artefact), served.sent - artefact

        measured["cold, outside of the stage"] = ask(known)
        measured["cold, in the stage"] = ask(known.model_copy(update={"device_id": inside}))
        measured["nothing changed"] = ask(known)
        for what, fleet in (("another fleet's release changed", "f001"), ("its own release changed", "f000")):
            rollout.pause(workspace, f"{fleet}-r1", rollout.Order("ana", "benchmark"))
            measured[what] = ask(known)
    return measured


if __name__ == "__main__":
    main()
