"""Releases: one model version offered to one fleet, told by one event log.

states.py       the states and every edge between them
events.py       the hash-chained log
release.py      the pure reducer: events -> Release
manifests.py    Release -> the manifests and the `releases` entries that devices read, pure
gate.py         artefacts and proofs -> what may be released at all
draft.py        that, devices and cohorts -> a draft
approval.py     two persons' signatures, or a refusal
starting.py     the moment a release takes its numbers; older ones step back
documents.py    what persons sign, by digest
publication.py  the reconciler: log -> repository
restoring.py    artefacts that the repository lost
verification.py whether logs and repository are still as they were decided

The log is the truth. Whatever the repository lacks, `reconcile` publishes again, and publishing what is there
changes nothing.
"""

from registry.rollout.approval import approve, deny, preview, start
from registry.rollout.draft import draft
from registry.rollout.publication import reconcile
from registry.rollout.query import history, list_releases, show_release
from registry.rollout.release import Offer, Release
from registry.rollout.states import State
from registry.rollout.verification import Verified, verify

__all__ = [
    "Offer",
    "Release",
    "State",
    "Verified",
    "approve",
    "deny",
    "draft",
    "history",
    "list_releases",
    "preview",
    "reconcile",
    "show_release",
    "start",
    "verify",
]
