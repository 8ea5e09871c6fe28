"""Releases: one model version offered to one fleet, told by one event log.

states.py       the states and every edge between them
events.py       the hash-chained log
release.py      what a release is
replaying.py    the pure reducer: events -> Release
manifests.py    Release -> the manifests and the `releases` entries that devices read, pure
admission.py    artefacts and proofs -> what may be released at all
plan.py         a variant's devices -> exact stages and waves, as cuts of its cohort
draft.py        that, devices and cohorts -> a draft
firmware.py     a firmware image -> a draft, beside the models; firmware_needs.py says whom it brings in
approval.py     two persons' signatures, or a refusal
starting.py     the moment a release takes its numbers; older ones step back
steering.py     what persons do with a release that runs
clock.py        by which time: now, but for a rehearsal that was kept
ticking.py      what needs nobody: watching.py reads reports, evidence.py counts them, eprocess.py and gates.py weigh them,
                policy.py says what is next
telling.py      one more event, and a new sequence number for those who hear of it
documents.py    what persons sign, by digest
publication.py  the reconciler: log -> repository
restoring.py    artefacts that the repository lost
renewing.py     what is released, signed anew by two persons
staffing.py     persons come, go, and get new keys
verification.py whether logs and repository are still as they were decided

The log is the truth. Whatever the repository lacks, `reconcile` publishes again, and publishing what is there
changes nothing.
"""

from registry.rollout.approval import approve, deny, preview, start
from registry.rollout.comparing import Change, changes
from registry.rollout.draft import draft
from registry.rollout.firmware import draft_firmware
from registry.rollout.publication import Rehearsal, reconcile, rehearse
from registry.rollout.query import history, list_releases, show_release
from registry.rollout.release import Offer, Release
from registry.rollout.renewing import Renewal, renew
from registry.rollout.staffing import add_person, remove_person, rotate_person
from registry.rollout.states import State
from registry.rollout.steering import Order, abort, halt, hold, pause, promote, resume, rollback
from registry.rollout.ticking import Taken, View, tick, views
from registry.rollout.verification import Verified, verify

__all__ = [
    "Change",
    "Offer",
    "Order",
    "Rehearsal",
    "Release",
    "Renewal",
    "State",
    "Taken",
    "Verified",
    "View",
    "abort",
    "add_person",
    "approve",
    "changes",
    "deny",
    "draft",
    "draft_firmware",
    "halt",
    "history",
    "hold",
    "list_releases",
    "pause",
    "preview",
    "promote",
    "reconcile",
    "rehearse",
    "remove_person",
    "renew",
    "resume",
    "rollback",
    "rotate_person",
    "show_release",
    "start",
    "tick",
    "verify",
    "views",
]
