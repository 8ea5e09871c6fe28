"""Firmware is offered like a model, beside the models, and brings devices in that no model takes yet."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest
from pydantic import ValidationError

from components.workspace import Workspace, open_workspace
from components.workspace.errors import InputError, NotFound, VerificationFailed
from registry import rollout
from registry.contract import envelope
from registry.contract.manifest import Artifact, Manifest
from registry.contract.times import utc_now
from registry.device import check
from registry.device.facts import Facts
from registry.device.floors import Floors
from registry.device.judge import approved_entry, refuse_wrong
from registry.device.refusal import Refused
from registry.health.running import running
from registry.inventory import import_devices
from registry.keys import signer_of
from registry.repository.metadata import artefact_target
from registry.repository.store import open_store
from registry.rollout import Order
from registry.rollout.manifests import entries_of, manifest_of
from registry.rollout.publication import reconcile
from tests.registry.cli import Run
from tests.registry.rollouts import say
from tests.registry.workspaces import (
    HEADER,
    artefacts,
    canary,
    facts,
    image_root,
    make_workspace,
    proofs,
    release,
    repository_of,
    version,
)

IMAGE = b"\x7fELF, or whatever a bootloader of this gateway takes"


def aged(root: Path, *, old: int = 8, header: str = HEADER) -> Workspace:
    """Fleet north, whose variants take firmware 2 and 3, with ``old`` of 20 gateways that have firmware 1."""
    rows = [f"gw-{i:03},north,gateway,{'1.4.0' if i < old else '2.1.0'},plant-1,," for i in range(20)]
    workspace = make_workspace(root, devices="\n".join([header, *rows]) + "\n")
    import_devices(workspace)
    return workspace


@pytest.fixture
def image(tmp_path: Path) -> Path:
    file = tmp_path / "gateway.img"
    file.write_bytes(IMAGE)
    return file


def offered(workspace: Workspace, image: Path, to: str = "2.2.0") -> rollout.Release:
    """The firmware, approved by two persons and published."""
    (drafted,) = rollout.draft_firmware(workspace, image, "gateway", to, "ops")
    rollout.approve(workspace, drafted.id, "ana", "fine")
    return rollout.approve(workspace, drafted.id, "ben", "fine")


def test_firmware_is_drafted_approved_and_ramped_like_a_model(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    started = offered(workspace, image)
    offer = started.offer("gateway-firmware")
    assert (started.kind, started.title, started.state) == ("firmware", "firmware 2.2.0 of gateway", "running")
    assert (offer.devices, offer.firmware, offer.proof_level) == (20, "<=2.2.0", "opaque")
    manifest = manifest_of(started, offer)
    assert manifest.path == "fleets/north/gateway-firmware/rollout.json"
    assert (manifest.artifact.kind, manifest.artifact.firmware_version) == ("firmware", "2.2.0")
    assert manifest.artifact.model_uri == "firmware:/gateway-firmware/2.2.0"
    wider = rollout.promote(workspace, started.id, Order("ana", "fine"))
    assert wider.offer("gateway-firmware").stage == 1
    assert rollout.verify(workspace).published == 2
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest


def test_firmware_and_models_do_not_take_each_others_place(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    running_model = release(workspace)
    (waiting,) = rollout.draft(workspace, version(2), artefacts("b"), proofs("b"), "pipeline")
    started = offered(workspace, image)
    assert rollout.show_release(workspace, running_model.id).state == "running"
    assert rollout.show_release(workspace, waiting.id).state == "waiting_for_approval"
    (newer,) = rollout.draft(workspace, version(3), artefacts("c"), proofs("c"), "pipeline")
    assert rollout.show_release(workspace, waiting.id).state == "superseded"
    assert rollout.show_release(workspace, started.id).state == "running"
    image.write_bytes(IMAGE + b"2")
    (next_one,) = rollout.draft_firmware(workspace, image, "gateway", "2.3.0", "ops")
    for person in ("ana", "ben"):
        rollout.approve(workspace, next_one.id, person, "fine")
    assert rollout.show_release(workspace, started.id).state == "superseded"
    assert rollout.show_release(workspace, newer.id).state == "waiting_for_approval"


def test_the_model_names_the_firmware_that_brings_devices_in(tmp_path: Path, image: Path, muster: Run) -> None:
    """Eight gateways have firmware that no variant takes; the draft says so, and what would change that."""
    workspace = aged(tmp_path / "w")
    (first,) = rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    (skipped,) = first.skipped
    assert (skipped.firmware, skipped.devices, skipped.requires) == ("1.4.0", 8, "")
    assert "no variant of fleet 'north' takes firmware 1.4.0; a firmware release would bring them in" in skipped.reason
    started = offered(workspace, image)
    (second,) = rollout.draft(workspace, version(2), artefacts("b"), proofs("b"), "pipeline")
    assert second.skipped[0].requires == started.id
    shown = muster("release", "show", second.id, workspace.root)[1].replace("\n", " ")
    assert f"firmware release '{started.id}' brings them in" in shown
    rollout.abort(workspace, started.id, Order("ana", "bad"))
    (third,) = rollout.draft(workspace, version(3), artefacts("c"), proofs("c"), "pipeline")
    assert third.skipped[0].requires == ""


def test_a_device_gets_its_model_when_its_firmware_fits(tmp_path: Path, image: Path) -> None:
    """Before, nothing is offered to it; after the update it belongs to a variant, and obeys that one's stage."""
    workspace = aged(tmp_path / "w", old=20)
    firmware = offered(workspace, image)
    with pytest.raises(InputError, match="brings them in"):
        rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    text = (workspace.root / "inventory.csv").read_text()
    updated = [f"gw-{i:03}" for i in range(10)]
    for device in updated:
        text = text.replace(f"{device},north,gateway,1.4.0", f"{device},north,gateway,2.2.0")
    (workspace.root / "inventory.csv").write_text(text)
    import_devices(workspace)
    say_firmware(workspace, firmware, updated)
    view = next(v for v in rollout.views(workspace, firmware))
    assert view.evidence.ok == len([d for d in updated if d in let_in(workspace, firmware)])
    model = release(workspace)
    assert model.offer("gateway-v2").devices == 10
    known = canary(workspace, model)
    assert check(str(repository_of(workspace)), image_root(workspace), known, tmp_path / "device").install
    assert known.device_id in updated


