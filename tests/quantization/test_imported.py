"""A model from elsewhere: taken in, compiled, proven, through the command line."""

from __future__ import annotations

import json
import pickle
import re
import shutil
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from components.workspace.errors import GateFailed, InputError, NotFound, VerificationFailed
from muster.commands import artefact, model

from .flat import tflm
from .networks import CLASSES, SIZE, classifier

PROFILE = {
    "name": "node",
    "description": "a sensor node",
    "arch": {"family": "armv7e-m", "cpu": "cortex-m4"},
    "memory": {"model_flash_kib": 32, "model_ram_kib": 4},
    "runtime": {"name": "c99", "minimal": "1.0"},
    "proof": {"machine": "native", "vectors": 8},
}
ROOMY = {"model_flash_kib": 1024, "model_ram_kib": 64 << 10}
COMPILED = pytest.mark.skipif(not any(map(shutil.which, ("gcc", "clang"))), reason="no C compiler (Debian: gcc libc6-dev)")


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


@pytest.fixture
def file(tmp_path):
    place = tmp_path / "gesture.tflite"
    place.write_bytes(classifier())
    return place


@pytest.fixture
def imported(file, tmp_path):
    run(model.app, "import", file, "--name", "gesture", "--out", tmp_path / "gesture", "--classes", ",".join(CLASSES))
    return tmp_path / "gesture"


@pytest.fixture
def profile(tmp_path):
    def write(**changes):
        place = tmp_path / "node.yaml"
        place.write_text(yaml.safe_dump(PROFILE | changes))
        return place

    return write


def test_an_imported_model_says_what_is_in_it(file, tmp_path):
    found = data(run(model.app, "import", file, "--name", "gesture", "--out", tmp_path / "kept", "--json"))
    assert found["input"] == {"name": "image", "shape": [1, 8, 6, 2], "scale": pytest.approx(0.05), "zero": -3, "bits": 8}
    assert [port["shape"] for port in found["outputs"]] == [[1, 3]]
    assert found["operators"] == {"CONV_2D": 1, "DEPTHWISE_CONV_2D": 1, "FULLY_CONNECTED": 1, "MEAN": 1, "SOFTMAX": 1}
    assert found["macs"] == 12 * 8 * 18 + 12 * 8 * 9 + 24
    assert found["examples"]["drawn"] == "random"
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"imported.json", "model.tflite", "examples.npy"}
    table = run(model.app, "import", file, "--name", "gesture", "--out", tmp_path / "kept").stdout
    assert "1 SOFTMAX" in table


@pytest.mark.parametrize("kind", ["float values", "codes", "archive"])
def test_examples_become_codes(kind, file, tmp_path):
    codes = np.random.default_rng(0).integers(-128, 128, (5, 8, 6, 2)).astype(np.int8)
    values = codes if kind == "codes" else ((codes + 3.0) * 0.05).astype(np.float32)
    place = tmp_path / ("x.npz" if kind == "archive" else "x.npy")
    (np.savez if kind == "archive" else np.save)(place, values)
    run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", "--examples", place)
    assert np.array_equal(np.load(tmp_path / "kept" / "examples.npy"), codes.reshape(5, SIZE))
    assert json.loads((tmp_path / "kept" / "imported.json").read_text())["examples"]["drawn"] == "given"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (np.zeros((3, 7), np.float32), "rows of 7 numbers"),
        (np.full((3, SIZE), np.nan, np.float32), "no numbers"),
        (np.array(["a"] * 3), "shape"),
        (np.array([{}], dtype=object), "no array of numbers"),
        (np.zeros((0, SIZE), np.float32), "shape"),
    ],
)
def test_examples_that_are_no_inputs_are_refused(values, says, file, tmp_path):
    np.save(tmp_path / "x.npy", values, allow_pickle=True)
    with pytest.raises(InputError, match=says):
        run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy")
    assert not (tmp_path / "kept").exists()


