"""The command line: quick to answer, one document on standard output, errors in three parts."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from flows.doctor import Finding, examine, to_install
from tests.flows.running import muster

HEAVY = {
    "boto3",
    "great_expectations",
    "mlflow",
    "numpy",
    "onnx",
    "pandas",
    "prefect",
    "pyarrow",
    "sqlalchemy",
    "tensorflow",
    "torch",
}


@pytest.mark.parametrize("args", [["--help"], ["run", "--help"], ["release", "--help"], ["--version"]])
def test_help_loads_nothing_heavy(args: list[str]) -> None:
    code = f"import sys; from muster.app import main; sys.argv = ['muster', *{args!r}]\ntry: main()\nexcept SystemExit: pass\n"
    code += f"bad = {HEAVY!r} & set(sys.modules); assert not bad, bad"
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["run", "nowhere"], 3, "muster init"),
        (["step", "digest", "nowhere"], 3, "no muster.yaml"),
        (["frobnicate"], 2, "No such command"),
        (["run", "--frobnicate"], 2, "No such option"),
        (["artefact", "show", "nothing.artefact"], 3, "nothing.artefact"),
    ],
)
def test_an_error_is_short_names_the_way_out_and_has_its_exit_code(args: list[str], code: int, says: str) -> None:
    done = muster(*args, check=code)
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


FULL_DISK = """
import sys
from pathlib import Path
from components.workspace import files
from muster.console import errors_explained
files.os.fsync = lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device"))
with errors_explained():
    files.write_text(Path(sys.argv[1]) / "report.html", "text")
"""


def test_a_full_disk_is_no_bug_and_leaves_nothing_behind(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert f"error: {tmp_path / 'report.html'}: No space left on device" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("verb", ["seeds", "study"])
def test_a_file_in_place_of_a_folder_is_said_before_the_work(verb: str, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    done = muster("model", verb, tmp_path, "--out", tmp_path / "notes.txt", check=2)
    assert "notes.txt is a file" in done.stderr
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_debug_shows_where_an_error_came_from() -> None:
    assert "Traceback" in muster("--debug", "run", "nowhere", check=3).stderr


def test_doctor_reports_every_tool_as_one_json_document() -> None:
    document = json.loads(muster("doctor", "--json").stdout)
    assert document["schema_version"] == 1
    assert {"gcc", "qemu-system-arm", "torch"} <= {row["what"] for row in document["data"]}


def test_doctor_names_one_command_for_all_that_is_missing() -> None:
    lacking = [
        Finding("a", "", "x", "", "qemu-system-arm"),
        Finding("b", "", "y", "", "gcc libc6-dev qemu-system-arm"),
        Finding("c", "", "z", "make setup"),
        Finding("d", "/usr/bin/d", "z", "", "clang"),
    ]
    assert to_install(lacking) == "apt-get install --no-install-recommends gcc libc6-dev qemu-system-arm"
    assert to_install(lacking[2:]) == ""
    assert {"riscv64-unknown-elf-gcc", "qemu-system-riscv32", "qemu-aarch64-static"} <= {f.what for f in examine()}


@pytest.mark.parametrize(("args", "kinds"), [(["schema"], 1), (["schema", "--profile"], 1), (["schema", "--package"], 2)])
def test_the_schema_is_a_json_schema(args: list[str], kinds: int) -> None:
    """Of packages there are two kinds: of a workspace's model, and of an imported one."""
    schema = json.loads(muster(*args).stdout)
    alternatives = [schema["$defs"][one["$ref"].rpartition("/")[2]] for one in schema.get("anyOf", ())] or [schema]
    assert len(alternatives) == kinds
    for one in alternatives:
        assert one["type"] == "object"
        assert one["additionalProperties"] is False


@pytest.mark.slow
def test_the_default_workspace_keeps_the_schema_that_is_printed(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "schema.json").write_text(muster("schema").stdout)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--schemafile",
            tmp_path / "schema.json",
            checkout / "examples" / "pumps" / "muster.yaml",
        ],
        check=True,
        timeout=60,
    )
