"""Whose signature counts as whose: keys come by operators, inventories and tokens, and none comes back once it is gone."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from components.workspace import Workspace
from components.workspace.errors import Conflict, InputError, NotFound, VerificationFailed
from registry import database
from registry.contract.enrolment import sign_request
from registry.contract.times import utc_now
from registry.database import open_database
from registry.health import keys
from registry.health.enrolment import enroll, enroll_itself, revoke, states
from registry.health.tokens import issue
from registry.inventory import Import, import_devices, show_device
from tests.registry.cli import Run
from tests.registry.reporting import key_of, public
from tests.registry.test_commands import document


def inventory_with(workspace: Workspace, **keys: str) -> None:
    file = workspace.root / "inventory.csv"
    lines = [line.split(",") for line in file.read_text().splitlines()]
    file.write_text("\n".join(",".join([*row[:5], keys.get(row[0], row[5]), row[6]]) for row in lines) + "\n")


def test_an_inventory_without_a_key_leaves_the_enrolled_one_alone(stocked: Workspace) -> None:
    enroll(stocked, "gw-000", public("gw-000"), "ana")
    assert import_devices(stocked) == Import(24, 0, 0, 0)
    assert show_device(stocked, "gw-000").public_key == public("gw-000")


def test_a_first_key_in_an_inventory_enrols_and_the_same_again_changes_nothing(stocked: Workspace) -> None:
    inventory_with(stocked, **{"gw-001": public("gw-001")})
    assert import_devices(stocked) == Import(24, 0, 1, 0)
    assert import_devices(stocked) == Import(24, 0, 0, 0)
    assert states(stocked, ["gw-001"])["gw-001"].actor == "fleet import"


def test_another_key_in_an_inventory_is_refused_by_row_and_nothing_changes(stocked: Workspace) -> None:
    enroll(stocked, "gw-001", public("gw-001"), "ana")
    inventory_with(stocked, **{"gw-001": public("gw-001", 2), "gw-002": public("gw-002")})
    with pytest.raises(InputError, match=r"inventory.csv, line 3: public_key is not the one that 'gw-001' enrolled with"):
        import_devices(stocked)
    assert states(stocked, ["gw-002"]) == {}


def test_a_key_of_two_devices_is_refused_by_row(stocked: Workspace) -> None:
    inventory_with(stocked, **{"gw-001": public("gw-001"), "gw-002": public("gw-001")})
    with pytest.raises(InputError, match=r"line 4: public_key of 'gw-002' is that of 'gw-001'"):
        import_devices(stocked)


def test_a_revoked_key_does_not_come_back_by_any_way(stocked: Workspace) -> None:
    inventory_with(stocked, **{"gw-001": public("gw-001")})
    import_devices(stocked)
    assert revoke(stocked, "gw-001", "stolen", "ana").changed
    assert not revoke(stocked, "gw-001", "stolen", "ana").changed
    import_devices(stocked)
    assert show_device(stocked, "gw-001").public_key == ""
    with pytest.raises(Conflict, match="is revoked"):
        enroll(stocked, "gw-001", public("gw-001", 2), "ana")
    with pytest.raises(Conflict, match="was revoked or replaced"):
        enroll(stocked, "gw-001", public("gw-001"), "ana", replace=True)
    with pytest.raises(Conflict, match="is that of 'gw-001'"):
        enroll(stocked, "gw-002", public("gw-001"), "ana")
    assert enroll(stocked, "gw-001", public("gw-001", 2), "ana", replace=True).enrolment.revision == 3


def test_only_an_operator_who_says_so_replaces_a_key(stocked: Workspace) -> None:
    enroll(stocked, "gw-000", public("gw-000"), "ana")
    assert not enroll(stocked, "gw-000", public("gw-000"), "ana").changed
    with pytest.raises(Conflict, match="has another key already"):
        enroll(stocked, "gw-000", public("gw-000", 2), "ana")
    assert enroll(stocked, "gw-000", public("gw-000", 2), "ana", replace=True, dry_run=True).changed
    assert show_device(stocked, "gw-000").public_key == public("gw-000")
    enroll(stocked, "gw-000", public("gw-000", 2), "ana", replace=True)
    assert show_device(stocked, "gw-000").public_key == public("gw-000", 2)


def test_an_inventory_that_still_has_a_replaced_key_is_out_of_date_and_no_error(stocked: Workspace) -> None:
    inventory_with(stocked, **{"gw-000": public("gw-000")})
    import_devices(stocked)
    enroll(stocked, "gw-000", public("gw-000", 2), "ana", replace=True)
    assert import_devices(stocked).changed == 0
    assert show_device(stocked, "gw-000").public_key == public("gw-000", 2)


@pytest.mark.parametrize("key", ["", "beef", "00" * 32, "01" + "00" * 31, "ff" * 32, public("gw-000").upper(), "zz" * 32])
def test_what_cannot_verify_anything_is_no_key(stocked: Workspace, key: str) -> None:
    """Under a key of small order, one signature fits many messages."""
    with pytest.raises(InputError, match="is no public key"):
        enroll(stocked, "gw-000", key, "ana")


def test_a_device_of_no_inventory_is_not_found(stocked: Workspace) -> None:
    with pytest.raises(NotFound):
        enroll(stocked, "gw-999", public("gw-999"), "ana")
    with pytest.raises(NotFound):
        revoke(stocked, "gw-000", "lost", "ana")


def request(device: str, token: str, *, generation: int = 1) -> bytes:
    return sign_request(device, token, key_of(device, generation))


def test_a_device_enrols_itself_once_and_a_lost_answer_does_no_harm(stocked: Workspace) -> None:
    engine = open_database(stocked.database_url)
    token = issue(stocked, "north", None, timedelta(hours=1), "ana")
    assert enroll_itself(engine, request("gw-003", token)).changed
    assert not enroll_itself(engine, request("gw-003", token)).changed
    assert states(stocked, ["gw-003"])["gw-003"].reason == "token of ana"
    with pytest.raises(VerificationFailed, match="was used already"):
        enroll_itself(engine, request("gw-004", token))
    with pytest.raises(Conflict, match="has another key already"):
        enroll_itself(engine, request("gw-003", token, generation=2))


def test_a_token_opens_nothing_but_what_it_was_made_for(stocked: Workspace) -> None:
    engine = open_database(stocked.database_url)
    for device, token, why in (
        ("gw-003", "made up", "is not known"),
        ("gw-003", issue(stocked, "north", "gw-004", timedelta(hours=1), "ana"), "is for another device"),
        ("gw-003", issue(stocked, "north", None, timedelta(hours=1), "ana", now=utc_now() - timedelta(hours=1)), "has expired"),
    ):
        with pytest.raises(VerificationFailed, match=why):
            enroll_itself(engine, request(device, token))
    with pytest.raises(NotFound):
        enroll_itself(engine, request("gw-999", issue(stocked, "north", None, timedelta(hours=1), "ana")))
    assert states(stocked, ["gw-003", "gw-004", "gw-999"]) == {}


def test_who_has_not_the_private_key_cannot_enrol_the_public_one(stocked: Workspace) -> None:
    token = issue(stocked, "north", None, timedelta(hours=1), "ana")
    stolen = json.loads(request("gw-003", token))
    stolen["signatures"] = json.loads(request("gw-004", token))["signatures"]
    with pytest.raises(VerificationFailed, match="is not signed by the key"):
        enroll_itself(open_database(stocked.database_url), json.dumps(stolen).encode())
    with pytest.raises(InputError, match="no enrolment request"):
        enroll_itself(open_database(stocked.database_url), b"{}")


def test_a_database_that_is_read_gives_no_token_away(stocked: Workspace) -> None:
    token = issue(stocked, "north", None, timedelta(hours=1), "ana")
    files = [f.read_bytes() for f in stocked.state.glob("registry.db*")]
    assert files
    assert not any(token.encode() in data for data in files)


def test_enrolling_by_the_command_line(stocked: Workspace, muster: Run, tmp_path: Path) -> None:
    root, file = stocked.root, tmp_path / "keys/gw-000.pem"
    assert muster("device", "enroll", "gw-000", root)[0] == 2
    assert muster("device", "enroll", "gw-000", root, "--revoke")[0] == 2
    assert muster("device", "enroll", "gw-999", root, "--public-key", public("x"))[0] == 3
    code, output, _ = muster("device", "enroll", "gw-000", root, "--make-key", file, "--dry-run", "--json")
    assert (code, document(output)["changed"], file.exists()) == (0, True, False)
    assert muster("device", "enroll", "gw-000", root, "--make-key", file)[0] == 0
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    private = load_pem_private_key(file.read_bytes(), None)
    before = file.read_bytes()
    code, output, _ = muster("device", "show", "gw-000", root, "--json")
    assert document(output)["public_key"] == private.public_key().public_bytes_raw().hex()  # type: ignore[union-attr]
    assert document(output)["enrolment"]["state"] == "active"
    assert muster("device", "enroll", "gw-000", root, "--make-key", file, "--replace")[0] == 5
    assert file.read_bytes() == before
    assert muster("device", "enroll", "gw-000", root, "--public-key", public("gw-000"), "--replace")[0] == 0
    assert "active" in muster("fleet", "show", "north", root)[1]
    assert muster("device", "enroll", "gw-000", root, "--revoke", "--reason", "stolen")[1].startswith("gw-000: revoked")
    assert {d["device_id"]: d["key"] for d in document(muster("fleet", "show", "north", root, "--json")[1])["shown"]}[
        "gw-000"
    ] == ("revoked")


def test_tokens_by_the_command_line(stocked: Workspace, muster: Run) -> None:
    root = stocked.root
    code, output, _ = muster("device", "token", root, "--fleet", "north", "--device", "gw-003", "--valid", "30min")
    assert code == 0
    assert enroll_itself(open_database(stocked.database_url), request("gw-003", output.strip())).changed
    for wrong, expected in (
        (("--fleet", "south"), 3),
        (("--fleet", "north", "--device", "gw-999"), 3),
        (("--fleet", "north", "--valid", "soon"), 2),
        (("--fleet", "north", "--valid", "31d"), 2),
        (("--fleet", "north", "--valid", "0s"), 2),
    ):
        assert muster("device", "token", root, *wrong)[0] == expected


def test_keys_of_inventories_move_into_the_history(tmp_path: Path) -> None:
    """A database of the version before: its devices keep their keys, and one key that two devices had stays with one."""
    engine = database._engine(f"sqlite:///{tmp_path / 'registry.db'}")

    def migrate(to: str, move: Callable[..., None]) -> None:
        with database.writing(engine) as connection:
            config = database._config()
            config.attributes["connection"] = connection
            move(config, to)

    migrate("0002", command.upgrade)
    with database.writing(engine) as connection:
        row = "INSERT INTO devices VALUES (?, 'north', 'gateway', '2.1.0', '', ?, '')"
        connection.exec_driver_sql(row, [("gw-0", public("gw-0")), ("gw-1", ""), ("gw-2", public("gw-0"))])
    migrate("head", command.upgrade)
    with database.reading(engine) as connection:
        assert {d: e.public_key for d, e in keys.current(connection, ["gw-0", "gw-1", "gw-2"]).items()} == {
            "gw-0": public("gw-0")
        }
    migrate("0002", command.downgrade)
    with database.reading(engine) as connection:
        assert connection.exec_driver_sql("SELECT public_key FROM devices ORDER BY 1").scalars().all() == ["", "", public("gw-0")]