def test_other_formats_are_refused_with_what_is_accepted(tmp_path):
    class Harm:
        def __reduce__(self):
            return (tmp_path.joinpath("harm").touch, ())

    files = {
        "m.pkl": pickle.dumps(Harm()),
        "renamed.tflite": pickle.dumps(Harm()),
        "m.h5": b"\x89HDF\r\n\x1a\n" + bytes(32),
        "m.onnx": b"ONNX" + bytes(32),
        "m.txt": b"hello",
        "empty.tflite": b"",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/data.pkl", pickle.dumps(Harm()))
    with zipfile.ZipFile(tmp_path / "m.zip", "w") as archive:
        archive.writestr("a.txt", "hello")
    said = {"m.pkl": "never opened", "renamed.tflite": "never opened", "m.h5": ".keras", "m.onnx": "ONNX", "m.pt": "PyTorch"}
    for name in (*files, "m.pt", "m.zip"):
        with pytest.raises(InputError, match=said.get(name, ".")) as error:
            run(model.app, "import", tmp_path / name, "--name", "g", "--out", tmp_path / "kept")
        assert "int8 .tflite" in error.value.hint
    assert not (tmp_path / "harm").exists()
    with pytest.raises(NotFound):
        run(model.app, "import", tmp_path / "none.tflite", "--name", "g", "--out", tmp_path / "kept")
    with pytest.raises(InputError, match="folder"):
        run(model.app, "import", tmp_path, "--name", "g", "--out", tmp_path / "kept")


@pytest.mark.parametrize("classes", ["a,b", "a,b,b", "a,,b", "a b,a_b,c", "é,ü,a"])
def test_classes_name_each_code_of_an_output_once(classes, file, tmp_path):
    with pytest.raises(InputError, match="class"):
        run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", "--classes", classes)


def test_a_keras_file_needs_examples(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.keras", "w") as archive:
        archive.writestr("config.json", "{}")
        archive.writestr("model.weights.h5", b"")
    with pytest.raises(InputError, match="without examples"):
        run(model.app, "import", tmp_path / "m.keras", "--name", "g", "--out", tmp_path / "kept")


@COMPILED
def test_an_artefact_of_c_is_built_and_proven(imported, profile, tmp_path):
    out = tmp_path / "firmware"
    built = data(run(artefact.app, "build", imported, "--profile", profile(), "--out", out, "--json"))
    assert {"model.h", "model.c", "model_selftest.c", "main.c", "golden.npz"} == set(built["files"])
    header = (out / "model.h").read_text()
    assert "MODEL_CLASS_STILL = 2" in header
    assert re.search(r"MODEL_INPUT_ZERO \(-3\)", header)
    proof = data(run(artefact.app, "prove", out, "--profile", profile(), "--json"))
    checks = {c["name"]: c for c in proof["checks"]}
    assert proof["passed"]
    assert checks["self_test_mismatches"]["value"] == checks["host_mismatches"]["value"] == 0
    assert json.loads((out / "node.proof.json").read_text())["level"] in {"host-compiled", "native"}
    table = run(artefact.app, "prove", out / "artefact.json", "--profile", profile())
    assert "host_mismatches" in table.stdout


def test_golden_vectors_are_those_of_tensorflow_lite_micro(imported, profile, tmp_path):
    pytest.importorskip("tflite_micro", reason="tflite-micro is in the extra dev")
    run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "firmware")
    with np.load(tmp_path / "firmware" / "golden.npz") as golden:
        (wanted,) = tflm(classifier(), golden["inputs"])
        assert np.array_equal(golden["outputs"], wanted)
        assert len(wanted) >= 100


@COMPILED
def test_the_sources_compile_strictly_and_need_no_heap_or_floating_point(imported, profile, tmp_path):
    out = tmp_path / "firmware"
    run(artefact.app, "build", imported, "--profile", profile(), "--out", out)
    strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]
    for compiler in filter(shutil.which, ("gcc", "clang")):
        subprocess.run([compiler, *strict, "-c", "model.c", "model_selftest.c", "main.c"], cwd=out, check=True)
    code = re.sub(
        r"/\*.*?\*/", "", "".join((out / n).read_text() for n in ("model.h", "model.c", "model_selftest.c")), flags=re.S
    )
    assert not re.search(r"\b(float|double|malloc|calloc|free|printf)\b", code)
    assert set(re.findall(r"#include <(.+?)>", code)) == {"stdint.h", "string.h", "arm_acle.h"}
    assert set(re.findall(r"\b(mem\w+|str\w+)\(", code)) <= {"memcpy", "memset"}
    assert "pooled" not in code


