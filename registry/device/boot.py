"""Which boot this is: new with every start of the machine, so that a report after a boot can be told from one before."""

from __future__ import annotations

import uuid
from functools import cache
from pathlib import Path

_KERNEL = Path("/proc/sys/kernel/random/boot_id")


@cache
def boot_id() -> str:
    """The kernel's, or, where it tells none, one of this process."""
    return _KERNEL.read_text().strip() if _KERNEL.is_file() else str(uuid.uuid4())
