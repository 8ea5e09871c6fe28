"""The main job through its front door: telemetry in, signed manifests out, and only what changed runs again."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from components.workspace.store import digest_of
from flows.steps import STEPS
from tests.flows.running import change, muster

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("main-job")]

ORDER = [step.name for step in STEPS]


def _records(root: Path) -> list[dict]:
    return [json.loads(file.read_text()) for file in sorted((root / ".muster" / "runs").glob("*.json"))]


def _killed(command: list[str], log: Path) -> int:
    """Run a command that dies, in a session of its own, and end whatever it leaves behind; its exit status."""
    with log.open("w") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=stream, start_new_session=True)
        try:
            return process.wait(timeout=300)
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def test_a_run_ends_with_proven_artefacts_and_manifests_for_every_fleet_and_variant(ran: Path) -> None:
    data = json.loads((ran / "run.json").read_text())["data"]
    assert data["rows_accepted"] > 100_000
    assert data["rows_quarantined"] > 0
    assert 0.5 < data["labels"]["fault"] <= 1
    assert data["metrics"]["anomaly/electra/vus_pr"] > data["metrics"]["anomaly/chance/vus_pr"]
    assert {row["profile"]: row["runtime"] for row in data["artefacts"]} == {
        "gateway-x86-64": "onnxruntime",
        "gateway-arm64": "onnxruntime",
        "phone-litert": "litert",
        "mcu-cortex-m4": "c99",
    }
    assert all(row["passed"] for row in data["artefacts"])
    assert data["version"] == 1
    assert {m["fleet"] for m in data["manifests"]} == {"waterworks", "harbour"}
    assert {m["state"] for m in data["manifests"]} == {"running"}
    published = ran / ".muster" / "repository"
    assert all(list(published.rglob(f"*.{Path(m['path']).name}")) for m in data["manifests"])


def test_the_recipes_that_lost_are_told_from_the_one_that_was_taken(ran: Path) -> None:
    told = {one["profile"]: one for one in json.loads(muster("artefact", "recipes", ran, "--json").stdout)["data"]}
    for one in told.values():
        assert [tried["name"] for tried in one["tried"] if not tried["lost"]] == [one["chosen"]]
    assert {"int8", "float32"} <= {tried["name"].split()[0] for tried in told["gateway-x86-64"]["tried"] if tried["size"]}
    page = Path(muster("artefact", "report", ran).stdout.strip())
    assert "Recipes for phone-litert" in page.read_text()


def test_recipes_of_other_settings_are_called_stale(ran: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copied"
    shutil.copytree(ran, copied)
    assert muster("artefact", "recipes", copied).stderr == ""
    file = copied / "profiles" / "mcu-cortex-m4.yaml"
    file.write_text(file.read_text() + "quantization:\n  calibrators: [minmax]\n")
    assert "note: mcu-cortex-m4: made of other data, settings or code" in muster("artefact", "recipes", copied).stderr


def test_a_profile_that_no_recipe_suits_any_more_shows_no_older_artefact(ran: Path, tmp_path: Path) -> None:
    copied, name = tmp_path / "copied", "gateway-x86-64"
    shutil.copytree(ran, copied)
    file = copied / "profiles" / f"{name}.yaml"
    file.write_text(file.read_text().replace("model_flash_kib: 1024", "model_flash_kib: 0.5"))
    refused = muster("step", "quantize", copied, "--profile", name, check=4)
    assert "of memory.model_flash_kib" in refused.stderr
    assert not (copied / "out" / "quantize" / name).exists()
    assert not (copied / "out" / "prove" / name).exists()
    assert (copied / "out" / "prove" / "mcu-cortex-m4").is_dir()
    assert name in muster("step", "prove", copied, "--profile", name, check=2).stderr


def test_each_kind_of_device_verifies_what_it_is_offered(ran: Path) -> None:
    inventory = [line.split(",") for line in (ran / "inventory.csv").read_text().splitlines()]
    column = {name: place for place, name in enumerate(inventory[0])}
    first = {row[column["hardware_profile"]]: row[column["device_id"]] for row in reversed(inventory[1:])}
    for device in first.values():
        answer = json.loads(muster("device", "check", ran, "--device", device, "--json").stdout)
        assert answer["data"]


def test_a_second_run_skips_everything_says_why_and_loads_nothing_heavy(ran: Path) -> None:
    code = (
        "import sys; from muster.app import main; sys.argv = ['muster', 'run', sys.argv[1]]\n"
        "try: main()\n"
        "finally:\n"
        "    heavy = {'prefect', 'mlflow', 'torch', 'tensorflow', 'great_expectations', 'pandas'} & set(sys.modules)\n"
        "    assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", code, ran], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    for step in (*ORDER, "register", "draft"):
        assert any(line.startswith(step) and "skipped" in line for line in done.stderr.splitlines()), (step, done.stderr)
    last = _records(ran)[-1]
    assert last["ran"] == []
    assert set(last["skipped"]) == {*ORDER, "register", "draft"}


def test_a_changed_labelling_function_runs_labels_and_what_follows_not_ingestion(ran: Path) -> None:
    source = ran / "labeling.py"
    source.write_text(source.read_text() + "\n# an expert thought again\n")
    muster("run", ran)
    first = _records(ran)[-1]
    assert first["skipped"] == ["ingest", "validate", "features"]
    assert first["ran"][0] == "label"


def test_outputs_that_were_deleted_come_back_without_work(ran: Path) -> None:
    before = {step: digest_of(ran / "out" / step) for step in ORDER}
    for step in ORDER:
        subprocess.run(["rm", "-rf", ran / "out" / step], check=True)
    muster("run", ran)
    assert {step: digest_of(ran / "out" / step) for step in ORDER} == before
    assert _records(ran)[-1]["ran"] == []


def test_a_run_killed_at_any_step_completes_with_the_same_result(fresh: Path, _ran: Path, checkout: Path) -> None:
    """kill -9 inside each step in turn, each time the same command again; the artefacts equal those of a calm run."""
    launcher = checkout / "tests" / "flows" / "killed_at.py"
    for step in [*ORDER, "register", "draft"]:
        log = fresh.parent / f"{step}.log"
        assert _killed([sys.executable, str(launcher), step, "run", str(fresh)], log) == -signal.SIGKILL, (
            step,
            log.read_text()[-2000:],
        )
    data = json.loads(muster("run", fresh, "--json").stdout)["data"]
    for step in ORDER[: ORDER.index("prove")]:  # proofs hold measured times
        assert digest_of(fresh / "out" / step) == digest_of(_ran / "out" / step), step
    assert all(row["passed"] for row in data["artefacts"])
    assert len(json.loads(muster("release", "list", fresh, "--json").stdout)["data"]) == 2
    assert len(json.loads(muster("model", "list", fresh, "--json").stdout)["data"]) == 1


def test_dvc_repro_after_a_run_executes_no_step_and_then_nothing_at_all(ran: Path, tmp_path: Path, checkout: Path) -> None:
    top = tmp_path / "checkout"
    (top / "examples").mkdir(parents=True)
    ran.rename(top / "examples" / "pumps")
    (top / "dvc.yaml").write_text((checkout / "dvc.yaml").read_text())
    (top / "components").symlink_to(checkout / "components")
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def dvc(*args: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *args],
            cwd=top,
            capture_output=True,
            text=True,
            timeout=600,
            env=environment,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    store = top / "examples" / "pumps" / ".muster" / "store"
    kept = {entry: entry.stat().st_mtime_ns for entry in store.glob("*/*/listing.json")}
    dvc("init", "--no-scm", "-q")
    dvc("repro")
    assert {entry: entry.stat().st_mtime_ns for entry in store.glob("*/*/listing.json")} == kept
    assert "up to date" in dvc("repro")


@pytest.mark.parametrize(
    ("harm", "code", "says"),
    [
        ("tight-profile", 4, "memory.model_flash_kib"),
        ("no-devices", 2, "harbour"),
        ("released-level", 4, "proof_levels"),
    ],
)
def test_what_may_not_be_released_stops_the_run_with_its_exit_code(ran: Path, harm: str, code: int, says: str) -> None:
    if harm == "tight-profile":
        change(ran / "profiles" / "mcu-cortex-m4.yaml", lambda p: p["memory"].update(model_flash_kib=1.0))
    elif harm == "no-devices":
        lines = (ran / "inventory.csv").read_text().splitlines()
        for file in (ran / ".muster").glob("registry.db*"):
            file.unlink()  # a release that was drafted before keeps the devices it was drafted for
        (ran / "inventory.csv").write_text("\n".join(line for line in lines if ",harbour," not in line) + "\n")
    else:
        change(ran / "muster.yaml", lambda s: s["release"].update(proof_levels=["none"]))
    done = muster("run", ran, check=code)
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    if harm == "tight-profile":
        assert says in muster("step", "quantize", ran, "--profile", "mcu-cortex-m4", check=code).stderr


def test_without_the_cross_compiler_microcontrollers_are_left_out_and_the_packages_named(ran: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for tool in Path("/usr/bin").iterdir():
        if not tool.name.startswith(("arm-none-eabi", "qemu")):
            (tools / tool.name).symlink_to(tool)
    for file in (ran / ".muster").glob("registry.db*"):
        file.unlink()
    done = muster("run", ran, "--json", env={"PATH": str(tools)})
    data = json.loads(done.stdout)["data"]
    row = next(row for row in data["artefacts"] if row["profile"] == "mcu-cortex-m4")
    assert row["level"] == "host-compiled"
    assert "gcc-arm-none-eabi" in row["missing"]
    offered = {m["variant"].rpartition("-")[0] for m in data["manifests"]}
    assert offered == {"gateway-x86-64", "gateway-arm64", "phone-litert"}


def test_two_runs_on_one_workspace_do_not_mix(ran: Path) -> None:
    import fcntl

    with (ran / ".muster" / "run.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        assert "another run" in muster("run", ran, check=5).stderr


def test_a_labelling_function_that_raises_is_one_clear_error(ran: Path) -> None:
    source = ran / "labeling.py"
    source.write_text(
        source.read_text()
        + '\n\n@labeling_function(task="fault", votes="leak", channels=("flow",))'
        + '\ndef broken(w):\n    return w.mean("flow") / nothing\n'
    )
    done = muster("step", "label", ran, check=2)
    assert "broken" in done.stderr
    assert "Traceback" not in done.stderr
    assert yaml.safe_load((ran / "muster.yaml").read_text())  # nothing half-written


def test_demo_people_never_join_people_with_keys_of_their_own(fresh: Path) -> None:
    muster("keys", "init", fresh, "--person", "ana", "--person", "ben")
    done = subprocess.run([sys.executable, "-c", _DEMO, fresh], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 5, done.stderr
    assert "ana and ben" in done.stderr
    assert "demo" not in muster("keys", "show", fresh).stdout


_DEMO = """
import sys
from pathlib import Path
from components.workspace import open_workspace
from flows.demo import approve_as_two_people
from muster.console import errors_explained
with errors_explained():
    approve_as_two_people(open_workspace(Path(sys.argv[1])))
"""
