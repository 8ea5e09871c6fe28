"""Why a device did nothing, or refused. The words are part of the contract: they are reported and counted."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    # Nothing to do: the device waits, which is no failure.
    NOTHING_OFFERED = "nothing_offered"
    NOT_RUNNING = "not_running"
    NOT_YET = "not_yet"
    NOT_IN_COHORT = "not_in_cohort"
    PINNED = "pinned"
    OUTSIDE_WINDOW = "outside_window"
    NOT_WITHDRAWN = "not_withdrawn"
    ALREADY_INSTALLED = "already_installed"
    BACKING_OFF = "backing_off"
    GIVEN_UP = "given_up"
    HANDED_OVER = "handed_over"
    # To install.
    OFFERED = "offered"
    # Refused: metadata or transport.
    UNREACHABLE = "unreachable"
    MISSING = "missing"
    TOO_SLOW = "too_slow"
    TOO_LARGE = "too_large"
    BAD_SIGNATURE = "bad_signature"
    BAD_METADATA = "bad_metadata"
    METADATA_EXPIRED = "metadata_expired"
    METADATA_ROLLBACK = "metadata_rollback"
    # Refused: manifest.
    BAD_MANIFEST = "bad_manifest"
    MANIFEST_EXPIRED = "manifest_expired"
    CLOCK_BEHIND = "clock_behind"
    SEQUENCE_ROLLBACK = "sequence_rollback"
    COUNTER_ROLLBACK = "counter_rollback"
    WRONG_FLEET = "wrong_fleet"
    WRONG_HARDWARE = "wrong_hardware"
    WRONG_FIRMWARE = "wrong_firmware"
    UNPARSABLE_VERSION = "unparsable_version"
    WRONG_RUNTIME = "wrong_runtime"
    # Refused: artefact.
    NOT_APPROVED = "not_approved"
    WRONG_DIGEST = "wrong_digest"
    BAD_ARTEFACT = "bad_artefact"
    SELF_TEST_FAILED = "self_test_failed"
    LATENCY_EXCEEDED = "latency_exceeded"
    # Ended without a verdict on the artefact's content.
    STORAGE_FAILED = "storage_failed"
    INTERRUPTED = "interrupted"
    # Went back because the release was taken back.
    WITHDRAWN = "withdrawn"
    # Firmware: the installer said no or took too long; what it installed did not last.
    INSTALL_FAILED = "install_failed"
    FELL_BACK = "fell_back"
    # Refused: signed image (envelope.py).
    WRONG_SIZE = "wrong_size"
    BAD_MAGIC = "bad_magic"
    UNKNOWN_VERSION = "unknown_version"
    WRONG_KIND = "wrong_kind"
    WRONG_INTERFACE = "wrong_interface"


PASSING = frozenset({Reason.UNREACHABLE, Reason.MISSING, Reason.TOO_SLOW, Reason.METADATA_EXPIRED})
"""Failures that say nothing of the artefact and may be gone at the next attempt."""

AGAIN = PASSING | {Reason.WRONG_DIGEST, Reason.TOO_LARGE, Reason.STORAGE_FAILED, Reason.INTERRUPTED, Reason.INSTALL_FAILED}
"""After which a device tries the same artefact once more. Who sits on the line can spoil a download, and must not keep a device
from a release for ever; a power cut proves nothing, and an installer may have met an empty battery. Beside those that pass, the
registry counts them as failures all the same.
"""
