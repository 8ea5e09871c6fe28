"""What a device takes, what it waits for, and everything it must refuse."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError
from components.workspace.files import write_bytes
from registry import rollout
from registry.contract.reasons import Reason
from registry.contract.times import utc_now
from registry.device import Facts, Refused, Unreachable, check, read_facts
from registry.device.floors import read_floors
from registry.repository import publish, refresh_expiring
from tests.registry.workspaces import (
    artefacts,
    canary,
    facts,
    gateway_artefact,
    image_root,
    make_workspace,
    node_artefact,
    proof,
    release,
    repository_of,
    version,
)

PATH = "fleets/north/gateway-v2/rollout.json"


class Bench:
    """One canary device on a test bench, and an attacker between it and the repository."""

    def __init__(self, workspace: Workspace, folder: Path, variant: str = "gateway-v2") -> None:
        self.workspace, self.state = workspace, folder / "state"
        self.release = rollout.list_releases(workspace)[-1]
        self.facts = canary(workspace, self.release, variant)
        self.place = str(repository_of(workspace))

    def check(self, **changes: Any) -> Any:
        known = Facts.model_validate(self.facts.model_dump() | changes)
        return check(self.place, image_root(self.workspace), known, self.state)

    def refuses(self, *reasons: Reason, **changes: Any) -> None:
        with pytest.raises(Refused) as caught:
            self.check(**changes)
        assert caught.value.reason in reasons

    def offer_with_stolen_online_keys(self, change: Callable[[dict[str, Any]], None], path: str = PATH) -> None:
        """Publish a changed manifest: all that the keys of unattended runs can do."""
        files = sorted((repository_of(self.workspace) / "targets" / path).parent.glob("*.json"), key=lambda f: f.stat().st_mtime)
        manifest = json.loads(files[-1].read_bytes())
        change(manifest)
        publish(self.workspace, {"north": {path: json.dumps(manifest).encode()}}, None)


@pytest.fixture
def bench(released: Workspace, tmp_path: Path) -> Bench:
    return Bench(released, tmp_path)


def metadata_file(bench: Bench, role: str) -> Path:
    found = sorted(repository_of(bench.workspace).glob(f"metadata/*{role}.json"), key=lambda f: int(f.name.split(".")[0]))
    return found[-1]


def test_a_canary_verifies_and_would_install(bench: Bench) -> None:
    decision = bench.check()
    assert (decision.install, decision.reason) == (True, Reason.OFFERED)
    assert decision.self_test == "4 vectors passed in onnxruntime"
    assert decision.manifest.artifact.sha256 == gateway_artefact().sha256


def test_exactly_the_quota_of_the_active_stage_would_install(bench: Bench, tmp_path: Path) -> None:
    offer = bench.release.offer("gateway-v2")
    root, installed = image_root(bench.workspace), []
    for i in range(5, 20):
        known = facts(bench.workspace, f"gw-{i:03}", "gateway-v2", offer)
        decision = check(bench.place, root, known, tmp_path / known.device_id)
        assert decision.reason in (Reason.OFFERED, Reason.NOT_IN_COHORT)
        installed.append(decision.install)
    assert sum(installed) == offer.stages[0].quota == 2


def test_a_microcontroller_is_verified_for_by_its_gateway(released: Workspace, tmp_path: Path) -> None:
    decision = Bench(released, tmp_path, "node-v2").check()
    assert decision.install
    assert "gateway gw-000 verified it; the microcontroller itself runs the self-test" in decision.self_test


def test_what_runs_already_is_not_installed_again(bench: Bench) -> None:
    assert bench.check(running_sha256=gateway_artefact().sha256).reason == Reason.ALREADY_INSTALLED


def test_a_variant_without_a_release_waits(bench: Bench) -> None:
    assert bench.check(firmware_variant="gateway-v9").reason == Reason.NOTHING_OFFERED


def test_a_paused_rollout_enrols_nobody(bench: Bench) -> None:
    bench.offer_with_stolen_online_keys(lambda m: m.update(state="paused", sequence_number=2))
    assert bench.check().reason == Reason.NOT_RUNNING


def test_a_rollout_of_tomorrow_waits(bench: Bench) -> None:
    bench.offer_with_stolen_online_keys(lambda m: m.update(not_before="2999-01-01T00:00:00Z", sequence_number=2))
    assert bench.check().reason == Reason.NOT_YET


@pytest.mark.parametrize("role", ["timestamp", "snapshot", "targets", "fleet-north", "releases"])
def test_any_changed_byte_of_metadata_is_refused(bench: Bench, role: str) -> None:
    """Whatever byte an attacker flips, in content or signatures: no install, and never a crash."""
    file = repository_of(bench.workspace) / "metadata/timestamp.json" if role == "timestamp" else metadata_file(bench, role)
    good = file.read_bytes()
    for position in np.random.default_rng(7).integers(0, len(good), 25):
        file.write_bytes(good[:position] + bytes([good[position] ^ 1]) + good[position + 1 :])
        shutil.rmtree(bench.state, ignore_errors=True)
        with pytest.raises((Refused, Unreachable)):
            bench.check()


@pytest.mark.parametrize("target", ["fleets/north/gateway-v2/*.rollout.json", "artifacts/*.artefact"])
def test_a_changed_or_longer_target_is_refused(bench: Bench, target: str) -> None:
    files = list((repository_of(bench.workspace) / "targets").glob(target))
    good = {f: f.read_bytes() for f in files}
    for file, data in good.items():
        file.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    bench.refuses(Reason.WRONG_DIGEST)
    for file, data in good.items():
        file.write_bytes(data + b"x")
    bench.refuses(Reason.TOO_LARGE)


def test_metadata_signed_by_strangers_is_refused(bench: Bench, tmp_path: Path) -> None:
    """A whole repository, well signed, but not by keys that the image's root leads to."""
    stranger = make_workspace(tmp_path / "stranger")
    from registry.inventory import import_devices

    import_devices(stranger)
    release(stranger)
    bench.place = str(repository_of(stranger))
    bench.refuses(Reason.BAD_SIGNATURE)


