"""A package is the same to the byte, says what it is, and shows when it was touched."""

from __future__ import annotations

import io
import json
import stat
import zipfile
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.quantization.package.archive import pack, unpack
from components.quantization.package.build import build_package
from components.quantization.package.check import open_package
from components.quantization.package.description import PackageDescription
from components.quantization.targets.c99.emit import INTERFACE
from components.runtime.engines import open_engine
from components.workspace.errors import GateFailed, InputError, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes
from muster.commands import artefact as command

from . import packages

CHECKOUT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def c99():
    return packages.c_artefact()


@pytest.fixture(scope="module")
def onnx():
    return packages.onnx_artefact()


@pytest.fixture(scope="module")
def made(c99):
    return packages.package(c99, firmware=">=2.1,<3")


def run(*arguments):
    return CliRunner().invoke(command.app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def files(c99, tmp_path):
    """(artefact file, proof file) on disk."""
    packages.proof(c99).save(tmp_path)
    return c99.save(tmp_path), tmp_path / "node.proof.json"


def test_equal_inputs_give_equal_bytes_wherever_and_whenever(files, tmp_path, monkeypatch):
    artefact, proof = files
    for name in ("here", "there"):
        run("package", artefact, "--proof", proof, "--out", tmp_path / name)
        monkeypatch.chdir(tmp_path / name)
    first, second = (next((tmp_path / name).iterdir()) for name in ("here", "there"))
    assert first.name == second.name == "forged-node.zip"
    assert first.read_bytes() == second.read_bytes()


def test_another_date_dates_the_bill_of_materials_and_nothing_else(c99, monkeypatch):
    dated = []
    for seconds in ("0", "1700000000"):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", seconds)
        dated.append(packages.package(c99))
    assert dated[1].data == packages.package(c99).data
    changed = {name for name in dated[0].files if dated[0].files[name] != dated[1].files[name]}
    assert changed == {"sbom.cdx.json", "package.json", "SHA256SUMS"}
    assert json.loads(dated[1].files["sbom.cdx.json"])["metadata"]["timestamp"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(InputError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        packages.package(c99)


def test_the_description_says_what_the_artefact_is(c99, made):
    about = made.description
    assert about.file_name == "forged-node-ge2.1-lt3.zip"
    assert (about.profile.name, about.runtime.name, about.firmware, about.proven) == ("node", "c99", ">=2.1,<3", True)
    assert (about.runtime.minimal, about.artefact.interface) == (c99.runtime_minimal, INTERFACE)
    assert about.artefact.sha256 == c99.sha256 == sha256_bytes(made.files[about.artefact.file])
    assert [c.lsb for c in about.channels] == [0.5, 0.5, 0.5]
    assert about.tasks == {
        "task0": ("normal", "worn", "broken"),
        "task1": ("normal", "worn", "broken"),
        "anomaly": (),
        "life0": (),
    }
    assert [check.name for check in about.proof.checks] == ["flash", "self_test_mismatches"]
    assert about.files.keys() == made.files.keys() - {"package.json", "SHA256SUMS"}
    jsonschema.validate(json.loads(made.files["package.json"]), PackageDescription.model_json_schema())


def test_a_profiles_file_gives_its_digest(files, tmp_path):
    artefact, proof = files
    profile = (CHECKOUT / "examples/pumps/profiles/mcu-cortex-m4.yaml").read_text().replace("mcu-cortex-m4", "node")
    (tmp_path / "node.yaml").write_text(profile)
    run("package", artefact, "--proof", proof, "--profile", tmp_path / "node.yaml", "--out", tmp_path / "p.zip")
    assert open_package((tmp_path / "p.zip").read_bytes()).description.profile.sha256
    with pytest.raises(InputError, match="not 'mcu-cortex-m4'"):
        run("package", artefact, "--profile", CHECKOUT / "examples/pumps/profiles/mcu-cortex-m4.yaml", "--out", tmp_path)


def test_golden_vectors_are_the_self_test_in_plain_json(onnx):
    """Read as a stranger would, they come out of ONNX Runtime as they say."""
    made = packages.package(onnx)
    golden = json.loads(made.files["golden_vectors.json"])
    raw = np.asarray([v["raw"] for v in golden["vectors"]], np.int16)
    engine = open_engine("onnxruntime", {"model.onnx": made.files["model/model.onnx"]}, {})
    codes = onnx.self_test.scaling.codes(onnx.calibration.read(raw))
    verdict = onnx.scoring.verdict(codes, engine(codes))
    assert [v["surprise"] for v in golden["vectors"]] == verdict.surprise.tolist()
    assert golden["tolerance"]["surprise"] == 0


def test_every_file_is_summed_as_sha256sum_does(made):
    lines = dict(reversed(line.split("  ")) for line in made.files["SHA256SUMS"].decode().splitlines())
    assert lines == {name: sha256_bytes(data) for name, data in made.files.items() if name != "SHA256SUMS"}


@pytest.mark.parametrize("name", ["c99", "onnx"])
def test_the_bill_of_materials_keeps_the_official_schema(name, request):
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib[json-validation] is not installed")
    from cyclonedx.schema import SchemaVersion

    bill = packages.package(request.getfixturevalue(name)).files["sbom.cdx.json"].decode()
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(bill) is None
    names = {part["name"] for part in json.loads(bill)["components"]}
    assert {"c99": {"muster-c99", "muster-image-verifier"}, "onnx": {"onnxruntime"}}[name] <= names


def test_the_licences_are_those_of_the_project_and_of_libsodium(made):
    assert made.files["LICENSES/Apache-2.0.txt"] == (CHECKOUT / "LICENSE").read_bytes()
    assert b"Frank Denis" in made.files["LICENSES/ISC.txt"]
    assert b"Frank Denis" in made.files["src/muster_ed25519.c"]


def test_no_proof_no_package(files, c99, tmp_path):
    artefact, _ = files
    with pytest.raises(GateFailed, match="no proof is given"):
        run("package", artefact, "--out", tmp_path)
    with pytest.raises(GateFailed, match="the proof of node failed: self_test_mismatches"):
        build_package(c99.to_bytes(), packages.proof(c99, passed=False))
    with pytest.raises(GateFailed, match="the proof is of artefact"):
        build_package(c99.to_bytes(), packages.proof(packages.onnx_artefact()), unproven=True)
    (tmp_path / "broken.json").write_text("1")
    with pytest.raises(InputError, match="is no proof"):
        run("package", artefact, "--proof", tmp_path / "broken.json", "--out", tmp_path)
    with pytest.raises(NotFound):
        run("package", tmp_path / "none.artefact")
    assert not list(tmp_path.glob("*.zip"))


def test_an_unproven_package_says_so_everywhere(files, c99, tmp_path):
    artefact, _ = files
    said = run("package", artefact, "--unproven", "--out", tmp_path / "u.zip")
    assert "unproven" in said.stderr
    assert "UNPROVEN" in run("verify", tmp_path / "u.zip").stdout
    made = open_package((tmp_path / "u.zip").read_bytes())
    assert not made.description.proven
    assert b"UNPROVEN: nothing vouches" in made.files["README.txt"]
    failed = build_package(c99.to_bytes(), packages.proof(c99, passed=False), unproven=True)
    assert not failed.description.proven
    assert b"FAILED: self_test_mismatches" in failed.files["README.txt"]


def test_an_artefact_without_its_sources_is_none(c99):
    bare = replace(c99, members={"model.c": b"int x;"}).to_bytes()
    with pytest.raises(VerificationFailed, match=r"without main\.c, model\.h, model_selftest\.c"):
        build_package(bare, None, unproven=True)


def test_a_name_leads_nowhere(c99):
    made = build_package(replace(c99, name="../../etc/x").to_bytes(), None, unproven=True)
    assert made.description.file_name == "etcx-node.zip"


def test_no_range_no_package(c99):
    with pytest.raises(InputError, match="'2 or 3' is no range"):
        packages.package(c99, firmware="2 or 3")


def test_a_package_is_shown_and_verified(made, tmp_path):
    (tmp_path / "p.zip").write_bytes(made.data)
    shown = json.loads(run("show", tmp_path / "p.zip", "--json").stdout)
    assert (shown["kind"], shown["data"]["profile"]["name"]) == ("package", "node")
    assert "check flash" in run("show", tmp_path / "p.zip").stdout
    checked = json.loads(run("verify", tmp_path / "p.zip", "--json").stdout)["data"]
    assert (checked["proven"], checked["sha256"]) == (True, sha256_bytes(made.data))


def test_a_changed_file_is_named(made):
    for name, content in made.files.items():
        changed = pack(made.files | {name: content[:-1] + bytes([content[-1] ^ 1])})
        with pytest.raises(VerificationFailed, match=name.replace(".", r"\.")):
            open_package(changed)


def test_a_file_that_is_missing_or_does_not_belong_is_named(made):
    fewer = {name: data for name, data in made.files.items() if name != "src/model.c"}
    with pytest.raises(VerificationFailed, match=r"src/model\.c is missing"):
        open_package(pack(fewer))
    with pytest.raises(VerificationFailed, match=r"src/evil\.c does not belong to it"):
        open_package(pack(made.files | {"src/evil.c": b"int main;"}))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_byte_of_the_archive_can_change(made, data):
    place = data.draw(st.integers(0, len(made.data) - 1))
    touched = bytearray(made.data)
    touched[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(VerificationFailed):
        open_package(bytes(touched))


def hostile(name: str, content: bytes = b"x", mode: int = stat.S_IFREG | 0o644, times: int = 1, compression: int = 0) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for i in range(times):
            info = zipfile.ZipInfo(name.format(i))
            info.external_attr, info.compress_type = mode << 16, compression
            archive.writestr(info, content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        hostile("../outside"),
        hostile("/etc/passwd"),
        hostile("a//b"),
        hostile("a/./b"),
        hostile("a\\b"),
        hostile("C:b"),
        hostile("folder/"),
        hostile("link", b"/etc/passwd", stat.S_IFLNK | 0o777),
        pack({"twice": b"1", "twicf": b"2"}).replace(b"twicf", b"twice"),
        hostile("bomb", bytes(1 << 20), compression=zipfile.ZIP_DEFLATED),
        hostile("many{}", times=300),
        b"",
        b"hello",
        hostile("package.json", b"{}"),
    ],
)
def test_hostile_archives_are_refused(data):
    with pytest.raises(VerificationFailed):
        open_package(data)


@given(st.dictionaries(st.from_regex(r"[a-z]{1,5}(/[a-z]{1,5}){0,2}", fullmatch=True), st.binary(max_size=40), max_size=6))
def test_what_is_packed_is_unpacked(files):
    assert unpack(pack(files)) == files