def say_firmware(workspace: Workspace, firmware: rollout.Release, device_ids: list[str]) -> None:
    sha256 = firmware.manifests[0].artefact_sha256
    say(workspace, firmware.id, "installed", device_ids, utc_now(), variant="gateway-firmware", running_sha256=sha256)


def let_in(workspace: Workspace, firmware: rollout.Release) -> list[str]:
    from registry.contract.cohort import bucket
    from registry.inventory import list_devices

    upto = firmware.manifests[0].cuts[-1].upto
    late = firmware.manifests[0].deferred
    return [d.device_id for d in list_devices(workspace) if bucket(firmware.id, d.device_id) < upto and d.device_id not in late]


def test_a_firmware_is_not_the_model_that_a_device_runs(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    firmware = offered(workspace, image)
    say_firmware(workspace, firmware, ["gw-000"])
    assert running(workspace, ["gw-000"]) == {}


def test_firmware_is_taken_back_to_the_one_before(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    first = offered(workspace, image)
    image.write_bytes(IMAGE + b"2")
    second = offered(workspace, image, "2.3.0")
    back = rollout.rollback(workspace, second.id, Order("ana", "it does not boot"))
    manifest = manifest_of(back, back.manifests[0])
    assert (manifest.state, manifest.artifact.firmware_version) == ("rollback", "2.2.0")
    assert manifest.artifact.sha256 == first.manifests[0].artefact_sha256
    assert rollout.verify(workspace).published


def test_a_lost_firmware_is_put_back_from_the_workspace(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    started = offered(workspace, image)
    sha256 = started.manifests[0].artefact_sha256
    stored = repository_of(workspace) / f"targets/artifacts/{sha256}.{sha256}.artefact"
    stored.unlink()
    image.unlink()
    assert reconcile(workspace) == (f"artifacts/{sha256}.artefact",)
    assert stored.read_bytes() == IMAGE
    stored.unlink()
    (workspace.state / f"firmware/{sha256}.image").write_bytes(b"another")
    with pytest.raises(VerificationFailed, match="was changed"):
        reconcile(workspace)
    (workspace.state / f"firmware/{sha256}.image").unlink()
    with pytest.raises(NotFound, match="is lost"):
        reconcile(workspace)


def envelope_of(workspace: Workspace, *, profile: str = "gateway", persons: tuple[str, ...] = ("ana", "ben")) -> bytes:
    import hashlib

    header = envelope.Header(
        kind=envelope.Kind.FIRMWARE,
        interface=(1, 0),
        sequence=7,
        profile_sha256=envelope.profile_digest(profile),
        payload_length=len(IMAGE),
        payload_sha256=hashlib.sha256(IMAGE).digest(),
        artefact_sha256=bytes(32),
    )
    signers = [signer_of(workspace, f"people/{p}") for p in persons]
    made = [
        envelope.Signature(
            envelope.key_id(bytes.fromhex(s.public_key.keyval["public"])), bytes.fromhex(s.sign(header.signed_bytes()).signature)
        )
        for s in signers
    ]
    from dataclasses import replace

    return replace(header, signatures=tuple(made)).to_bytes() + IMAGE


def test_a_signed_image_is_checked_as_its_devices_check_it(tmp_path: Path, image: Path) -> None:
    workspace = aged(tmp_path / "w")
    image.write_bytes(envelope_of(workspace))
    (drafted,) = rollout.draft_firmware(workspace, image, "gateway", "2.2.0", "ops", dry_run=True)
    assert drafted.manifests[0].proof_level == "signed-image"
    for wrong, reason in (
        (envelope_of(workspace, profile="node"), "wrong_hardware"),
        (envelope_of(workspace, persons=("ana", "ana")), "bad_signature"),
        (envelope_of(workspace) + b"?", "wrong_size"),
    ):
        image.write_bytes(wrong)
        with pytest.raises(VerificationFailed, match=reason):
            rollout.draft_firmware(workspace, image, "gateway", "2.2.0", "ops")
    assert rollout.list_releases(workspace) == []


def test_the_command_line_of_firmware(tmp_path: Path, image: Path, muster: Run) -> None:
    workspace = aged(tmp_path / "w")
    these = ("release", "draft", workspace.root, "--firmware-image", image, "--profile", "gateway")
    code, output, error = muster(*these, "--firmware-version", "2.2.0", "--fleet", "north", "--dry-run", "--json")
    assert (code, json.loads(output)["data"][0]["manifests"][0]["firmware_version"], "dry run" in error) == (0, "2.2.0", True)
    assert rollout.list_releases(workspace) == []
    assert "firmware 2.2.0 of gateway" in muster(*these, "--firmware-version", "2.2.0")[1]
    assert len(rollout.list_releases(workspace)) == 1
    assert muster(*these, "--firmware-version", "2.2.0")[0] == 0
    assert len(rollout.list_releases(workspace)) == 1, "the same image is drafted once"
    for wrong, expected in (
        (("--firmware-version", "2024.10-LTS"), 2),
        (("--firmware-version", "2.2.0+local"), 2),
        (("--firmware-version", "2.2.0", "--version", "7"), 2),
        ((), 2),
        (("--firmware-version", "1.0"), 2),
        (("--firmware-version", "2.2.0", "--fleet", "south"), 3),
    ):
        assert muster(*these, *wrong)[0] == expected
    assert muster(*these[:4], tmp_path / "gone.img", *these[5:], "--firmware-version", "2.2.0")[0] == 3
    assert muster(*these[:6], "toaster", "--firmware-version", "2.2.0")[0] == 3


def test_firmware_says_what_it_installs_over(tmp_path: Path, image: Path) -> None:
    """Devices below are left out and named as such; the range stands in the manifest and in what persons sign."""
    rows = [f"gw-{i:03},north,gateway,{('1.2.0', '1.4.0', '2.1.0')[i % 3]},plant-1,," for i in range(21)]
    workspace = make_workspace(tmp_path / "w", devices="\n".join([HEADER, *rows]) + "\n")
    import_devices(workspace)
    (drafted,) = rollout.draft_firmware(workspace, image, "gateway", "2.2.0", "ops", over=">=1.4")
    (offer,), (left_out,) = drafted.manifests, drafted.skipped
    assert (offer.devices, offer.firmware) == (14, ">=1.4,<=2.2.0")
    assert (left_out.firmware, left_out.devices, left_out.requires) == ("1.2.0", 7, "")
    assert "installs over >=1.4,<=2.2.0; a firmware release would bring them there" in left_out.reason
    for person in ("ana", "ben"):
        rollout.approve(workspace, drafted.id, person, "fine")
    started = rollout.show_release(workspace, drafted.id)
    manifest = manifest_of(started, started.manifests[0])
    assert manifest.compatibility.firmware_version == ">=1.4,<=2.2.0"
    (entry,) = entries_of(started, {}).values()
    assert entry.custom["fleets"]["north"]["firmware"] == [">=1.4,<=2.2.0"]
    with pytest.raises(Refused, match="wrong_firmware"):
        refuse_wrong(manifest, gateway_facts(workspace, started, firmware_version="1.2.0"), Floors(), utc_now(), "firmware")
    refuse_wrong(manifest, gateway_facts(workspace, started, firmware_version="1.4"), Floors(), utc_now(), "firmware")
    assert rollout.draft_firmware(workspace, image, "gateway", "2.2.0", "ops", over=">=1.4")[0].id == drafted.id
    (wider,) = rollout.draft_firmware(workspace, image, "gateway", "2.2.0", "ops", over=">=1.2")
    assert (wider.id, wider.skipped) == ("north-r2", ()), "another range is another promise"


@pytest.mark.parametrize("over", ["<2", "1.4", ">=x", "~=1.4"])
def test_what_it_installs_over_is_a_lower_bound(tmp_path: Path, image: Path, over: str, muster: Run) -> None:
    """Who has installed it still belongs to it, so that its own version has to be in the range."""
    workspace = aged(tmp_path / "w")
    these = ("release", "draft", workspace.root, "--firmware-image", image, "--profile", "gateway", "--firmware-version", "2.2.0")
    code, _, error = muster(*these, "--over", over)
    assert (code, "--over '>=1.4'" in error) == (2, True)
    assert rollout.list_releases(workspace) == []


def test_a_chain_of_firmware_is_named_in_its_order(tmp_path: Path, image: Path) -> None:
    """A model needs firmware 3, which installs over 2 only, and devices have 1."""
    rows = [f"gw-{i:03},north,gateway,{'1.0.0' if i < 8 else '2.0.0'},plant-1,," for i in range(20)]
    workspace = make_workspace(tmp_path / "w", devices="\n".join([HEADER, *rows]) + "\n")
    settings = tmp_path / "w/muster.yaml"
    settings.write_text(settings.read_text().replace('      - {name: v2, firmware: ">=2,<3"}\n', ""))
    workspace = open_workspace(tmp_path / "w")
    import_devices(workspace)
    second = offered(workspace, image, "2.0.0")
    image.write_bytes(IMAGE + b"3")
    (third,) = rollout.draft_firmware(workspace, image, "gateway", "3.0.0", "ops", over=">=2")
    (left_out,) = third.skipped
    assert left_out.requires == second.id
    assert f"firmware release '{second.id}' brings them there" in left_out.reason
    with pytest.raises(InputError, match=f"firmware releases '{second.id}' and then '{third.id}' bring them in"):
        rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")
    for person in ("ana", "ben"):
        rollout.approve(workspace, third.id, person, "fine")
    with pytest.raises(InputError, match=rf"bring them in \(no longer offered: '{second.id}'; draft the image with --again\)"):
        rollout.draft(workspace, version(), artefacts(), proofs(), "pipeline")


def test_a_draft_keeps_waiting_firmware_that_its_devices_need_before(tmp_path: Path, image: Path, muster: Run) -> None:
    """2.4 over 2 runs, 2.0 over 1.4 waits, and 3.0 is drafted over 2.4: the way it names stays open; what it costs is said."""
    firmware = ["1.4.0"] * 5 + ["2.0.0"] * 7 + ["2.4.0"] * 10
    rows = [f"gw-{i:03},north,gateway,{has},plant-1,," for i, has in enumerate(firmware)]
    workspace = make_workspace(tmp_path / "w", devices="\n".join([HEADER, *rows]) + "\n")
    import_devices(workspace)

    def draft(to: str, over: str, *more: str) -> str:
        image.write_bytes(IMAGE + to.encode())
        these = ("--firmware-image", image, "--profile", "gateway", "--firmware-version", to, "--over", over)
        code, output, _ = muster("release", "draft", workspace.root, *these, *more)
        assert code == 0
        return " ".join(output.split())

    def state(release_id: str) -> str:
        return rollout.show_release(workspace, release_id).state.value

    draft("2.4.0", ">=2")
    for person in ("ana", "ben"):
        assert muster("release", "approve", "north-r1", workspace.root, "--person", person, "--reason", "fine")[0] == 0
    said = draft("2.0.0", ">=1.4")
    assert "takes north-r1 (firmware 2.4.0) out of offer, which 7 devices still need" in said
    for more in (("--dry-run",), ()):
        said = draft("3.0.0", ">=2.4", *more)
        assert "firmware releases 'north-r2' and then 'north-r1' bring them there" in said
        assert "takes north-r1 (firmware 2.4.0) out of offer, which 12 devices still need" in said
        assert "takes north-r2 (firmware 2.0.0) out of offer, which 5 devices still need" in said
    assert (state("north-r1"), state("north-r2"), state("north-r3")) == (
        "running",
        "waiting_for_approval",
        "waiting_for_approval",
    )
    shown = " ".join(muster("release", "show", "north-r3", workspace.root)[1].split())
    assert "which 12 devices still need" in shown
    draft("2.0.1", ">=1.4")
    assert (state("north-r2"), state("north-r3")) == ("superseded", "superseded"), "nobody needs them before this one"


def test_firmware_that_nobody_can_take_yet_names_what_brings_them_there(tmp_path: Path, image: Path, muster: Run) -> None:
    workspace = aged(tmp_path / "w", old=20)
    started = offered(workspace, image)
    image.write_bytes(IMAGE + b"3")
    these = ("--firmware-image", image, "--profile", "gateway", "--firmware-version", "3.0.0", "--over", ">=2.2")
    code, _, error = muster("release", "draft", workspace.root, *these)
    assert (code, f"firmware release '{started.id}' brings them there" in " ".join(error.split())) == (2, True)


# What devices make of it


def test_what_was_published_before_there_was_firmware_reads_as_it_did(released: Workspace) -> None:
    """The fields are written only where they say something."""
    found = rollout.show_release(released, "north-r1")
    for offer in found.manifests:
        text = manifest_of(found, offer).to_bytes().decode()
        assert "kind" not in text
        assert "hardware_revisions" not in text
    for entry in entries_of(found, {}).values():
        assert set(entry.custom) == {"hardware_ids", "runtime", "fleets"}


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "bootloader"},
        {"kind": "firmware"},
        {"kind": "firmware", "firmware_version": "2.2.0"},
        {"firmware_version": "2.2.0"},
        {"kind": "firmware", "model_uri": "firmware:/gateway-firmware/2.2.0"},
        {"kind": "firmware", "model_uri": "firmware:/g/x", "firmware_version": "2024.10-LTS"},
    ],
)
def test_an_unknown_or_contradictory_kind_is_no_manifest(released: Workspace, wrong: dict[str, str]) -> None:
    """A device does nothing with it."""
    found = rollout.show_release(released, "north-r1")
    artifact = manifest_of(found, found.manifests[0]).artifact.model_dump(mode="json")
    assert Artifact.model_validate(artifact)
    with pytest.raises(ValidationError):
        Artifact.model_validate(artifact | wrong)