def _resigned(bench: Bench, signatures: Callable[[list[Any]], list[Any]]) -> None:
    """Change who signed the releases role; the signatures stand in the file, not in its digest-pinned part."""
    file = metadata_file(bench, "releases")
    value = json.loads(file.read_bytes())
    value["signatures"] = signatures(value["signatures"])
    write_bytes(file, json.dumps(value).encode())


def test_one_of_two_signatures_is_not_enough(bench: Bench) -> None:
    _resigned(bench, lambda s: s[:1])
    bench.refuses(Reason.BAD_SIGNATURE)


def test_the_same_persons_signature_twice_is_not_enough(bench: Bench) -> None:
    _resigned(bench, lambda s: [s[0], s[0]])
    bench.refuses(Reason.BAD_METADATA, Reason.BAD_SIGNATURE)


def test_one_signature_under_two_names_is_not_enough(bench: Bench) -> None:
    _resigned(bench, lambda s: [s[0], {"keyid": s[1]["keyid"], "sig": s[0]["sig"]}])
    bench.refuses(Reason.BAD_SIGNATURE)


def test_old_metadata_is_refused_after_new(bench: Bench, tmp_path: Path) -> None:
    shutil.copytree(repository_of(bench.workspace), tmp_path / "old")
    release(bench.workspace, 2, "b")
    Bench(bench.workspace, tmp_path).check()
    bench.place = str(tmp_path / "old")
    bench.refuses(Reason.METADATA_ROLLBACK)


def test_an_old_manifest_is_refused_even_when_the_metadata_cache_is_lost(bench: Bench, tmp_path: Path) -> None:
    """The floors are kept outside of the cache: a device that lost its cache still remembers the sequence."""
    shutil.copytree(repository_of(bench.workspace), tmp_path / "old")
    release(bench.workspace, 2, "b")
    assert bench.check().manifest.sequence_number == 2
    shutil.rmtree(bench.state / "metadata")
    bench.place = str(tmp_path / "old")
    bench.refuses(Reason.SEQUENCE_ROLLBACK)


