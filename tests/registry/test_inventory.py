"""The inventory says who is out there, or says file and line of what is wrong."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from components.workspace import Workspace, open_workspace
from components.workspace.errors import Conflict, InputError, NotFound
from registry import rollout
from registry.contract.times import utc_now
from registry.inventory import Import, count_devices, import_devices, list_devices, show_device, variant_of
from tests.registry.cli import Run
from tests.registry.rollouts import say
from tests.registry.workspaces import GATEWAY as GATEWAY_PROFILE
from tests.registry.workspaces import HEADER, canary, inventory, make_workspace

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
        ("gw-001,south,gateway,2.1.0,,,", "line 3: fleet 'south' is not kept here"),
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
    with pytest.raises(Conflict):
        import_devices(open_workspace(other.root))


def _table(text: str) -> list[dict[str, str | None]]:
    """Rows of a CSV, with nulls where it says nothing, as other tools write them."""
    return [{k: v or None for k, v in row.items()} for row in csv.DictReader(text.splitlines())]


def _as_parquet(workspace: Workspace, text: str) -> str:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(_table(text)), workspace.root / "inventory.parquet")
    return "inventory.parquet"


def _as_sqlite(workspace: Workspace, text: str) -> str:
    file = workspace.root / "assets.db"
    file.unlink(missing_ok=True)
    _fill(f"sqlite:///{file}", text)
    return f"sqlite:///{file}?table=devices"


def _fill(url: str, text: str) -> None:
    engine = sa.create_engine(url)
    names = text.splitlines()[0].split(",")
    table = sa.Table("devices", sa.MetaData(), *(sa.Column(n, sa.Text) for n in names))
    table.metadata.drop_all(engine)
    table.metadata.create_all(engine)
    with engine.begin() as connection:
        connection.execute(table.insert(), _table(text))
    engine.dispose()


def _from(workspace: Workspace, source: str) -> Workspace:
    file = workspace.root / "muster.yaml"
    file.write_text(re.sub("inventory: .*", f"inventory: '{source}'", file.read_text()))
    return open_workspace(workspace.root)


@pytest.mark.parametrize("kept", [_as_parquet, _as_sqlite])
def test_an_inventory_is_the_same_wherever_it_is_kept(kept: Callable[[Workspace, str], str], tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path, people=())
    import_devices(workspace)
    before = list_devices(workspace)
    moved = _from(workspace, kept(workspace, inventory()))
    assert import_devices(moved) == Import(devices=24, added=0, changed=0, removed=0)
    assert list_devices(moved) == before
    moved = _from(workspace, kept(workspace, rows("gw-1,north,toaster,2.1.0,,,")))
    with pytest.raises(InputError, match="row 1: unknown hardware_profile 'toaster'"):
        import_devices(moved)
    moved = _from(workspace, kept(workspace, "id,fleet\n1,north\n"))
    with pytest.raises(InputError, match="the columns are id, fleet"):
        import_devices(moved)
    assert list_devices(moved) == before


@pytest.mark.slow
def test_an_inventory_is_read_from_postgresql(postgresql: str, tmp_path: Path, muster: Run) -> None:
    """With a query that brings another table into the columns that are wanted."""
    workspace = make_workspace(tmp_path, people=())
    _fill(postgresql.replace("postgresql:", "postgresql+psycopg:"), inventory())
    query = "SELECT device_id, fleet, hardware_profile, firmware_version, site, public_key, via FROM devices WHERE via IS NULL"
    _from(workspace, f"{postgresql}?query={query}")
    assert muster("fleet", "import", tmp_path)[1] == "20 devices: 20 added, 0 changed, 0 removed\n"
    _from(workspace, f"{postgresql}?table=nowhere")
    code, _, error = muster("fleet", "import", tmp_path)
    assert (code, "nowhere" in error) == (2, True)


@pytest.mark.parametrize(
    ("source", "code", "said"),
    [
        ("postgresql://reader:secret@127.0.0.1:1/assets?table=devices", 6, "does not answer"),
        ("mysql://host/assets?table=devices", 2, "no address of a database"),
        ("postgresql://host/assets", 2, "does not say what to read there"),
        ("postgresql://host/assets?rows=3", 2, "does not say what to read there"),
        ("sqlite:////nowhere/assets.db?table=devices", 6, "does not answer"),
        ("gone.parquet", 3, "is not there"),
        ("inventory.csv.parquet", 2, "no valid Parquet"),
    ],
)
def test_a_source_that_cannot_be_read_is_named(source: str, code: int, said: str, tmp_path: Path, muster: Run) -> None:
    workspace = make_workspace(tmp_path, people=())
    (tmp_path / "inventory.csv.parquet").write_text(inventory())
    _from(workspace, source)
    ended, _, error = muster("fleet", "import", tmp_path)
    assert (ended, said in error.replace("\n", " "), "secret" in error) == (code, True, False)


def test_devices_with_another_hardware_revision_belong_to_no_variant(tmp_path: Path) -> None:
    """The profile says which boards it is for; an inventory that says nothing of the board leaves it out, too."""
    header = f"{HEADER},hardware_revision"
    lines = [f"gw-{i},north,gateway,2.1.0,plant-1,,,{r}" for i, r in enumerate(["A", "B", "A", ""])]
    workspace = make_workspace(tmp_path, devices="\n".join([header, *lines]) + "\n", people=())
    import_devices(workspace)
    assert show_device(workspace, "gw-1").hardware_revision == "B"
    assert {g.variant for g in count_devices(workspace)} == {"gateway-v2"}
    (tmp_path / "profiles/gateway.yaml").write_text(GATEWAY_PROFILE + "hardware_revisions: [A, C]\n")
    found = {g.revision: (g.variant, g.reason, g.devices) for g in count_devices(open_workspace(tmp_path))}
    assert found["A"] == ("gateway-v2", "", 2)
    assert found["B"] == (None, "profile 'gateway' is for hardware revisions A, C, not for hardware revision 'B'", 1)
    assert found[""][0] is None


def test_a_fleet_shows_what_its_devices_run(released: Workspace, muster: Run) -> None:
    """As last reported: the model by its version, where a release is known that offered it."""
    device = canary(released, rollout.show_release(released, "north-r1")).device_id
    offer = rollout.show_release(released, "north-r1").offer("gateway-v2")
    say(released, "north-r1", "installed", [device], utc_now())
    shown = json.loads(muster("fleet", "show", "north", released.root, "--json")[1])["data"]["shown"]
    runs = {d["device_id"]: d["runs"] for d in shown}
    assert (runs[device]["model"], runs[device]["sha256"]) == ("pumps 1", offer.artefact_sha256)
    assert [d for d, r in runs.items() if r] == [device]
    assert json.loads(muster("device", "show", device, released.root, "--json")[1])["data"]["runs"] == runs[device]
    assert "pumps 1" in muster("fleet", "show", "north", released.root)[1]
