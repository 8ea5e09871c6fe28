"""A profile that contradicts itself is refused with file, line and key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from components.workspace.errors import InputError
from components.workspace.profiles import Profile
from components.workspace.workspace import read_yaml

BARE: dict[str, Any] = {
    "name": "node",
    "description": "a node",
    "arch": {"family": "armv7e-m", "cpu": "cortex-m4"},
    "memory": {"model_flash_kib": 64, "model_ram_kib": 16},
    "runtime": {"name": "c99", "minimal": "1.1"},
    "proof": {"machine": "mps2-an386"},
}


def read(folder: Path, **changes: Any) -> Profile:
    file = folder / "node.yaml"
    file.write_text(yaml.safe_dump(BARE | changes, sort_keys=False))
    return read_yaml(file, Profile)


def test_a_profile_of_required_keys_keeps_every_promise_it_had(tmp_path: Path) -> None:
    profile = read(tmp_path)
    assert profile.exact
    assert profile.ops.allow is None
    assert profile.accuracy.slices == ()
    assert not profile.budget.estimated


def test_exactness_follows_the_runtime(tmp_path: Path) -> None:
    litert = {"runtime": {"name": "litert", "minimal": "2.0"}, "proof": {}}
    assert not read(tmp_path, **litert).exact
    assert read(tmp_path, **litert, numeric={"contract": "exact"}).exact


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"memory": {"flash_kib": 32, "model_flash_kib": 64, "model_ram_kib": 16}}, "model_flash_kib 64 is more than"),
        ({"memory": {"ram_kib": 8, "model_flash_kib": 64, "model_ram_kib": 16}}, "model_ram_kib 16 is more than"),
        ({"memory": {"model_flash_kib": 64, "model_ram_kib": 16, "model_rom_kib": 1}}, "key memory.model_rom_kib"),
        ({"arch": {"family": "armv9", "cpu": "x"}}, "line 4, key arch.family"),
        ({"numeric": {"contract": "tolerance"}}, "repeat every bit"),
        ({"budget": {"cpi": [1.0, 2.0]}}, "cpi needs clock_mhz"),
        ({"budget": {"cpi": [2.0, 1.0], "clock_mhz": 80.0}}, "cpi is \\[low, high\\]"),
        ({"budget": {"cpi": [0.0, 1.0], "clock_mhz": 80.0}}, "cpi is \\[low, high\\]"),
        ({"budget": {"power_mw": 20.0}}, "power_mw needs clock_mhz and cpi"),
        ({"budget": {"energy_uj": 20.0}}, "energy_uj needs power_mw"),
        ({"budget": {"max_instructions": 10}, "proof": {}}, "name one in proof.machine"),
        ({"budget": {"max_instructions": 10}, "proof": {"machine": "qemu-aarch64"}}, "name one in proof.machine"),
        (
            {"budget": {"energy_uj": 1.0, "power_mw": 1.0, "clock_mhz": 1.0, "cpi": [1.0, 1.0]}, "proof": {}},
            "name an emulated board",
        ),
        ({"accuracy": {"slices": ["weekday"]}}, "key accuracy.slices"),
        ({"accuracy": {"min_rows": 0}}, "key accuracy.min_rows"),
        ({"ops": {"allow": []}}, "key ops.allow"),
    ],
)
def test_a_contradiction_is_named(changes: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as refused:
        read(tmp_path, **changes)
    assert "node.yaml, line" in str(refused.value)