@COMPILED
def test_too_small_a_device_fails_its_proof(imported, profile, tmp_path):
    tight = profile(memory={"model_flash_kib": 1, "model_ram_kib": 0.1})
    run(artefact.app, "build", imported, "--profile", tight, "--out", tmp_path / "firmware")
    with pytest.raises(GateFailed, match="flash, ram"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", tight)
    assert not json.loads((tmp_path / "firmware" / "node.proof.json").read_text())["passed"]


@COMPILED
def test_sources_that_compute_something_else_fail_their_proof(imported, profile, tmp_path):
    """A compiler or a person broke a weight, and sealed the result again."""
    from components.quantization.imported.building import build_imported
    from components.values.compiled import CompiledModel
    from components.values.imported import ImportedModel
    from components.workspace.profiles import Profile

    made = build_imported(ImportedModel.load(imported), Profile.model_validate(PROFILE))
    source = made.members["model.c"].decode()
    first = re.search(r"W0\[\d+\] = \{(-?\d+)", source)
    made.members["model.c"] = (source[: first.start(1)] + str(-int(first[1]) or 99) + source[first.end(1) :]).encode()
    made.save(tmp_path / "firmware")
    assert CompiledModel.load(tmp_path / "firmware").profile == "node"
    with pytest.raises(GateFailed, match="mismatches"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile())


@pytest.mark.parametrize("changed", ["model.c", "golden.npz", "artefact.json"])
def test_a_changed_artefact_is_not_proven(changed, imported, profile, tmp_path):
    out = tmp_path / "firmware"
    run(artefact.app, "build", imported, "--profile", profile(), "--out", out)
    (out / changed).write_bytes((out / changed).read_bytes()[:-9] + b"123456789")
    with pytest.raises(VerificationFailed):
        run(artefact.app, "prove", out, "--profile", profile())


@pytest.mark.parametrize("changed", ["model.tflite", "examples.npy", "imported.json"])
def test_a_changed_model_is_not_built(changed, imported, profile, tmp_path):
    (imported / changed).write_bytes((imported / changed).read_bytes()[:-9] + b"123456789")
    with pytest.raises(VerificationFailed):
        run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "firmware")


def test_a_folder_without_a_model_or_a_profile_of_another_kind_is_refused(imported, profile, tmp_path):
    with pytest.raises(NotFound):
        run(artefact.app, "build", tmp_path / "nowhere", "--profile", profile(), "--out", tmp_path / "firmware")
    with pytest.raises(NotFound):
        run(artefact.app, "build", imported, "--profile", tmp_path / "no.yaml", "--out", tmp_path / "firmware")
    with pytest.raises(NotFound):
        run(artefact.app, "prove", tmp_path / "nowhere", "--profile", profile())
    other = profile(runtime={"name": "onnxruntime", "minimal": "1.0"})
    with pytest.raises(InputError, match="onnxruntime"):
        run(artefact.app, "build", imported, "--profile", other, "--out", tmp_path / "firmware")
    newer = profile(runtime={"name": "c99", "minimal": "9.0"})
    with pytest.raises(InputError, match="interface"):
        run(artefact.app, "build", imported, "--profile", newer, "--out", tmp_path / "firmware")
    strict = profile(ops={"allow": ["CONV_2D"]})
    with pytest.raises(GateFailed, match="SOFTMAX"):
        run(artefact.app, "build", imported, "--profile", strict, "--out", tmp_path / "firmware")
    run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "firmware")
    with pytest.raises(InputError, match="built for profile 'node'"):
        run(artefact.app, "prove", tmp_path / "firmware", "--profile", profile(name="other"))


def test_litert_gets_the_file_as_it_is(imported, profile, tmp_path):
    runtime = profile(runtime={"name": "litert", "minimal": "2.0"}, arch={"family": "x86-64", "cpu": "any"}, memory=ROOMY)
    run(artefact.app, "build", imported, "--profile", runtime, "--out", tmp_path / "phone")
    assert (tmp_path / "phone" / "model.tflite").read_bytes() == classifier()
    checks = {
        c["name"]: c for c in data(run(artefact.app, "prove", tmp_path / "phone", "--profile", runtime, "--json"))["checks"]
    }
    assert checks["self_test_mismatches"]["value"] == 0
    assert checks["label_agreement"]["value"] >= 0.95
    assert checks["latency"]["value"] > 0
    assert checks["ram"]["limit"] == 64 << 20


