"""Boosted trees from elsewhere, through the command line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
import xgboost as xgb
import yaml
from typer.testing import CliRunner

from components.workspace.errors import GateFailed, InputError, VerificationFailed
from muster.commands import artefact, model

from . import boosters
from .networks import classifier

PROFILE = {
    "name": "node",
    "description": "a sensor node",
    "arch": {"family": "armv7e-m", "cpu": "cortex-m4"},
    "memory": {"model_flash_kib": 32, "model_ram_kib": 4},
    "runtime": {"name": "c99", "minimal": "1.0"},
    "proof": {"machine": "native", "vectors": 8},
}
COMPILED = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "clang"))), reason="no C compiler (Debian: gcc libc6-dev)")


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


def take(file, tmp_path, *arguments):
    return run(model.app, "import", file, "--name", "wear", "--out", tmp_path / "kept", *arguments)


@pytest.fixture(scope="module")
def trained():
    return {kind: boosters.booster(kind, 0.1) for kind in ("softprob", "logistic", "squared error")}


@pytest.fixture
def file(trained, tmp_path):
    trained["softprob"].save_model(tmp_path / "model.json")
    return tmp_path / "model.json"


@pytest.fixture
def examples(tmp_path):
    np.save(tmp_path / "x.npy", boosters.data(0.1)[0])
    return tmp_path / "x.npy"


@pytest.fixture
def profile(tmp_path):
    def write(**changes):
        place = tmp_path / "node.yaml"
        place.write_text(yaml.safe_dump(PROFILE | changes))
        return place

    return write


def checks(result):
    return {c["name"]: c["value"] for c in data(result)["checks"]}


def test_an_imported_model_says_what_is_in_it(file, examples, tmp_path):
    found = data(take(file, tmp_path, "--classes", "new,worn,broken", "--examples", examples, "--json"))
    assert found["about"] | {"nodes": 0, "names": []} == {
        "format": "xgboost-json",
        "objective": "multi:softprob",
        "features": 6,
        "names": [],
        "outputs": 3,
        "trees": 18,
        "nodes": 0,
        "depth": 4,
    }
    assert found["sampling"]["lsb"] == [0.01] * 6
    assert found["examples"] == {"rows": 600, "drawn": "given"}
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"imported.json", "model.json", "examples.npy"}
    assert "multi:softprob" in take(file, tmp_path).stdout


@pytest.mark.slow
def test_ubjson_is_the_same_model_and_a_damaged_one_is_refused(file, trained, tmp_path):
    trained["softprob"].save_model(tmp_path / "m.ubj")
    same = data(take(tmp_path / "m.ubj", tmp_path, "--json"))
    assert same["about"] == data(take(file, tmp_path, "--json"))["about"]
    (tmp_path / "m.ubj").write_bytes((tmp_path / "m.ubj").read_bytes()[:2000])
    with pytest.raises(InputError, match="XGBoost does not read it"):
        take(tmp_path / "m.ubj", tmp_path)


@COMPILED
@pytest.mark.parametrize("kind", ["softprob", "logistic", "squared error"])
def test_c_is_built_proven_and_says_what_xgboost_says(kind, trained, examples, profile, tmp_path):
    trained[kind].save_model(tmp_path / "m.json")
    x, _ = boosters.data(0.1)
    take(tmp_path / "m.json", tmp_path, "--examples", examples)
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    proof = run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile(), "--json")
    said = checks(proof)
    assert data(proof)["passed"]
    assert said["self_test_mismatches"] == said["host_mismatches"] == 0
    assert said["label_agreement"] == 1 if kind != "squared error" else said["value_shift"] < 1e-3
    described = json.loads((tmp_path / "firmware" / "artefact.json").read_text())
    with np.load(tmp_path / "firmware" / "golden.npz") as golden:
        margins = np.ldexp(golden["outputs"].astype(float), -described["bits"])
    assert margins == pytest.approx(boosters.margins(trained[kind], x), abs=1e-2)
    assert "host_mismatches" in run(artefact.app, "prove", tmp_path / "firmware" / "artefact.json", "--profile", profile()).stdout


@COMPILED
def test_the_sources_stand_alone_and_name_classes_and_features(trained, profile, tmp_path):
    x, y = boosters.data(0.1)
    named = xgb.DMatrix(x, y, feature_names=["speed", "torque", "heat", "tilt", "flow", "load"])
    xgb.train(boosters.OBJECTIVES["softprob"] | {"nthread": 1}, named, 3).save_model(tmp_path / "m.json")
    take(tmp_path / "m.json", tmp_path, "--classes", "new,worn,broken", "--lsb", "0.01", "--offset", "1,2,3,4,5,6")
    out = tmp_path / "firmware"
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", out)
    header, code = (out / "model.h").read_text(), (out / "model.c").read_text()
    assert "1 torque: lsb 0.01, offset 2" in header
    assert "MODEL_CLASS_BROKEN = 2" in header
    plain = re.sub(r"/\*.*?\*/", "", header + code + (out / "model_selftest.c").read_text(), flags=re.S)
    assert not re.search(r"\b(float|double|malloc|printf)\b", plain)
    assert set(re.findall(r"#include <(.+?)>", plain)) == {"stdint.h"}
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        subprocess.run([compiler, *strict, "-c", "model.c", "model_selftest.c", "main.c"], cwd=out, check=True)


def test_onnx_runtime_gets_the_same_trees(file, examples, profile, tmp_path):
    gateway = profile(runtime={"name": "onnxruntime", "minimal": "1.17"}, memory={"model_flash_kib": 100, "model_ram_kib": 4096})
    take(file, tmp_path, "--examples", examples)
    run(artefact.app, "build", tmp_path / "kept", "--profile", gateway, "--out", tmp_path / "gateway")
    said = checks(run(artefact.app, "prove", tmp_path / "gateway", "--profile", gateway, "--json"))
    assert said["self_test_mismatches"] == 0
    assert said["label_agreement"] == 1
    lean = profile(runtime={"name": "onnxruntime", "minimal": "1.17"}, ops={"allow": ["ArgMax"]})
    with pytest.raises(GateFailed, match="TreeEnsembleRegressor"):
        run(artefact.app, "build", tmp_path / "kept", "--profile", lean, "--out", tmp_path / "gateway")


def test_steps_that_are_too_coarse_for_the_model_fail_the_build(file, examples, profile, tmp_path):
    take(file, tmp_path, "--examples", examples, "--lsb", "0.5")
    with pytest.raises(GateFailed, match="keep their class"):
        run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    assert not (tmp_path / "firmware").exists()


@COMPILED
def test_samples_of_32_bits_make_up_for_numbers_that_no_converter_gave(profile, tmp_path):
    """A feature of which small differences decide beside large ones."""
    rng = np.random.default_rng(0)
    x = np.exp(rng.normal(0, 3, (800, 2))).astype(np.float32)
    x[:, 1] = 1 + rng.choice([0, 1e4], 800) + 1e-2 * rng.random(800)
    y = x[:, 1] % 1 > 5e-3
    xgb.train({"objective": "binary:logistic", "nthread": 1, "max_depth": 3}, xgb.DMatrix(x, y), 8).save_model(
        tmp_path / "m.json"
    )
    np.save(tmp_path / "x.npy", x)
    take(tmp_path / "m.json", tmp_path, "--examples", tmp_path / "x.npy")
    with pytest.raises(GateFailed, match="keep their class"):
        run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    take(tmp_path / "m.json", tmp_path, "--examples", tmp_path / "x.npy", "--sample-bits", "32")
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    said = checks(run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile(), "--json"))
    assert said["label_agreement"] == 1
    assert said["host_mismatches"] == said["self_test_mismatches"] == 0
    assert "int32_t model_sample" in (tmp_path / "firmware" / "model.h").read_text()


@COMPILED
def test_a_device_that_is_too_small_fails_the_proof(file, profile, tmp_path):
    tight = profile(memory={"model_flash_kib": 0.5, "model_ram_kib": 4})
    take(file, tmp_path)
    run(artefact.app, "build", tmp_path / "kept", "--profile", tight, "--out", tmp_path / "firmware")
    with pytest.raises(GateFailed, match="flash"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", tight)


@COMPILED
def test_sources_that_compute_something_else_fail_their_proof(file, profile, tmp_path):
    """A person changed a leaf, and sealed the result again."""
    from components.quantization.imported.boosted.building import build_trees
    from components.values.imported_trees import ImportedTrees
    from components.workspace.profiles import Profile

    take(file, tmp_path)
    made = build_trees(ImportedTrees.load(tmp_path / "kept"), Profile.model_validate(PROFILE))
    source = made.members["model.c"].decode()
    made.members["model.c"] = re.sub(r"(BIAS\[3\] = \{)", r"\g<1>1 + ", source).encode()
    made.save(tmp_path / "firmware")
    with pytest.raises(GateFailed, match="mismatches"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile())


@pytest.mark.parametrize("changed", ["model.c", "golden.npz", "artefact.json", "imported.json", "model.json", "examples.npy"])
def test_what_was_changed_is_neither_built_nor_proven(changed, file, profile, tmp_path):
    take(file, tmp_path)
    out = tmp_path / "firmware"
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", out)
    place = next(p for p in (out / changed, tmp_path / "kept" / changed) if p.exists())
    place.write_bytes(place.read_bytes()[:-9] + b"123456789")
    with pytest.raises(VerificationFailed):
        run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "again")
        run(artefact.app, "prove", out, "--profile", profile())


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value["sampling"].__setitem__("lsb", [0.1]),
        lambda value: value["sampling"].__setitem__("lsb", [0.0] * 6),
        lambda value: value.__setitem__("sampling", None),
        lambda value: value["files"].pop("model.json"),
    ],
)
def test_a_description_that_does_not_fit_its_files_is_refused(change, file, profile, tmp_path):
    take(file, tmp_path)
    value = json.loads((tmp_path / "kept" / "imported.json").read_text())
    change(value)
    (tmp_path / "kept" / "imported.json").write_text(json.dumps(value))
    with pytest.raises(VerificationFailed):
        run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--classes", "a,b"), "2 names for 3 classes"),
        (("--classes", "a,a,b"), "names"),
        (("--lsb", "x"), "no numbers"),
        (("--lsb", "1,2"), "2 numbers for 6 features"),
        (("--lsb", "0"), "not above 0"),
        (("--lsb", "nan"), "numbers"),
        (("--offset", "1"), "without --lsb"),
        (("--sample-bits", "8"), "sample-bits 8"),
    ],
)
def test_options_that_do_not_fit_the_trees_are_refused(arguments, says, file, tmp_path):
    with pytest.raises(InputError, match=says):
        take(file, tmp_path, *arguments)
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(
    ("rows", "says"), [(np.zeros((4, 5)), "rows of 5 numbers"), (np.full((4, 6), np.inf), "infinite"), (np.zeros(6), "rows of 1")]
)
def test_examples_that_are_no_rows_of_the_model_are_refused(rows, says, file, tmp_path):
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(InputError, match=says):
        take(file, tmp_path, "--examples", tmp_path / "x.npy")


def test_other_files_and_runtimes_are_refused_with_what_to_do(file, profile, tmp_path):
    (tmp_path / "other.json").write_text('{"a": 1}')
    with pytest.raises(InputError, match="no whole XGBoost model"):
        take(tmp_path / "other.json", tmp_path)
    (tmp_path / "m.tflite").write_bytes(classifier())
    with pytest.raises(InputError, match="are of trees"):
        take(tmp_path / "m.tflite", tmp_path, "--lsb", "1")
    take(file, tmp_path)
    phone = profile(runtime={"name": "litert", "minimal": "2.0"})
    with pytest.raises(InputError, match="LiteRT has no trees"):
        run(artefact.app, "build", tmp_path / "kept", "--profile", phone, "--out", tmp_path / "phone")
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    with pytest.raises(InputError, match="built for profile 'node'"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile(name="other"))


def test_two_imports_and_builds_give_equal_bytes(file, profile, tmp_path):
    built = []
    for name in ("one", "two"):
        run(model.app, "import", file, "--name", "wear", "--out", tmp_path / name)
        run(artefact.app, "build", tmp_path / name, "--profile", profile(), "--out", tmp_path / name / "built")
        built.append({p.name: p.read_bytes() for p in (tmp_path / name / "built").iterdir()})
    assert built[0] == built[1]


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))), reason="no Arm compiler or emulator")
def test_the_emulated_board_repeats_every_row_and_counts(file, examples, profile, tmp_path):
    emulated = profile(proof={"machine": "mps2-an386", "vectors": 12}, budget={"max_instructions": 20_000})
    take(file, tmp_path, "--examples", examples)
    run(artefact.app, "build", tmp_path / "kept", "--profile", emulated, "--out", tmp_path / "firmware")
    proof = run(artefact.app, "prove", tmp_path / "firmware", "--profile", emulated, "--json")
    assert data(proof)["level"] == "emulated"
    said = checks(proof)
    assert said["self_test_mismatches"] == 0
    assert said["flash"] < 3000
    assert said["ram"] < 400
