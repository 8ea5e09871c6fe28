"""Devices and fleets: who is out there, with which hardware and firmware, and who verifies for whom.

sources.py    rows of a CSV or Parquet file, or of a database
importing.py  all of them, checked, into the registry's database
devices.py    what is in there, by device and by firmware variant
"""

from registry.inventory.devices import (
    Device,
    Group,
    count_devices,
    count_fleet,
    devices_of,
    find_device,
    list_devices,
    show_device,
    stored,
    variant_of,
)
from registry.inventory.importing import Import, import_devices

__all__ = [
    "Device",
    "Group",
    "Import",
    "count_devices",
    "count_fleet",
    "devices_of",
    "find_device",
    "import_devices",
    "list_devices",
    "show_device",
    "stored",
    "variant_of",
]
