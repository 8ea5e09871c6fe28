"""The TUF repository: static files that devices verify, on any folder or object store.

store.py      where the files go: a folder, or s3://bucket/prefix
metadata.py   what the files say
versions.py   the versions ever given, for when the files are lost
publish.py    sign and write what changed, in an order that shows every reader a whole repository
audit.py      read it all as a device does

`metadata/<version>.<role>.json`, `metadata/timestamp.json`, `targets/artifacts/<sha256>.<sha256>.artefact`,
`targets/fleets/<fleet>/<variant>/<sha256>.rollout.json`.
"""

from registry.repository.audit import audit
from registry.repository.publish import (
    Basis,
    InForce,
    expiring_offline,
    look,
    publish,
    refresh_expiring,
    unpublished_roots,
    upload_artefact,
)
from registry.repository.store import Overtaken, location

__all__ = [
    "Basis",
    "InForce",
    "Overtaken",
    "audit",
    "expiring_offline",
    "location",
    "look",
    "publish",
    "refresh_expiring",
    "unpublished_roots",
    "upload_artefact",
]
