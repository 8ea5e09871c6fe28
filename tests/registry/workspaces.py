"""Small workspaces, artefacts and fleets for these tests: real files, real keys, a real (tiny) network."""

from __future__ import annotations

import functools
from datetime import datetime
from pathlib import Path

import numpy as np

from components.runtime.engines import open_engine
from components.runtime.scaling import Calibration, Converter, Scaling
from components.runtime.scoring import Quantized, Scoring
from components.values import Artefact, Check, Proof
from components.values.artefact import SelfTest
from components.workspace import Workspace, open_workspace
from registry import rollout
from registry.contract.cohort import bucket
from registry.database import open_database, reading
from registry.device import Facts
from registry.inventory import count_devices, devices_of, import_devices, show_device
from registry.keys import init_keys
from registry.models import ModelVersion
from registry.models import register as register_version
from registry.repository.versions import given
from registry.rollout import Offer, Release

STEPS, CHANNELS = 8, 2

CONFIGURATION = """
name: pumps
storage: {source: raw}
telemetry:
  interval_s: 60
  channels:
    - {name: pressure, unit: bar, range: [0, 10]}
    - {name: flow, unit: l/s, range: [0, 5]}
tasks:
  - {name: anomaly, kind: anomaly}
profiles: [gateway, node]
fleets:
  - name: north
    inventory: inventory.csv
    variants:
      - {name: v2, firmware: ">=2,<3"}
      - {name: v3, firmware: ">=3,<4"}
release:
  stages:
    - {name: canary, share: 0.1, soak_s: 60, decided_by: people}
    - {name: half, share: 0.5, soak_s: 60, decided_by: people}
    - {name: all, share: 1.0, soak_s: 60, decided_by: people}
"""
GATEWAY = """
name: gateway
description: a gateway
arch: {family: x86-64, cpu: generic}
memory: {model_flash_kib: 1024, model_ram_kib: 65536}
runtime: {name: onnxruntime, minimal: "1.20"}
"""
NODE = """
name: node
description: a sensor node
arch: {family: armv7e-m, cpu: cortex-m4}
memory: {model_flash_kib: 64, model_ram_kib: 16}
runtime: {name: c99, minimal: "1.0"}
"""
HEADER = "device_id,fleet,hardware_profile,firmware_version,site,public_key,via"


def inventory(gateways: int = 20, nodes: int = 4, newer: int = 5) -> str:
    """``newer`` of the gateways run firmware 3; the nodes hang on the first gateway."""
    rows = [f"gw-{i:03},north,gateway,{'3.0.1' if i < newer else '2.1.0'},plant-1,," for i in range(gateways)]
    rows += [f"node-{i:03},north,node,2.0.0,plant-1,,gw-000" for i in range(nodes)]
    return "\n".join([HEADER, *rows]) + "\n"


def make_workspace(root: Path, *, devices: str | None = None, people: tuple[str, ...] = ("ana", "ben")) -> Workspace:
    root.mkdir(parents=True, exist_ok=True)
    (root / "profiles").mkdir(exist_ok=True)
    (root / "muster.yaml").write_text(CONFIGURATION)
    (root / "profiles/gateway.yaml").write_text(GATEWAY)
    (root / "profiles/node.yaml").write_text(NODE)
    (root / "inventory.csv").write_text(devices or inventory())
    workspace = open_workspace(root)
    if people:
        init_keys(workspace, people, demo=True)
    return workspace


def two_fleets(root: Path) -> Workspace:
    """Fleets north and south, alike but for the names of their devices, imported."""
    make_workspace(root, people=())
    text = (root / "muster.yaml").read_text()
    north = text[text.index("  - name: north") : text.index("release:")]
    (root / "muster.yaml").write_text(text.replace(north, north + north.replace("north", "south")))
    rows = (root / "inventory.csv").read_text()
    southern = rows.partition("\n")[2].replace("north", "south").replace("gw-", "sgw-").replace("node-", "snode-")
    (root / "inventory.csv").write_text(rows + southern)
    workspace = open_workspace(root)
    init_keys(workspace, ["ana", "ben"])
    import_devices(workspace)
    return workspace


def version(number: int = 1) -> ModelVersion:
    return ModelVersion("pumps", number, f"run-{number}")


@functools.cache
def gateway_artefact(label: str = "a") -> Artefact:
    """A network that corrects nothing and embeds the mean of each channel; ``label`` makes different bytes."""
    tensors = {"input": Quantized(6 / 127, 0), "correction": Quantized(6 / 127, 0), "embedding": Quantized(6 / 127, 0)}
    members = {"model.onnx": _network(), "label.txt": label.encode()}
    scaling = Scaling((0,) * CHANNELS, (256,) * CHANNELS)
    raw = np.random.default_rng(7).integers(-20000, 20000, (4, STEPS, CHANNELS)).astype(np.int16)
    codes = scaling.codes(raw)
    verdict = _scoring().verdict(codes, open_engine("onnxruntime", members, tensors)(codes))
    test = SelfTest(raw, scaling, verdict.surprise, verdict.classes, tolerance=2)
    return _artefact("gateway", "onnxruntime", "1.20", members, tensors, test)