@pytest.mark.parametrize("ends", ["float32", "uint8"])
def test_a_model_with_other_types_at_its_ends_is_compiled_from_codes_to_codes(ends, file, profile, tmp_path):
    """For C it is the network between them; LiteRT runs the file with what it takes and gives."""
    file.write_bytes(classifier(ends))
    codes = np.random.default_rng(0).integers(-128, 128, (40, SIZE)).astype(np.int8)
    given = (codes.astype(int) + 128).astype(np.uint8) if ends == "uint8" else ((codes + 3.0) * 0.05).astype(np.float32)
    np.save(tmp_path / "x.npy", given)
    about = ("--examples", tmp_path / "x.npy", "--classes", ",".join(CLASSES))
    run(model.app, "import", file, "--name", "g", "--out", tmp_path / "kept", *about)
    assert np.array_equal(np.load(tmp_path / "kept" / "examples.npy"), codes)
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    with np.load(tmp_path / "firmware" / "golden.npz") as golden:
        exact = golden["outputs"]
    runtime = profile(runtime={"name": "litert", "minimal": "2.0"}, arch={"family": "x86-64", "cpu": "any"}, memory=ROOMY)
    run(artefact.app, "build", tmp_path / "kept", "--profile", runtime, "--out", tmp_path / "phone")
    with np.load(tmp_path / "phone" / "golden.npz") as golden:
        assert np.abs(golden["outputs"].astype(int) - exact).max() <= 8
    assert data(run(artefact.app, "prove", tmp_path / "phone", "--profile", runtime, "--json"))["passed"]


def test_two_imports_and_builds_give_equal_bytes(file, profile, tmp_path):
    folders = []
    for name in ("one", "two"):
        run(model.app, "import", file, "--name", "g", "--out", tmp_path / name)
        run(artefact.app, "build", tmp_path / name, "--profile", profile(), "--out", tmp_path / name / "built")
        folders.append({p.name: p.read_bytes() for p in (tmp_path / name / "built").iterdir()})
    assert folders[0] == folders[1]


@pytest.mark.slow
@pytest.mark.skipif(not all(map(shutil.which, ("arm-none-eabi-gcc", "qemu-system-arm"))), reason="no Arm compiler or emulator")
def test_the_emulated_board_repeats_every_vector_and_counts(imported, profile, tmp_path):
    emulated = profile(proof={"machine": "mps2-an386", "vectors": 12}, budget={"max_instructions": 200_000})
    run(artefact.app, "build", imported, "--profile", emulated, "--out", tmp_path / "firmware")
    proof = data(run(artefact.app, "prove", tmp_path / "firmware", "--profile", emulated, "--json"))
    checks = {c["name"]: c["value"] for c in proof["checks"]}
    assert proof["level"] == "emulated"
    assert checks["self_test_mismatches"] == 0
    assert checks["ram"] < 2000
    assert checks["instructions_per_mac"] < 15


@pytest.mark.slow
def test_a_keras_file_is_converted_with_the_ranges_of_its_examples(tmp_path, profile):
    """Also one that carries code: Keras refuses to run it."""
    code = """
import sys, numpy as np
from tensorflow import keras
layers = keras.layers
keras.utils.set_random_seed(0)
keras.Sequential([keras.Input((6, 2)), layers.Flatten(), layers.Dense(5, "relu"), layers.Dense(3)]).save(sys.argv[1])
keras.Sequential([keras.Input((6, 2)), layers.Lambda(lambda x: x * 2)]).save(sys.argv[2])
"""
    files = tmp_path / "m.keras", tmp_path / "code.keras"
    subprocess.run([sys.executable, "-c", code, *map(str, files)], check=True, capture_output=True)
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(0, 3, (50, 6, 2)).astype(np.float32))
    about = ("--name", "m", "--examples", tmp_path / "x.npy", "--out")
    found = data(run(model.app, "import", files[0], *about, tmp_path / "kept", "--json"))
    assert found["macs"] == 12 * 5 + 5 * 3
    assert 127 * found["input"]["scale"] > 3
    run(artefact.app, "build", tmp_path / "kept", "--profile", profile(), "--out", tmp_path / "firmware")
    with pytest.raises(InputError, match="not read"):
        run(model.app, "import", files[1], *about, tmp_path / "other")
