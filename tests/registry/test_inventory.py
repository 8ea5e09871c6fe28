"""The inventory says who is out there, or says file and line of what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.workspace.errors import Conflict, InputError, NotFound
from registry.inventory import Import, count_devices, import_devices, list_devices, show_device, variant_of
from tests.registry.workspaces import HEADER, inventory, make_workspace

GATEWAY = "gw-000,north,gateway,2.1.0,plant-1,,"


def rows(*lines: str) -> str:
    return "\n".join([HEADER, *lines]) + "\n"


def test_importing_twice_changes_nothing(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, people=())
    assert import_devices(workspace) == Import(devices=24, added=24, changed=0, removed=0)
    assert import_devices(workspace) == Import(devices=24, added=0, changed=0, removed=0)


def test_a_changed_row_changes_and_a_missing_row_removes_its_device(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, devices=rows(GATEWAY, "gw-001,north,gateway,2.1.0,,,"), people=())
    import_devices(workspace)
    (tmp_path / "inventory.csv").write_text(rows(GATEWAY.replace("2.1.0", "2.2.0")))
    assert import_devices(workspace) == Import(devices=1, added=0, changed=1, removed=1)
    assert show_device(workspace, "gw-000").firmware_version == "2.2.0"
    with pytest.raises(NotFound, match="gw-001"):
        show_device(workspace, "gw-001")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (GATEWAY, "line 3: device 'gw-000' is already at .*line 2"),
        ("gw-001,north,toaster,2.1.0,,,", "line 3: unknown hardware_profile 'toaster'"),
        ("gw-001,north,gateway,2024.10-LTS,,,", "line 3: firmware_version '2024.10-LTS'"),
        ("gw-001,south,gateway,2.1.0,,,", "line 3: fleet 'south' is not kept in this file"),
        ("gw 001,north,gateway,2.1.0,,,", "line 3: device_id 'gw 001'"),
        ("gw-001,north,gateway,2.1.0,,beef,", "line 3: public_key"),
        ("node-1,north,node,2.1.0,,,", "line 3: 'node-1' has a profile with runtime c99 and needs a gateway"),
        ("node-1,north,node,2.1.0,,,gw-9", "line 3: via 'gw-9' is no device"),
        ("gw-001,north,gateway", "line 3: 3 values for 7 columns"),
    ],
)
def test_a_wrong_row_is_named_by_file_and_line(tmp_path: Path, wrong: str, message: str) -> None:
    workspace = make_workspace(tmp_path, devices=rows(GATEWAY, wrong), people=())
    with pytest.raises(InputError, match=f"inventory.csv, {message}"):
        import_devices(workspace)
    assert list_devices(workspace) == []


def test_a_microcontroller_is_no_gateway(tmp_path: Path) -> None:
    lines = rows(GATEWAY, "node-1,north,node,2.0.0,,,gw-000", "node-2,north,node,2.0.0,,,node-1")
    with pytest.raises(InputError, match="cannot verify for others"):
        import_devices(make_workspace(tmp_path, devices=lines, people=()))


def test_other_columns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1: the columns are id, fleet"):
        import_devices(make_workspace(tmp_path, devices="id,fleet\n", people=()))


def test_many_wrong_rows_are_counted_not_listed(tmp_path: Path) -> None:
    lines = rows(*(f"gw-{i},north,toaster,2.0,,," for i in range(30)))
    with pytest.raises(InputError, match="and 22 more"):
        import_devices(make_workspace(tmp_path, devices=lines, people=()))


def test_devices_without_a_variant_are_counted_with_the_reason(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, devices=rows(GATEWAY, "gw-001,north,gateway,9.0,,,"), people=())
    import_devices(workspace)
    groups = {g.firmware: (g.variant, g.reason) for g in count_devices(workspace)}
    assert groups == {"2.1.0": ("gateway-v2", ""), "9.0": (None, "no variant of fleet 'north' takes firmware 9.0")}


def test_a_release_candidate_of_the_firmware_belongs_to_its_range(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, people=())
    assert variant_of(workspace, "north", "gateway", "2.3.0rc1") == ("gateway-v2", "")
    assert variant_of(workspace, "north", "gateway", "3.0.0rc1")[0] is None


def test_ranges_that_overlap_are_refused(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, people=())
    text = (tmp_path / "muster.yaml").read_text().replace('">=3,<4"', '">=2.5,<4"')
    (tmp_path / "muster.yaml").write_text(text)
    from components.workspace import open_workspace

    with pytest.raises(InputError, match="v2 and v3"):
        variant_of(open_workspace(tmp_path), "north", "gateway", "2.6")
    assert variant_of(workspace, "north", "gateway", "2.6")[0] == "gateway-v2"


def test_a_device_of_a_foreign_workspace_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workspaces may share a database; a device belongs to one of them."""
    monkeypatch.setenv("MUSTER_DATABASE_URL", f"sqlite:///{tmp_path / 'shared.db'}")
    import_devices(make_workspace(tmp_path / "a", people=()))
    other = make_workspace(tmp_path / "b", people=())
    text = (other.root / "muster.yaml").read_text().replace("north", "south")
    (other.root / "muster.yaml").write_text(text)
    (other.root / "inventory.csv").write_text(inventory().replace("north", "south"))
    from components.workspace import open_workspace

    with pytest.raises(Conflict):
        import_devices(open_workspace(other.root))