@functools.cache
def node_artefact(label: str = "a") -> Artefact:
    scaling = Scaling((0,) * CHANNELS, (256,) * CHANNELS)
    test = SelfTest(np.zeros((4, STEPS, CHANNELS), np.int16), scaling, np.zeros(4, np.int32), {}, tolerance=0)
    members = {"model.c": f"int model_{label}(void) {{ return 0; }}\n".encode()}
    return _artefact("node", "c99", "1.0", members, {}, test)


def artefacts(label: str = "a") -> list[Artefact]:
    return [gateway_artefact(label), node_artefact(label)]


def proof(artefact: Artefact, *, level: str = "native", passed: bool = True, missing: str = "") -> Proof:
    checks = (Check("label_agreement", 0.99 if passed else 0.2, 0.97, passed),)
    return Proof(artefact.profile, artefact.runtime, artefact.sha256, level, "this machine", checks, missing)


def proofs(label: str = "a") -> list[Proof]:
    return [proof(a) for a in artefacts(label)]


def _artefact(
    profile: str, runtime: str, minimal: str, members: dict[str, bytes], tensors: dict[str, Quantized], test: SelfTest
) -> Artefact:
    return Artefact(
        name="pumps",
        profile=profile,
        runtime=runtime,
        runtime_minimal=minimal,
        channels=("pressure", "flow"),
        steps=STEPS,
        tasks={},
        converter=Converter((0.1, 0.1), (0.0, 0.0)),
        calibration=Calibration(0, 256, (1, 1), test.scaling),
        scoring=_scoring(),
        tensors=tensors,
        members=members,
        self_test=test,
        model_digest="0" * 64,
    ).sealed()


def _scoring() -> Scoring:
    return Scoring(
        core=(0, STEPS),
        residual_input=3096,
        residual_output=3096,
        correction_zero=0,
        channel_weight=(256,) * CHANNELS,
        knots=((0, 0), (2048, 1024), (8192, 4096)),
        threshold=2048,
        raise_after=2,
        clear_after=2,
    )


@functools.cache
def _network() -> bytes:
    from onnx import TensorProto, helper

    shape = ["n", STEPS, CHANNELS]
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["input"], ["correction"]),
            helper.make_node("ReduceMean", ["input"], ["embedding"], axes=[1], keepdims=0),
        ],
        "tiny",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, shape)],
        [
            helper.make_tensor_value_info("correction", TensorProto.FLOAT, shape),
            helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["n", CHANNELS]),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return model.SerializeToString()


def register(workspace: Workspace, label: str, configuration: str = "w1", *, level: str = "native") -> ModelVersion:
    """A version of the model registry, with everything of its run."""
    folder = workspace.root / f"run-{label}"
    (folder / "model").mkdir(parents=True, exist_ok=True)
    (folder / "model/model.json").write_text("{}")
    return register_version(
        workspace,
        model_folder=folder / "model",
        artefact_files=[a.save(folder) for a in artefacts(label)],
        proofs=[proof(a, level=level) for a in artefacts(label)],
        metrics={"anomaly/electra/vus_pr": 0.47},
        lineage={"workspace_digest": configuration, "data_digest": "d1"},
    )


def release(workspace: Workspace, number: int = 1, label: str = "a", *, now: datetime | None = None) -> Release:
    """Draft a model version, let two persons approve it, and so start it."""
    (drafted,) = rollout.draft(workspace, version(number), artefacts(label), proofs(label), "pipeline", now=now)
    rollout.approve(workspace, drafted.id, "ana", "fine", now=now)
    return rollout.approve(workspace, drafted.id, "ben", "fine", now=now)


def canary(workspace: Workspace, started: Release, variant: str = "gateway-v2") -> Facts:
    """The facts of the device that is first in line for a variant."""
    offer = started.offer(variant)
    groups = [g for g in count_devices(workspace, fleet=started.fleet) if g.variant == variant]
    device_id = min(devices_of(workspace, groups), key=lambda d: bucket(started.id, d))
    return facts(workspace, device_id, variant, offer)


def facts(workspace: Workspace, device_id: str, variant: str, offer: Offer) -> Facts:
    device = show_device(workspace, device_id)
    return Facts(
        device_id=device_id,
        fleet=device.fleet,
        firmware_variant=variant,
        hardware_profile=offer.profile,
        hardware_revision=device.hardware_revision,
        firmware_version=device.firmware_version,
        runtime=offer.runtime,
        runtime_version="1.0" if offer.runtime == "c99" else None,
        via=device.via,
    )


def image_root(workspace: Workspace) -> bytes:
    """The root metadata that devices have in their image."""
    return (workspace.state / "trust/1.root.json").read_bytes()


def given_of(workspace: Workspace) -> dict[str, int]:
    """Role -> the highest version that was ever given."""
    with reading(open_database(workspace.database_url)) as connection:
        return given(connection)


def repository_of(workspace: Workspace) -> Path:
    return workspace.state / "repository"
