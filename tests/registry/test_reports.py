"""What a device sends is a contract: other languages sign the same bytes and read the same reasons."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from registry.contract import Report, dsse
from registry.contract.report import MAX_BYTES, OUTCOMES, RUNS, schema
from registry.contract.signed_report import PAYLOAD_TYPE, open_signed, sign
from registry.health.signatures import is_signed
from tests.registry.reporting import key_of, public, report, signed

ROOT = Path(__file__).parents[2]
VECTORS = json.loads((Path(__file__).parent / "report_vectors.json").read_text())
DIGEST = "ab" * 32


def body(**changes: Any) -> bytes:
    return json.dumps(report("gw-000").model_dump(mode="json") | changes).encode()


def test_the_exported_schema_is_that_of_the_model() -> None:
    assert json.loads((ROOT / "registry/contract/report.schema.json").read_text()) == schema()


def test_what_is_signed_is_the_encoding_of_the_standard() -> None:
    """The example of the DSSE protocol."""
    encoded = dsse.pae("http://example.com/HelloWorld", b"hello world")
    assert encoded == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


@pytest.mark.parametrize("vector", VECTORS["signed"], ids=lambda v: v["name"])
def test_the_vectors_hold(vector: dict[str, str]) -> None:
    private = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(vector["private_key"]))
    said = Report.from_bytes(vector["body"].encode())
    assert said.to_bytes().decode() == vector["body"]
    assert dsse.pae(VECTORS["payload_type"], vector["body"].encode()).hex() == vector["pae_hex"]
    assert sign(said, private).decode() == vector["envelope"]
    opened = open_signed(vector["envelope"].encode())
    assert (opened.report, opened.keyid) == (said, vector["keyid"])
    assert opened.sealed.is_signed_by(bytes.fromhex(vector["public_key"]))


def test_base64_for_urls_is_read_too() -> None:
    """The standard lets writers choose."""
    envelope = json.loads(signed("gw-000"))
    envelope["payload"] = base64.urlsafe_b64encode(base64.b64decode(envelope["payload"])).decode()
    envelope["signatures"][0]["sig"] = base64.urlsafe_b64encode(base64.b64decode(envelope["signatures"][0]["sig"])).decode()
    assert open_signed(json.dumps(envelope).encode()).sealed.is_signed_by(bytes.fromhex(public("gw-000")))


def test_every_changed_byte_of_a_body_breaks_the_seal() -> None:
    opened = open_signed(signed("gw-000"))
    key = bytes.fromhex(public("gw-000"))
    assert opened.sealed.is_signed_by(key)
    for place in range(len(opened.sealed.body)):
        changed = bytearray(opened.sealed.body)
        changed[place] ^= 1
        assert not opened.sealed._replace(body=bytes(changed)).is_signed_by(key)


def test_a_body_of_another_type_is_not_signed_by_the_same_signature() -> None:
    """What was signed as an enrolment must not be sold as a report."""
    sealed = dsse.unseal(dsse.seal("application/other", body(), key_of("gw-000")), "application/other", MAX_BYTES)
    assert not sealed._replace(payload_type=PAYLOAD_TYPE).is_signed_by(bytes.fromhex(public("gw-000")))
    with pytest.raises(ValueError, match="payloadType"):
        open_signed(dsse.seal("application/other", body(), key_of("gw-000")))


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_each_outcome_needs_its_evidence(outcome: str) -> None:
    """A written file is no success, and a failure says why."""
    bare = {"outcome": outcome, "reason": None, "running_sha256": None}
    evidence = {"running_sha256": DIGEST} if outcome in RUNS else {"reason": "wrong_digest"}
    if outcome == "started":
        assert Report.from_bytes(body(**bare)).outcome == outcome
        return
    with pytest.raises(ValueError, match="needs"):
        Report.from_bytes(body(**bare))
    assert Report.from_bytes(body(**(bare | evidence))).outcome == outcome


@pytest.mark.parametrize(
    "changes",
    [
        {"schema_version": 2},
        {"counter": 1.0},
        {"counter": "1"},
        {"counter": -1},
        {"counter": 2**53},
        {"counter": True},
        {"attempt": 0},
        {"anomaly_milli": 1001},
        {"outcome": "fine"},
        {"reason": "felt like it"},
        {"running_sha256": "AB" * 32},
        {"device_id": "gw 000"},
        {"device_id": "gw\u0000"},
        {"boot_id": ""},
        {"sent_at": "2026-11-31T12:00:00Z"},
        {"sent_at": "2026-11-21T12:00:00+00:00"},
        {"self_test_passed": 1},
        {"battery": 3},
        {"firmware_variant": None},
    ],
)
def test_what_breaks_the_schema_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError):
        Report.from_bytes(body(**changes))


@pytest.mark.parametrize("twice", ['"counter": 9', '"device_id": "gw-001"', '"outcome": "started"', '"reason": "too_slow"'])
def test_a_key_written_twice_is_refused(twice: str) -> None:
    """Two parsers could read two different reports."""
    with pytest.raises(ValueError, match="twice"):
        Report.from_bytes(body()[:-1] + b", " + twice.encode() + b"}")


@given(st.data())
def test_a_report_survives_its_own_bytes(data: st.DataObject) -> None:
    outcome = data.draw(st.sampled_from(OUTCOMES))
    numbers = st.none() | st.integers(0, 2**53 - 1)
    said = report(
        data.draw(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}", fullmatch=True)),
        data.draw(st.integers(0, 2**53 - 1)),
        outcome=outcome,
        reason=data.draw(st.sampled_from([None, "wrong_digest"])) if outcome in {*RUNS, "started"} else "too_slow",
        running_sha256=DIGEST if outcome in RUNS else None,
        latency_us=data.draw(numbers),
        drift_milli=data.draw(numbers),
        anomaly_milli=data.draw(st.none() | st.integers(0, 1000)),
    )
    assert Report.from_bytes(said.to_bytes()) == said
    assert len(said.to_bytes()) <= MAX_BYTES


@given(st.binary(max_size=5000) | st.just(b"[" * 4000) | st.just(b'{"payload": "*", "payloadType": "x", "signatures": [{}]}'))
def test_no_bytes_raise_anything_but_a_value_error(data: bytes) -> None:
    for read in (Report.from_bytes, open_signed):
        with pytest.raises(ValueError):
            read(data)


def test_too_much_is_refused_before_parsing() -> None:
    with pytest.raises(ValueError, match=str(MAX_BYTES)):
        Report.from_bytes(body() + b" " * MAX_BYTES)
    with pytest.raises(ValueError, match="more than"):
        open_signed(signed("gw-000") + b" " * 4096)


def test_none_and_two_signatures_are_refused() -> None:
    envelope = json.loads(signed("gw-000"))
    for signatures in ([], envelope["signatures"] * 2):
        with pytest.raises(ValueError, match="signatures"):
            open_signed(json.dumps(envelope | {"signatures": signatures}).encode())


@given(st.integers(0, 511), st.integers(0, 255))
def test_the_intake_takes_the_signatures_that_the_contract_takes(bit: int, keyed: int) -> None:
    """Whatever bit of a signature or of a key is flipped; and none that is cut short or too long."""
    sealed, key = open_signed(signed("gw-000")).sealed, bytes.fromhex(public("gw-000"))
    assert is_signed(sealed, key) and sealed.is_signed_by(key)
    forged = sealed._replace(signature=_flipped(sealed.signature, bit))
    assert is_signed(forged, key) is forged.is_signed_by(key) is False
    other = _flipped(key, keyed)
    assert is_signed(sealed, other) is sealed.is_signed_by(other) is False
    for signature in (b"", sealed.signature[:63], sealed.signature + b"\0"):
        assert not is_signed(sealed._replace(signature=signature), key)
    assert not is_signed(sealed, key[:31])


def _flipped(data: bytes, bit: int) -> bytes:
    return bytes(byte ^ (1 << bit % 8) * (place == bit // 8) for place, byte in enumerate(data))
