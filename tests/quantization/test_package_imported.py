"""Packages of imported models: the same archive, for artefacts that `artefact build` wrote, through the command line."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import zipfile

import jsonschema
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from components.quantization.package.archive import pack, unpack
from components.quantization.package.build import sums
from components.workspace.errors import GateFailed, InputError, NotFound, VerificationFailed
from components.workspace.files import sha256_bytes
from muster.app import app as muster
from muster.commands import artefact, model

from . import boosters, networks, onnx_graphs

KINDS = ("network in C", "trees in C", "network in LiteRT", "network in ONNX", "trees in ONNX")
ARCHITECTURE = {"C": ("armv7e-m", "cortex-m4"), "LiteRT": ("x86-64", "any"), "ONNX": ("x86-64", "any")}
RUNTIMES = {"C": ("c99", "1.0"), "LiteRT": ("litert", "2.0"), "ONNX": ("onnxruntime", "1.16")}
COMPILED = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "clang"))), reason="no C compiler (Debian: gcc libc6-dev)")
CMAKE = pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake (Debian: cmake)")


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


def imported(kind, folder):
    if kind.startswith("trees"):
        boosters.booster("softprob", 0.1).save_model(folder / "m.json")
        np.save(folder / "x.npy", boosters.data(0.1)[0])
        return folder / "m.json", ("--examples", folder / "x.npy", "--classes", "new,worn,broken")
    if kind.endswith("ONNX"):
        (folder / "m.onnx").write_bytes(onnx_graphs.classifier().SerializeToString())
        np.save(folder / "x.npy", onnx_graphs.inputs())
        return folder / "m.onnx", ("--examples", folder / "x.npy", "--classes", ",".join(onnx_graphs.CLASSES))
    (folder / "m.tflite").write_bytes(networks.classifier())
    return folder / "m.tflite", ("--classes", ",".join(networks.CLASSES))


def profile(kind, folder, **changes):
    target = kind.rpartition(" ")[2]
    told = {"name": "node", "description": "a node", "runtime": dict(zip(("name", "minimal"), RUNTIMES[target], strict=True))}
    told |= {"arch": dict(zip(("family", "cpu"), ARCHITECTURE[target], strict=True)), "numeric": {"min_label_agreement": 0.5}}
    told |= {"memory": {"model_flash_kib": 4096, "model_ram_kib": 4 << 20}, "proof": {"machine": "native", "vectors": 8}}
    (folder / "node.yaml").write_text(yaml.safe_dump(told | changes))
    return folder / "node.yaml"


def built(kind, folder):
    """(folder of the artefact, profile)."""
    file, options = imported(kind, folder)
    wanted = profile(kind, folder)
    run(model.app, "import", file, "--name", "wear", "--out", folder / "kept", *options)
    run(artefact.app, "build", folder / "kept", "--profile", wanted, "--out", folder / "built")
    return folder / "built", wanted


@pytest.fixture(scope="module")
def proven(tmp_path_factory):
    """Kind -> (folder of the proven artefact, profile), each made once."""
    made = {}

    def of(kind):
        if kind not in made:
            made[kind] = built(kind, tmp_path_factory.mktemp("made"))
            run(artefact.app, "prove", made[kind][0], "--profile", made[kind][1])
        return made[kind]

    return of


@pytest.fixture
def copied(proven, tmp_path):
    """A proven network in C, to be damaged."""
    shutil.copytree(proven("network in C")[0], tmp_path / "built")
    return tmp_path / "built"


def packed(place, out, *options):
    return data(run(artefact.app, "package", place, "--out", out, "--json", *options))


@COMPILED
@pytest.mark.parametrize("kind", KINDS)
def test_an_artefact_of_every_kind_is_packed_shown_and_verified(kind, proven, tmp_path):
    folder, wanted = proven(kind)
    made = packed(folder, tmp_path / "p.zip", "--profile", wanted, "--firmware", ">=2,<3")
    assert (made["proven"], made["profile"], made["firmware"]) == (True, "node", ">=2,<3")
    about = data(run(artefact.app, "show", tmp_path / "p.zip", "--json"))
    assert about["artefact"]["sha256"] == json.loads((folder / "node.proof.json").read_text())["artefact_sha256"]
    assert about["profile"]["sha256"]
    assert about["proof"]["passed"]
    assert about["golden_vectors"]["kept"] >= about["golden_vectors"]["count"] >= 2
    assert set(about["toolchain"]) >= {"muster"}
    jsonschema.validate(about, json.loads(run(muster, "schema", "--package").stdout))
    assert "check self_test_mismatches" in run(artefact.app, "show", tmp_path / "p.zip").stdout
    assert "proven" in run(artefact.app, "verify", tmp_path / "p.zip").stdout
    files = unpack((tmp_path / "p.zip").read_bytes())
    assert ("src/model.c" in files) == ("CMakeLists.txt" in files) == kind.endswith("C")
    assert ("model/model.onnx" in files) == kind.endswith("ONNX")
    assert b"UNPROVEN" not in files["README.txt"]


@COMPILED
@pytest.mark.parametrize("kind", ["network in C", "network in ONNX"])
def test_equal_artefacts_and_proofs_give_equal_bytes(kind, proven, tmp_path):
    folder, _ = proven(kind)
    shutil.copytree(folder, tmp_path / "elsewhere")
    first = packed(folder, tmp_path / "a.zip")
    again = packed(tmp_path / "elsewhere" / "artefact.json", tmp_path / "b.zip")
    assert first["sha256"] == again["sha256"] == sha256_bytes((tmp_path / "b.zip").read_bytes())


@COMPILED
@pytest.mark.parametrize("kind", KINDS)
def test_the_bill_of_materials_keeps_the_official_schema_and_digests_are_of_files(kind, proven, tmp_path):
    validation = pytest.importorskip("cyclonedx.validation.json", reason="cyclonedx-python-lib[json-validation] is not installed")
    from cyclonedx.schema import SchemaVersion

    packed(proven(kind)[0], tmp_path / "p.zip")
    files = unpack((tmp_path / "p.zip").read_bytes())
    assert validation.JsonStrictValidator(SchemaVersion.V1_6).validate_str(files["sbom.cdx.json"].decode()) is None
    parts = {part["name"]: part for part in json.loads(files["sbom.cdx.json"])["components"]}
    assert parts["artefact.json"]["hashes"][0]["content"] == sha256_bytes(files["artefact/artefact.json"])
    assert {"C": "muster-c99", "LiteRT": "ai-edge-litert", "ONNX": "onnxruntime"}[kind.rpartition(" ")[2]] in parts


@COMPILED
@pytest.mark.parametrize("kind", ["network in C", "trees in C", "network in ONNX"])
def test_golden_vectors_are_those_of_the_artefact_in_plain_json(kind, proven, tmp_path):
    """A stranger reads numbers, scales and samples without numpy's files."""
    packed(proven(kind)[0], tmp_path / "p.zip")
    files = unpack((tmp_path / "p.zip").read_bytes())
    about, golden = json.loads(files["package.json"]), json.loads(files["golden_vectors.json"])
    assert len(golden["vectors"]) == about["golden_vectors"]["count"]
    if kind.endswith("ONNX"):
        kept = np.load(io.BytesIO(files["artefact/golden_outputs.npy"]))
    else:
        with np.load(io.BytesIO(files["artefact/golden.npz"])) as arrays:
            kept = arrays["outputs"]
    said = np.asarray([vector["output"] for vector in golden["vectors"]], kept.dtype)
    assert np.array_equal(said[0], kept[0])
    assert np.array_equal(said[-1], kept[-1])
    exact = about["outputs"][0]["tolerance"] == 0
    assert exact == kind.endswith("C")
    if kind == "trees in C":
        assert len(about["features"]) == about["input"]["shape"][0]
        assert all(feature["lsb"] > 0 for feature in about["features"])


