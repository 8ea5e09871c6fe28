"""The manifest's schema is a promise to devices in the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from registry.contract import Manifest, Report
from registry.contract.manifest import MAX_BYTES, schema

ROOT = Path(__file__).parents[2]
DIGEST = "ab" * 32


def value(**changes: Any) -> dict[str, Any]:
    stage = {"name": "all", "quota": 3, "upto": 10_000_000, "bake_seconds": 60}
    gates = {
        "p0_bp": 200,
        "pmax_bp": 1000,
        "alpha_halt_bp": 100,
        "alpha_promote_bp": 500,
        "report_deadline_s": 86400,
        "max_attempts": 3,
    }
    return {
        "schema_version": 1,
        "manifest_id": "north-r1/gateway-v2/1",
        "sequence_number": 1,
        "rollout_id": "north-r1",
        "fleet_id": "north",
        "firmware_variant": "gateway-v2",
        "created_at": "2026-11-21T12:00:00Z",
        "log_head": DIGEST,
        "not_before": "2026-11-21T12:00:00Z",
        "expires": "2027-02-19T12:00:00Z",
        "state": "running",
        "artifact": {
            "name": "pumps",
            "version": 1,
            "model_uri": "models:/pumps/1",
            "length": 100,
            "sha256": DIGEST,
            "path": f"artifacts/{DIGEST}.artefact",
            "release_counter": 1,
        },
        "compatibility": {
            "hardware_ids": ["gateway"],
            "firmware_version": ">=2,<3",
            "runtime": {"name": "onnxruntime", "minimal": "1.20"},
        },
        "cohort": {"algorithm": "sha256-mulshift/1", "salt": "north-r1"},
        "stages": [stage],
        "active_stage": 0,
        "gates": gates,
        "rollback": None,
    } | changes


def encoded(**changes: Any) -> bytes:
    return json.dumps(value(**changes)).encode()


def test_the_exported_schema_is_that_of_the_model() -> None:
    """A change of the schema has to be made on purpose: export it again, and raise schema_version if devices must know."""
    assert json.loads((ROOT / "registry/contract/manifest.schema.json").read_text()) == schema()


def test_a_manifest_survives_its_own_bytes() -> None:
    manifest = Manifest.from_bytes(encoded())
    assert Manifest.from_bytes(manifest.to_bytes()) == manifest
    assert Manifest.from_bytes(manifest.to_bytes()).to_bytes() == manifest.to_bytes()


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"sequence_number": 1.0},
        {"sequence_number": "1"},
        {"sequence_number": 0},
        {"extra": 1},
        {"state": "paused!"},
        {"active_stage": 1},
        {"stages": []},
        {"expires": "2027-02-19"},
        {"expires": "2027-02-30T00:00:00Z"},
        {"compatibility": {**value()["compatibility"], "firmware_version": "about 2"}},
        {"compatibility": {**value()["compatibility"], "hardware_ids": []}},
        {"artifact": {**value()["artifact"], "path": "artifacts/other.artefact"}},
        {"artifact": {**value()["artifact"], "model_uri": "models:/pumps@candidate"}},
        {
            "stages": [
                {"name": "a", "quota": 1, "upto": 9, "bake_seconds": 0},
                {"name": "b", "quota": 1, "upto": 8, "bake_seconds": 0},
            ]
        },
    ],
)
def test_what_breaks_the_schema_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Manifest.from_bytes(encoded(**changes))


def test_a_key_written_twice_is_refused() -> None:
    """Two parsers could read two different manifests."""
    with pytest.raises(ValueError, match="twice"):
        Manifest.from_bytes(encoded()[:-1] + b', "state": "halted"}')


def test_more_than_four_kibibytes_are_refused_before_parsing() -> None:
    with pytest.raises(ValueError, match=str(MAX_BYTES)):
        Manifest.from_bytes(encoded() + b" " * MAX_BYTES)


@given(st.binary(max_size=5000) | st.just(b"[" * 4000))
def test_no_bytes_raise_anything_but_a_value_error(data: bytes) -> None:
    try:
        Manifest.from_bytes(data)
    except ValueError:
        pass
    else:
        pytest.fail("random bytes are no manifest")


def test_success_needs_the_digest_of_what_runs() -> None:
    """A written file is no success: a device that fell back to its old slot must not count as updated."""
    fields = {
        "rollout_id": "north-r1",
        "device_id": "gw-000",
        "firmware_variant": "gateway-v2",
        "sequence_number": 1,
        "attempt": 1,
        "counter": 7,
        "boot_id": "b1",
        "sent_at": "2026-11-21T12:00:00Z",
        "self_test_passed": True,
    }
    with pytest.raises(ValidationError, match="running_sha256"):
        Report(**fields, outcome="installed", running_sha256=None)
    with pytest.raises(ValidationError, match="reason"):
        Report(**fields, outcome="failed", running_sha256=DIGEST)
    assert Report(**fields, outcome="installed", running_sha256=DIGEST).key == ("north-r1", "gw-000", 1, 7)