def test_online_keys_cannot_take_a_device_back(released: Workspace, tmp_path: Path) -> None:
    """A higher sequence that names an older release: only persons can offer that again, under a new counter."""
    old = _manifest_of(released)
    release(released, 2, "b")
    bench = Bench(released, tmp_path)
    assert bench.check().install
    bench.offer_with_stolen_online_keys(lambda m: m.update(old, sequence_number=9))
    bench.refuses(Reason.COUNTER_ROLLBACK)


def test_online_keys_cannot_dress_an_old_artefact_as_new(released: Workspace, tmp_path: Path) -> None:
    old = _manifest_of(released)
    old["artifact"]["release_counter"] = 99
    release(released, 2, "b")
    bench = Bench(released, tmp_path)
    assert bench.check().install
    bench.offer_with_stolen_online_keys(lambda m: m.update(old, sequence_number=9))
    bench.refuses(Reason.NOT_APPROVED)


def _manifest_of(workspace: Workspace) -> dict[str, Any]:
    (file,) = (repository_of(workspace) / "targets/fleets/north/gateway-v2").glob("*.json")
    value = json.loads(file.read_bytes())
    value["cohort"]["salt"] = "north-r2"
    return {"artifact": value["artifact"], "cohort": value["cohort"]}


def test_online_keys_cannot_offer_what_persons_did_not_release(bench: Bench) -> None:
    digest = "ab" * 32
    bench.offer_with_stolen_online_keys(
        lambda m: m["artifact"].update(sha256=digest, path=f"artifacts/{digest}.artefact") or m.update(sequence_number=2)
    )
    bench.refuses(Reason.NOT_APPROVED)


def test_online_keys_cannot_offer_another_hardwares_artefact(bench: Bench) -> None:
    """The manifest claims that it fits; the entry that persons signed says it does not."""
    other = node_artefact()
    change = {"sha256": other.sha256, "path": f"artifacts/{other.sha256}.artefact", "length": other.size}
    bench.offer_with_stolen_online_keys(lambda m: m["artifact"].update(change) or m.update(sequence_number=2))
    bench.refuses(Reason.WRONG_HARDWARE)


def test_online_keys_cannot_widen_the_firmware_range(bench: Bench) -> None:
    bench.offer_with_stolen_online_keys(
        lambda m: m["compatibility"].update(firmware_version=">=1") or m.update(sequence_number=2)
    )
    bench.refuses(Reason.NOT_APPROVED)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda m: m["compatibility"].update(hardware_ids=["node"]), Reason.WRONG_HARDWARE),
        (lambda m: m["compatibility"].update(firmware_version=">=5"), Reason.WRONG_FIRMWARE),
        (lambda m: m["compatibility"]["runtime"].update(name="litert"), Reason.WRONG_RUNTIME),
        (lambda m: m["compatibility"]["runtime"].update(minimal="99"), Reason.WRONG_RUNTIME),
        (lambda m: m.update(fleet_id="south"), Reason.WRONG_FLEET),
        (lambda m: m.update(firmware_variant="gateway-v3"), Reason.WRONG_FLEET),
        (lambda m: m.update(expires="2026-01-01T00:00:00Z"), Reason.MANIFEST_EXPIRED),
        (lambda m: m.update(created_at="2999-01-01T00:00:00Z", expires="2999-02-01T00:00:00Z"), Reason.CLOCK_BEHIND),
        (lambda m: m.update(schema_version=2), Reason.BAD_MANIFEST),
        (lambda m: m.update(upto=1.5), Reason.BAD_MANIFEST),
        (lambda m: m.update(pad="x" * 5000), Reason.BAD_MANIFEST),
    ],
)
def test_a_manifest_for_someone_else_or_of_another_time_is_refused(
    bench: Bench, change: Callable[[dict[str, Any]], None], reason: Reason
) -> None:
    bench.offer_with_stolen_online_keys(change)
    bench.refuses(reason)


def test_a_firmware_that_is_no_version_is_named_as_such(bench: Bench) -> None:
    bench.refuses(Reason.UNPARSABLE_VERSION, firmware_version="2024.10-LTS")


def test_a_device_whose_profile_differs_is_refused(bench: Bench) -> None:
    bench.refuses(Reason.WRONG_HARDWARE, hardware_profile="gateway-arm64")