@pytest.mark.slow
@COMPILED
@CMAKE
@pytest.mark.parametrize("kind", ["network in C", "trees in C"])
def test_cmake_builds_the_library_and_its_self_test_passes(kind, proven, tmp_path):
    packed(proven(kind)[0], tmp_path / "p.zip")
    with zipfile.ZipFile(tmp_path / "p.zip") as archive:
        archive.extractall(tmp_path / "p")
    for command in (("cmake", "-S", ".", "-B", "build", "-DMUSTER_EXAMPLE=ON"), ("cmake", "--build", "build")):
        subprocess.run(command, cwd=tmp_path / "p", check=True, capture_output=True, timeout=300)
    done = subprocess.run([tmp_path / "p/build/selftest"], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("mismatches 0 of 8")


@pytest.mark.skipif(not all(map(shutil.which, ("gcc", "objcopy"))), reason="no gcc or objcopy (Debian: gcc binutils)")
@pytest.mark.parametrize("kind", ["network in C", "trees in C"])
def test_an_image_is_bound_to_the_imported_model_in_it(kind, proven, tmp_path):
    folder, _ = proven(kind)
    packed(folder, tmp_path / "p.zip")
    subprocess.run(["gcc", "-c", "-O2", folder / "model.c", "-o", tmp_path / "model.o"], check=True)
    subprocess.run(["objcopy", "-O", "binary", "-j", ".rodata*", tmp_path / "model.o", tmp_path / "fw.bin"], check=True)
    attach = ("attach-image", tmp_path / "p.zip", "--image")
    bound = data(run(artefact.app, *attach, tmp_path / "fw.bin", "--out", tmp_path / "i", "--json"))
    assert (bound["kind"], bound["profile"]) == ("firmware", "node")
    (tmp_path / "other.bin").write_bytes(bytes(4096))
    with pytest.raises(GateFailed, match="does not hold this model"):
        run(artefact.app, *attach, tmp_path / "other.bin", "--out", tmp_path / "j")


def test_without_a_proof_there_is_no_package_unless_it_says_so(tmp_path):
    folder, _ = built("network in LiteRT", tmp_path)
    with pytest.raises(GateFailed, match="no proof is given"):
        run(artefact.app, "package", folder, "--out", tmp_path / "p.zip")
    assert not packed(folder, tmp_path / "p.zip", "--unproven")["proven"]
    assert b"UNPROVEN" in unpack((tmp_path / "p.zip").read_bytes())["README.txt"]
    assert "UNPROVEN" in run(artefact.app, "verify", tmp_path / "p.zip").stdout


@COMPILED
def test_a_proof_that_failed_or_is_of_another_artefact_is_refused(copied, proven, tmp_path):
    file = copied / "node.proof.json"
    told = json.loads(file.read_text())
    told["checks"][0]["passed"] = False
    file.write_text(json.dumps(told))
    with pytest.raises(GateFailed, match=f"the proof of node failed: {told['checks'][0]['name']}"):
        run(artefact.app, "package", copied, "--out", tmp_path / "p.zip")
    assert not packed(copied, tmp_path / "p.zip", "--unproven")["proven"]
    shutil.copy(proven("trees in C")[0] / "node.proof.json", file)
    with pytest.raises(GateFailed, match="the proof is of artefact"):
        run(artefact.app, "package", copied, "--out", tmp_path / "q.zip", "--unproven")
    assert not (tmp_path / "q.zip").exists()


@pytest.mark.parametrize("wrong", [">=3,<2", "==1,==2", ">2,<2"])
def test_a_range_that_holds_no_version_is_refused(wrong, proven, tmp_path):
    with pytest.raises(InputError, match="no version is in"):
        run(artefact.app, "package", proven("network in LiteRT")[0], "--firmware", wrong, "--out", tmp_path)


@COMPILED
def test_what_was_changed_is_neither_packed_nor_verified(copied, tmp_path):
    packed(copied, tmp_path / "p.zip")
    files = unpack((tmp_path / "p.zip").read_bytes())
    touched = files | {"artefact/golden.npz": files["artefact/golden.npz"] + b"x"}
    (tmp_path / "q.zip").write_bytes(pack(touched))
    with pytest.raises(VerificationFailed, match=r"golden\.npz was changed"):
        run(artefact.app, "verify", tmp_path / "q.zip")
    about = json.loads(touched["package.json"])
    about["files"]["artefact/golden.npz"] = sha256_bytes(touched["artefact/golden.npz"])
    touched["package.json"] = json.dumps(about).encode()
    (tmp_path / "r.zip").write_bytes(pack(touched | {"SHA256SUMS": sums(touched)}))
    with pytest.raises(VerificationFailed, match=r"golden\.npz was changed"):
        run(artefact.app, "verify", tmp_path / "r.zip")
    (copied / "model.c").write_bytes(b"int x;")
    for command in ("package", "show"):
        with pytest.raises(VerificationFailed, match=r"model\.c was changed"):
            run(artefact.app, command, copied)


@COMPILED
def test_an_artefact_in_another_ones_package_is_refused(copied, proven, tmp_path):
    """All digests are made anew, and still the description is of another artefact."""
    packed(copied, tmp_path / "p.zip")
    files = unpack((tmp_path / "p.zip").read_bytes())
    about = json.loads(files["package.json"])
    about["artefact"]["sha256"] = "0" * 64
    files["package.json"] = json.dumps(about).encode()
    (tmp_path / "q.zip").write_bytes(pack(files | {"SHA256SUMS": sums(files)}))
    with pytest.raises(VerificationFailed, match="is not the artefact that"):
        run(artefact.app, "verify", tmp_path / "q.zip")


@COMPILED
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_is_shown(kind, proven):
    folder, _ = proven(kind)
    shown = data(run(artefact.app, "show", folder, "--json"))
    assert shown["sha256"] == json.loads((folder / "node.proof.json").read_text())["artefact_sha256"]
    assert "file golden" in run(artefact.app, "show", folder / "artefact.json").stdout


def test_a_folder_without_an_artefact_is_none(tmp_path):
    for command in ("package", "show"):
        with pytest.raises(NotFound, match=r"no artefact\.json"):
            run(artefact.app, command, tmp_path)


@pytest.mark.parametrize("kind", ["network in LiteRT", "network in ONNX"])
def test_examples_of_another_shape_and_as_many_numbers_are_refused(kind, tmp_path):
    """Channels first where the model has them last: as many numbers, and every range would be wrong."""
    file, _ = imported(kind, tmp_path)
    shape = (2, 8, 6) if kind.endswith("LiteRT") else (8, 6, 2)
    np.save(tmp_path / "x.npy", np.zeros((12, *shape), np.float32))
    with pytest.raises(InputError, match=r"rows of shape .*, the input has"):
        run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy")
    np.save(tmp_path / "x.npy", np.zeros((12, 96), np.float32))
    run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy")
    assert (tmp_path / "kept" / "imported.json").is_file()