def gateway_facts(workspace: Workspace, started: rollout.Release, **more: object) -> Facts:
    known = facts(workspace, "gw-000", started.manifests[0].variant, started.manifests[0])
    return known.model_copy(update={"running_sha256": None, **more})


def test_a_client_of_models_refuses_firmware_and_what_is_called_so(tmp_path: Path, image: Path) -> None:
    """Nobody who stole a fleet's key has a model flashed as firmware: two persons said which it is."""
    workspace = aged(tmp_path / "w")
    started = offered(workspace, image)
    manifest = manifest_of(started, started.manifests[0])
    known = gateway_facts(workspace, started)
    with pytest.raises(Refused, match="wrong_kind"):
        refuse_wrong(manifest, known, Floors(), utc_now())
    (entry,) = entries_of(started, {}).values()
    assert approved_entry(entry, manifest, known, Floors()) == entry
    called_model = artefact_target(entry.hashes["sha256"], entry.length, {k: v for k, v in entry.custom.items() if k != "kind"})
    with pytest.raises(Refused, match="approved as model, offered as firmware"):
        approved_entry(called_model, manifest, known, Floors())


def test_another_hardware_revision_is_refused_by_manifest_and_approval(tmp_path: Path) -> None:
    """Both are looked at, so that no fleet's key can widen what persons have said."""
    header = f"{HEADER},hardware_revision"
    rows = [f"gw-{i:03},north,gateway,2.1.0,plant-1,,,{'AB'[i % 2]}" for i in range(20)]
    make_workspace(tmp_path / "w", devices="\n".join([header, *rows]) + "\n")
    profile = tmp_path / "w/profiles/gateway.yaml"
    profile.write_text(profile.read_text() + "hardware_revisions: [A, C]\n")
    workspace = open_workspace(tmp_path / "w")
    import_devices(workspace)
    started = release(workspace)
    offer = started.manifests[0]
    assert (offer.devices, offer.hardware_revisions, started.skipped[0].devices) == (10, ("A", "C"), 10)
    manifest, (entry, *_) = manifest_of(started, offer), entries_of(started, {}).values()
    open_manifest = manifest.model_copy(
        update={"compatibility": manifest.compatibility.model_copy(update={"hardware_revisions": ()})}
    )
    for revision in ("B", ""):
        known = facts(workspace, "gw-001", offer.variant, offer).model_copy(update={"hardware_revision": revision})
        with pytest.raises(Refused, match="wrong_hardware"):
            refuse_wrong(manifest, known, Floors(), utc_now())
        refuse_wrong(open_manifest, known, Floors(), utc_now())
        with pytest.raises(Refused, match="wrong_hardware"):
            approved_entry(entry, open_manifest, known, Floors())
    known = facts(workspace, "gw-000", offer.variant, offer)
    refuse_wrong(manifest, known, Floors(), utc_now() + timedelta(minutes=1))
    assert approved_entry(entry, manifest, known, Floors())
    assert open_store(workspace).read("metadata/timestamp.json")
