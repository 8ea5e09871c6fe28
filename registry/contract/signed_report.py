"""A health report as it travels: sealed by the device, or by the gateway that relays it. A copy is the same report."""

from __future__ import annotations

from typing import Final, NamedTuple

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from registry.contract import dsse
from registry.contract.dsse import Sealed
from registry.contract.report import MAX_BYTES, Report

PAYLOAD_TYPE: Final = "application/vnd.muster.report+json"


class SignedReport(NamedTuple):
    """A report and the seal around it, which nobody has checked yet."""

    report: Report
    sealed: Sealed

    @property
    def keyid(self) -> str:
        return self.sealed.keyid


def sign(report: Report, private_key: Ed25519PrivateKey) -> bytes:
    """The envelope to send, and to send again until it is acknowledged: the same bytes each time."""
    return dsse.seal(PAYLOAD_TYPE, report.to_bytes(), private_key)


def open_signed(data: bytes) -> SignedReport:
    """Parse without trusting.

    Raises:
        ValueError: no envelope of a report.
    """
    sealed = dsse.unseal(data, PAYLOAD_TYPE, MAX_BYTES)
    return SignedReport(Report.from_bytes(sealed.body), sealed)
