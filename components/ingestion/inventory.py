"""Inventories for workspaces whose devices do not exist: templates, and first workspaces made of files.

The keys are for demonstrations: anyone who knows the seed can make them. Real devices make their own key pair and
give the public half to `muster device enroll`.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields


@dataclass(frozen=True)
class InventoryRow:
    """One device as `inventory.csv` lists it; ``via`` names the gateway of a device that cannot verify metadata."""

    device_id: str
    fleet: str
    hardware_profile: str
    firmware_version: str
    site: str
    public_key: str
    via: str = ""


def demo_private_key(seed: int, device_id: str) -> bytes:
    """The 32 bytes of a simulated device's Ed25519 private key (RFC 8032), derived from the workspace's seed."""
    return hashlib.sha256(f"muster-demo-device-key:{seed}:{device_id}".encode()).digest()


def demo_public_key(seed: int, device_id: str) -> str:
    """The public half of `demo_private_key` in hex."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.from_private_bytes(demo_private_key(seed, device_id))
    return private.public_key().public_bytes_raw().hex()


def inventory_csv(rows: Iterable[InventoryRow]) -> str:
    """The CSV text of an inventory, with its header."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([f.name for f in fields(InventoryRow)])
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue()


def synthetic_inventory(devices: Iterable[str], fleet: str, profiles: tuple[str, ...], seed: int) -> list[InventoryRow]:
    """An invented inventory: profiles in turn, firmware 1.0.0, one site; microcontrollers go through the first gateway."""
    named = [(device, profiles[i % len(profiles)]) for i, device in enumerate(devices)]
    gateway = next((device for device, profile in named if not _is_tiny(profile)), "")
    return [
        InventoryRow(
            device, fleet, profile, "1.0.0", "site-1", demo_public_key(seed, device), via=gateway if _is_tiny(profile) else ""
        )
        for device, profile in named
    ]


def _is_tiny(profile: str) -> bool:
    return profile.startswith("mcu")
