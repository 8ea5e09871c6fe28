"""What devices and the registry share: manifest, health report, cohort, signed images, reason codes.

manifest.py   the JSON a device reads; `manifest.schema.json` is its exported schema
report.py     the JSON a device sends before, at and after a change; `report.schema.json` is its exported schema
dsse.py       a signature over bytes and their type
signed_report.py  a report as it travels
enrolment.py  what a device sends to enrol itself
cohort.py     who belongs to a stage: a pure function of a salt and the device's own id
envelope.py   the header of a signed image for a device too small for metadata
reasons.py    why a device did nothing, or refused
times.py      UTC stamps
"""

from registry.contract.cohort import bucket, cut
from registry.contract.manifest import Manifest
from registry.contract.reasons import Reason
from registry.contract.report import Report

__all__ = ["Manifest", "Reason", "Report", "bucket", "cut"]
