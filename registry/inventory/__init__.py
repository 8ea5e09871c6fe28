"""Devices and fleets: who is out there, with which hardware and firmware, and who verifies for whom.

sources.py    rows of a CSV or Parquet file, or of a database
importing.py  all of them, checked, into the registry's database
firmware.py   whose word counts for a device's firmware: the inventory's, or its own
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
from registry.inventory.firmware import Word, words
from registry.inventory.importing import Import, import_devices

__all__ = [
    "Device",
    "Group",
    "Import",
    "Word",
    "count_devices",
    "count_fleet",
    "devices_of",
    "find_device",
    "import_devices",
    "list_devices",
    "show_device",
    "stored",
    "variant_of",
    "words",
]
