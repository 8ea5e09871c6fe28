"""The TUF repository: static files that devices verify, on any folder or object store.

store.py      where the files go: a folder, or s3://bucket/prefix
metadata.py   what the files say
versions.py   the versions ever given, for when the files are lost
publish.py    sign and write what changed, in an order that shows every reader a whole repository
roots.py      when a new root may be laid down
reading.py    a device's client that reads a store
mirror.py     the same bytes in another place
audit.py      read it all as a device does

`metadata/<version>.<role>.json`, `metadata/timestamp.json`, `targets/artifacts/<sha256>.<sha256>.artefact`,
`targets/fleets/<fleet>/<variant>/<sha256>.rollout.json`.
"""

from registry.repository.audit import audit
from registry.repository.mirror import mirror, mirror_all, mirrors
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
from registry.repository.store import Overtaken, location, open_store

__all__ = [
    "Basis",
    "InForce",
    "Overtaken",
    "audit",
    "expiring_offline",
    "location",
    "look",
    "mirror",
    "mirror_all",
    "mirrors",
    "open_store",
    "publish",
    "refresh_expiring",
    "unpublished_roots",
    "upload_artefact",
]