def test_a_clock_before_the_last_proven_time_stops_the_check(bench: Bench) -> None:
    bench.check()
    with pytest.raises(Refused) as caught:
        check(bench.place, image_root(bench.workspace), bench.facts, bench.state, now=utc_now() - timedelta(days=300))
    assert caught.value.reason == Reason.CLOCK_BEHIND


def test_expired_metadata_is_refused_until_it_is_signed_anew(stocked: Workspace, tmp_path: Path) -> None:
    """A freeze attack shows; a run that changes no release still renews what expires."""
    release(stocked, now=utc_now() - timedelta(days=2))
    bench = Bench(stocked, tmp_path)
    bench.refuses(Reason.METADATA_EXPIRED)
    assert refresh_expiring(stocked) == ("timestamp",)
    assert bench.check().install
    assert refresh_expiring(stocked) == ()


def test_after_a_week_fleet_and_snapshot_are_signed_anew_and_nothing_else_changes(stocked: Workspace, tmp_path: Path) -> None:
    release(stocked, now=utc_now() - timedelta(days=8))
    bench = Bench(stocked, tmp_path)
    bench.refuses(Reason.METADATA_EXPIRED)
    assert refresh_expiring(stocked) == ("fleet-north", "snapshot", "timestamp")
    assert bench.check().manifest.sequence_number == 1


def test_an_artefact_that_computes_something_else_is_refused(stocked: Workspace, tmp_path: Path) -> None:
    """Signed by everyone, and yet it does not give on this device what its proof says: the counter stays down."""
    good = gateway_artefact()
    test = replace(good.self_test, surprise=good.self_test.surprise + 100)
    bad = replace(good, self_test=test).sealed()
    everything = [bad, node_artefact()]
    rollout.draft(stocked, version(1), everything, [proof(a) for a in everything], "pipeline")
    for person in ("ana", "ben"):
        rollout.approve(stocked, "north-r1", person, "looked fine")
    bench = Bench(stocked, tmp_path)
    bench.refuses(Reason.SELF_TEST_FAILED)
    assert read_floors(bench.state).release_counter == {}


def test_two_checks_of_one_device_do_not_share_a_cache(bench: Bench) -> None:
    from filelock import FileLock

    bench.state.mkdir()
    with FileLock(bench.state / ".lock"), pytest.raises(Conflict):
        bench.check()


def test_damaged_floors_are_not_forgotten_silently(bench: Bench) -> None:
    bench.check()
    (bench.state / "floors.json").write_text("{")
    with pytest.raises(InputError, match="damaged"):
        bench.check()


def test_a_folder_that_lacks_something_is_no_server_that_is_unreachable(bench: Bench, tmp_path: Path) -> None:
    for file in repository_of(bench.workspace).glob("targets/artifacts/*"):
        file.unlink()
    bench.refuses(Reason.MISSING)
    bench.place = str(tmp_path / "nowhere")
    bench.refuses(Reason.MISSING)
    bench.place = "http://127.0.0.1:1"
    with pytest.raises(Unreachable):
        bench.check()


def test_facts_from_a_file_are_checked(tmp_path: Path, bench: Bench) -> None:
    file = tmp_path / "device.json"
    file.write_text(bench.facts.model_dump_json())
    assert read_facts(file) == bench.facts
    file.write_text('{"device_id": "gw-1", "fleet": "North!"}')
    with pytest.raises(InputError, match="key fleet"):
        read_facts(file)


def test_a_device_needs_the_light_install_only() -> None:
    """Neither the server's database nor a training stack may be needed on a device."""
    code = "import sys, registry.device; print(sorted(sys.modules.keys() & set(sys.argv[1:])))"
    heavy = ["pandas", "torch", "tensorflow", "mlflow", "sqlalchemy", "alembic", "onnxruntime", "registry.rollout"]
    done = subprocess.run([sys.executable, "-c", code, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_artefacts_of_all_profiles_are_in_the_release(bench: Bench) -> None:
    assert {o.artefact_sha256 for o in bench.release.manifests} == {a.sha256 for a in artefacts()}
