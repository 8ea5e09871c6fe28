"""A float model that comes as ONNX: taken in, written for ONNX Runtime, proven, through the command line."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper
from typer.testing import CliRunner

from components.quantization.imported.onnx_models.activations import measured
from components.quantization.imported.onnx_models.checking import checked, entry
from components.quantization.imported.onnx_models.folding import folded
from components.workspace.errors import GateFailed, InputError, VerificationFailed
from muster.commands import artefact, model

from .onnx_graphs import CLASSES, SHAPE, classifier, inputs, proto
from .onnx_hostile import HOSTILE

PROFILE = {
    "name": "gateway",
    "description": "a gateway",
    "arch": {"family": "x86-64", "cpu": "any"},
    "memory": {"model_flash_kib": 64, "model_ram_kib": 200_000},
    "runtime": {"name": "onnxruntime", "minimal": "1.16"},
    "numeric": {"min_label_agreement": 0.8},
}


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


def data(result):
    return json.loads(result.stdout)["data"]


def take_in(tmp_path, made, *more, rows=None):
    file = tmp_path / "m.onnx"
    file.write_bytes(made if isinstance(made, bytes) else made.SerializeToString())
    np.save(tmp_path / "x.npy", inputs() if rows is None else rows)
    about = ("--name", "steps", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy", "--json")
    return run(model.app, "import", file, *about, *more)


@pytest.fixture
def profile(tmp_path):
    def write(**changes):
        place = tmp_path / "gateway.yaml"
        place.write_text(yaml.safe_dump(PROFILE | changes))
        return place

    return write


@pytest.fixture
def imported(tmp_path):
    take_in(tmp_path, classifier(), "--classes", ",".join(CLASSES))
    return tmp_path / "kept"


def test_an_onnx_file_says_what_is_in_it(tmp_path):
    found = data(take_in(tmp_path, classifier()))
    assert found["input"] == {"name": "x", "shape": [1, *SHAPE]}
    assert found["outputs"] == [{"name": "logits", "shape": [1, 3]}]
    assert found["operators"]["Conv"] == 2
    assert found["macs"] == 16 * 48 * 18 + 16 * 12 * 9 + 3 * 16 * 12
    assert {p.name for p in (tmp_path / "kept").iterdir()} == {"imported.json", "model.onnx", "examples.npy"}


@pytest.mark.parametrize("batch", [1, "n", 4])
def test_a_batch_may_be_open_or_fixed(batch, tmp_path):
    rows = inputs(12, (batch, *SHAPE)) if batch == 4 else inputs(12)
    nodes = [("Relu", ("x",), "logits")]
    found = data(take_in(tmp_path, proto(nodes, {}, (batch, *SHAPE)), rows=rows))
    assert found["input"]["shape"] == [4 if batch == 4 else 1, *SHAPE]


def test_the_recipe_is_chosen_and_the_others_keep_their_reasons(imported, profile, tmp_path):
    built = data(run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "made", "--json"))
    names = [one["name"] for one in built["recipes"]]
    assert len(names) == 7, "four calibrators, two rewrites, floats"
    assert {name.split()[0] for name in names} == {"int8", "float32"}
    assert [one["name"] for one in built["recipes"] if not one["lost"]] == [built["recipe"]]
    kept = json.loads((tmp_path / "made" / "gateway.recipes.json").read_text())
    assert kept["chosen"] == built["recipe"]
    assert kept["tried"] == built["recipes"]


@pytest.mark.parametrize("precision", ["int8", "float32"])
def test_what_was_built_is_proven_in_onnx_runtime(precision, imported, profile, tmp_path):
    wanted = profile(quantization={"precisions": [precision]})
    built = data(run(artefact.app, "build", imported, "--profile", wanted, "--out", tmp_path / "made", "--json"))
    assert built["recipe"].startswith(precision)
    proof = data(run(artefact.app, "prove", tmp_path / "made", "--profile", wanted, "--json"))
    checks = {c["name"]: c["value"] for c in proof["checks"]}
    assert proof["passed"]
    assert checks["self_test_mismatches"] == 0
    assert checks["label_agreement"] >= (1 if precision == "float32" else 0.8)
    assert checks["latency"] > 0
    stored = onnx.load(tmp_path / "made" / "model.onnx")
    assert ("QuantizeLinear" in {n.op_type for n in stored.graph.node}) == (precision == "int8")


def test_weights_keep_within_seven_bits(imported, profile, tmp_path):
    """Of eight, kernels without VNNI saturate."""
    run(artefact.app, "build", imported, "--profile", profile(quantization={"precisions": ["int8"]}), "--out", tmp_path / "made")
    stored = onnx.load(tmp_path / "made" / "model.onnx")
    weights = [onnx.numpy_helper.to_array(t) for t in stored.graph.initializer if t.data_type == TensorProto.INT8 and t.dims]
    assert max(int(np.abs(w.astype(int)).max()) for w in weights if w.size > 100) <= 64


def test_two_builds_give_equal_bytes(imported, profile, tmp_path):
    wanted, made = profile(quantization={"precisions": ["int8"]}), []
    for name in ("one", "two"):
        run(artefact.app, "build", imported, "--profile", wanted, "--out", tmp_path / name)
        made.append({p.name: p.read_bytes() for p in (tmp_path / name).iterdir() if not p.name.endswith(".recipes.json")})
    assert made[0] == made[1]


def test_too_tight_a_budget_fails_the_proof(imported, profile, tmp_path):
    tight = profile(budget={"latency_ms": 1e-6})
    run(artefact.app, "build", imported, "--profile", tight, "--out", tmp_path / "made")
    with pytest.raises(GateFailed, match="latency"):
        run(artefact.app, "prove", tmp_path / "made", "--profile", tight)


def test_what_no_recipe_keeps_fails_the_build(imported, profile, tmp_path):
    small = profile(memory={"model_flash_kib": 1, "model_ram_kib": 1})
    with pytest.raises(GateFailed, match="model_flash_kib"):
        run(artefact.app, "build", imported, "--profile", small, "--out", tmp_path / "small")
    strict = profile(ops={"allow": ["Conv"]})
    with pytest.raises(GateFailed, match="which ops"):
        run(artefact.app, "build", imported, "--profile", strict, "--out", tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_another_profile_or_a_changed_file_is_not_proven(imported, profile, tmp_path):
    run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "made")
    with pytest.raises(InputError, match="built for profile"):
        run(artefact.app, "prove", tmp_path / "made", "--profile", profile(name="other"))
    for changed in ("model.onnx", "golden_wanted.npy"):
        run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "made")
        place = tmp_path / "made" / changed
        place.write_bytes(place.read_bytes()[:-9] + b"123456789")
        with pytest.raises(VerificationFailed):
            run(artefact.app, "prove", tmp_path / "made", "--profile", profile())
    (imported / "examples.npy").write_bytes(b"123456789")
    with pytest.raises(VerificationFailed):
        run(artefact.app, "build", imported, "--profile", profile(), "--out", tmp_path / "made")


def test_ranges_reach_as_far_as_the_activations(tmp_path):
    made = proto([("Mul", ("x", "two"), "m"), ("Relu", ("m",), "logits")], {"two": np.float32(2)})
    source = entry(made)
    rows = inputs().reshape(48, -1)
    found = measured(folded(made.SerializeToString(), source), source, rows)
    assert found.spans["m"] == pytest.approx((2 * rows.min(), 2 * rows.max()))
    clipped = found.under("mse")
    assert clipped["m"][1] <= found.spans["m"][1]
    assert clipped["logits"] == found.spans["logits"]


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_damaged_or_hostile_file_is_refused(kind):
    content, says = HOSTILE[kind]
    with pytest.raises(InputError, match=says) as error:
        entry(checked(content))
    assert error.value.hint


@pytest.mark.parametrize("kind", ["outside", "truncated"])
def test_a_refused_file_leaves_nothing_behind(kind, tmp_path):
    content, says = HOSTILE[kind]
    with pytest.raises(InputError, match=says):
        take_in(tmp_path, content)
    assert not (tmp_path / "kept").exists()


def test_a_file_that_asks_for_all_memory_ends_its_own_process_only(tmp_path):
    nodes = [("ReduceSum", ("x",), "sum"), ("ConstantOfShape", ("s",), "c"), ("Add", ("c", "sum"), "logits")]
    made = proto(nodes, {"s": np.array([1 << 20, 1 << 20], np.int64)})
    with pytest.raises(InputError, match=r"does not run|not read"):
        take_in(tmp_path, made)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_damage_is_refused_or_harmless(draw):
    whole = bytearray(classifier().SerializeToString())
    at = draw.draw(st.integers(0, len(whole) - 1))
    kept = draw.draw(st.integers(at, len(whole)))
    whole[at] ^= draw.draw(st.integers(1, 255))
    try:
        entry(checked(bytes(whole[:kept])))
    except InputError as error:
        assert error.hint


@pytest.mark.parametrize(
    ("rows", "says"),
    [(inputs(4), "4 examples"), (inputs(9, (3,)), "3 numbers"), (np.full((9, *SHAPE), np.nan, np.float32), "no numbers")],
)
def test_examples_that_do_not_fit_are_refused(rows, says, tmp_path):
    with pytest.raises(InputError, match=says):
        take_in(tmp_path, classifier(), rows=rows)


def test_examples_are_needed_and_outputs_are_floats(tmp_path):
    (tmp_path / "m.onnx").write_bytes(classifier().SerializeToString())
    with pytest.raises(InputError, match="without examples"):
        run(model.app, "import", tmp_path / "m.onnx", "--name", "m", "--out", tmp_path / "kept")
    made = proto([("ArgMax", ("x",), "logits", {"axis": 1})], {})
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("logits", TensorProto.INT64, ["n", 1, 8, 6]))
    with pytest.raises(InputError, match="int64"):
        take_in(tmp_path, made)
