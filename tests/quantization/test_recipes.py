"""Which way of writing a network's numbers is taken for a profile, and why the others are not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.models import reference
from components.models.ranges import calibrated, ranges, span_of
from components.models.selection import range_windows
from components.models.simulation import simulate_within
from components.quantization.prove import prove
from components.quantization.quantize import quantize
from components.quantization.recipes.correct import corrected
from components.quantization.recipes.equalise import equalised
from components.quantization.recipes.fidelity import Fidelity, fidelity, judged
from components.quantization.recipes.search import search
from components.quantization.recipes.tried import Tried, settled, with_front
from components.quantization.recipes.write import write
from components.quantization.reporting.facts import compiled_in
from components.quantization.targets import litert, onnx_runtime
from components.values.recipe import Recipe
from components.workspace.errors import GateFailed, VerificationFailed

from . import plant

NEAR = Fidelity(noise=0.001, agreement=1.0, correlation=1.0, shift=0.0)


def test_equalised_channels_say_the_same(model, windows):
    codes = range_windows(windows)
    other = equalised(model.architecture, model.weights, codes)
    assert any(not np.array_equal(other[name], weight) for name, weight in model.weights.items())
    before = reference.forward(model.architecture, model.weights, windows.codes[::3])
    after = reference.forward(model.architecture, other, windows.codes[::3])
    assert np.allclose(before.correction, after.correction, atol=1e-4)
    assert np.allclose(before.logits["fault"], after.logits["fault"], atol=1e-4)
    assert np.allclose(before.numbers["life"], after.numbers["life"], atol=1e-4)


def test_equalising_helps_channels_that_differ_a_hundredfold(model, windows):
    """The same function with a skewed layer: as it is, small channels drown in the codes of large ones."""
    weights, skew = dict(model.weights), np.geomspace(0.1, 10, model.architecture.width).astype(np.float32)
    weights["block0.depthwise.weight"] = weights["block0.depthwise.weight"] * skew[:, None, None]
    weights["block0.depthwise.bias"] = weights["block0.depthwise.bias"] * skew
    weights["block0.pointwise.weight"] = weights["block0.pointwise.weight"] / skew[None, :, None]
    skewed, codes = replace(model, weights=weights), range_windows(windows)
    wanted = judged(skewed, codes)
    plain = _noise(skewed, Recipe("int8", "minmax"), codes, wanted)
    assert _noise(skewed, Recipe("int8", "minmax", equalised=True), codes, wanted) < plain / 2


@pytest.mark.parametrize("limit", [127, 7])
def test_corrected_biases_take_the_mean_error_of_rounding_away(model, windows, limit):
    """Of a layer that reads what it read before: the stem."""
    codes, a = np.asarray(windows.codes), model.architecture
    other = corrected(a, model.weights, codes, limit)
    scale = np.abs(model.weights["stem.weight"]).max(axis=(1, 2), keepdims=True) / limit
    rounded = dict(model.weights) | {"stem.weight": np.rint(model.weights["stem.weight"] / scale) * scale}

    def before_relu(weights):
        """A large bias keeps ReLU from cutting anything off."""
        lifted = dict(weights) | {"stem.bias": weights["stem.bias"] + 1000}
        return reference.tensors(a, lifted, codes)["stem"].mean(axis=(0, 1), dtype=np.float64)

    wanted = before_relu(model.weights)
    plain = np.abs(before_relu(rounded) - wanted).max()
    made_up_for = np.abs(before_relu(rounded | {"stem.bias": other["stem.bias"]}) - wanted).max()
    assert made_up_for < max(plain / 3, 2e-3)  # what is left comes from the ends of windows, whose neighbours are padding


def test_a_spike_is_clipped_by_all_but_minmax_and_outputs_by_none(model, windows):
    codes = np.asarray(windows.codes[:400]).copy()
    codes[codes == -128] = 0
    codes[0, 5] = 127
    whole = ranges(model.architecture, model.weights, codes)
    for calibrator in ("percentile", "mse", "kl"):
        found = calibrated(model.architecture, model.weights, codes, calibrator)
        assert found.keys() == whole.keys()
        assert all(low >= min(whole[n][0], 0) and high <= max(whole[n][1], 0) for n, (low, high) in found.items())
        assert {found[n] == whole[n] for n in ("correction", "logits.fault", "number.life")} == {True}
    assert calibrated(model.architecture, model.weights, codes, "percentile")["stem"][1] < whole["stem"][1]


@pytest.mark.slow
@given(st.lists(st.integers(0, 1000), min_size=512, max_size=512).filter(any), st.floats(-5, 0), st.floats(0.1, 50))
def test_ranges_lie_inside_of_the_values_and_reach_zero(counts, low, high):
    """Whatever the values: never wider than they are, and zero keeps a code."""
    for calibrator in ("percentile", "mse", "kl"):
        least, greatest = span_of(np.asarray(counts, float), low, high, calibrator)
        assert low <= least <= 0 < greatest <= high


def test_evenly_spread_values_are_not_clipped():
    counts = np.full(2048, 7.0)
    for calibrator in ("percentile", "mse", "kl"):
        assert span_of(counts, -1.0, 3.0, calibrator) == (-1.0, 3.0)


def test_mse_gives_up_one_far_value_for_the_resolution_of_the_others():
    counts = np.zeros(2048)
    counts[:200], counts[-1] = 1000, 1
    assert span_of(counts, 0.0, 100.0, "mse")[1] < 80


def test_what_breaks_a_promise_or_is_slow_or_large_says_so():
    profile = plant.profile("onnxruntime", memory={"model_flash_kib": 4.0, "model_ram_kib": 1000.0})
    far = Fidelity(noise=0.5, agreement=0.4, correlation=0.2, shift=0.0)
    tried = [
        Tried(Recipe("int8", "minmax"), far, 1000, 0.1),
        Tried(Recipe("int8", "mse"), NEAR, 1000, 0.5),
        Tried(Recipe("int8", "kl"), NEAR, 5000, 0.1),
        Tried(Recipe("float32"), NEAR, 4000, 0.2),
    ]
    broken, slow, large, floats = settled(tried, profile)
    assert "label agreement 0.400 < " in broken.lost
    assert "rank correlation" in broken.lost
    assert slow.lost == "slower than float32 on the same runtime"
    assert large.lost == "5,000 bytes > 4,096 of memory.model_flash_kib"
    assert not floats.lost


@pytest.mark.parametrize(("prefer", "precision"), [("size", "int8"), ("accuracy", "float32"), ("latency", "dynamic")])
def test_the_profile_says_what_decides(prefer, precision):
    profile = plant.profile("litert", quantization={"prefer": prefer})
    tried = [
        Tried(Recipe("int8", "minmax"), NEAR, 10_000, 0.20),
        Tried(Recipe("dynamic"), replace(NEAR, noise=0.0005), 12_000, 0.10),
        Tried(Recipe("float32"), replace(NEAR, noise=0.0), 40_000, 0.22),
    ]
    assert [one.recipe.precision for one in settled(tried, profile) if not one.lost] == [precision]


def test_of_two_sizes_within_a_tenth_the_faster_is_taken():
    tried = [Tried(Recipe("dynamic"), NEAR, 10_000, 0.2), Tried(Recipe("int8", "minmax"), NEAR, 10_900, 0.1)]
    assert [one.lost for one in settled(tried, plant.profile("litert"))][1] == ""


def test_the_front_is_what_nothing_beats_in_everything():
    tried = [
        Tried(Recipe("int8", "minmax"), NEAR, 10, 0.2),
        Tried(Recipe("int8", "kl"), replace(NEAR, noise=0.01), 10, 0.2),
        Tried(Recipe("float32"), replace(NEAR, noise=0.0), 40, 0.3),
    ]
    assert [one.front for one in with_front(tried)] == [True, False, True]


def test_a_search_keeps_what_lost_and_why(workspace, windows, model, tmp_path):
    profile = plant.profile("onnxruntime", quantization={})
    found = search(profile, model, windows, tmp_path)
    found.save(tmp_path, profile.name)
    told = json.loads((tmp_path / f"{profile.name}.recipes.json").read_text())
    assert told["chosen"] == found.recipe.name
    names = [one["name"] for one in told["tried"]]
    assert {"float32", "int8 minmax", "int8 percentile", "int8 mse", "int8 kl"} <= {n.removesuffix(" equalised") for n in names}
    assert [one["name"] for one in told["tried"] if not one["lost"]] == [told["chosen"]]
    assert found.paces.keys() == {one.recipe.name for one in found.tried if one.size}
    assert not any("latency_ms" in one for one in told["tried"])  # times differ, and equal inputs give equal bytes
    artefact = quantize(workspace, profile, model, windows, "d" * 64, found)
    assert artefact.recipe == found.recipe.name
    assert type(artefact).from_bytes(artefact.to_bytes()).recipe == found.recipe.name


@pytest.mark.slow
def test_a_profile_can_name_its_recipe(windows, model, tmp_path):
    named = {"precisions": ["int8"], "calibrators": ["percentile"], "rewrites": []}
    slow_allowed = plant.profile("c99", quantization=named)
    pytest.importorskip("tensorflow")
    assert search(slow_allowed, model, windows, tmp_path).recipe == Recipe("int8", "percentile")


def test_no_recipe_that_keeps_the_promises_is_an_error_with_the_reasons(windows, model, tmp_path):
    profile = plant.profile("onnxruntime", numeric={"max_value_shift": 0.0})
    with pytest.raises(GateFailed, match=r"no recipe will do .*value shift"):
        search(profile, model, windows, tmp_path)


def test_floats_on_onnx_runtime_answer_in_codes_like_any_artefact(windows, model):
    written = write(model, Recipe("float32"), range_windows(windows), 127)
    network = onnx_runtime.compile_network(written)
    assert fidelity(model, network, judged(model, np.asarray(windows.codes[::4]))).noise < 0.002


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["int8", "dynamic", "int16x8", "float16", "float32"])
def test_every_precision_of_litert_is_proven(precision, workspace, windows, model, cache):
    profile = plant.profile("litert", quantization={"precisions": [precision]})
    written = [write(model, Recipe(p, "minmax" * (p == "int8")), range_windows(windows), 127) for p in ("int8", precision)]
    eight, network = litert.compile_networks(written, cache)
    wanted = judged(model, np.asarray(windows.codes[::4]))
    assert fidelity(model, network, wanted).noise <= fidelity(model, eight, wanted).noise
    from components.quantization.recipes.search import Search

    artefact = quantize(workspace, profile, model, windows, "d" * 64, Search(network, Recipe(precision)))
    proof = prove(workspace, profile, artefact, model, windows)
    assert proof.passed, proof


def _noise(model, recipe, codes, wanted):
    written = write(model, recipe, codes, 127)
    return fidelity(model, simulate_within(written.architecture, written.weights, written.spans), wanted).noise


@pytest.mark.parametrize("content", ["", "{", "{}", '{"chosen": "int8", "tried": [{}]}'])
def test_a_damaged_record_of_recipes_is_named(content, tmp_path):
    folder = tmp_path / "quantize" / "node"
    folder.mkdir(parents=True)
    (folder / "node.recipes.json").write_text(content)
    with pytest.raises(VerificationFailed, match=r"node.recipes.json is not there, or damaged"):
        compiled_in(tmp_path / "quantize", tmp_path / "prove", tmp_path / "paces")


def test_onnx_runtime_writes_the_weights_that_the_search_simulates(windows, model):
    """Signal to noise in the runtime is what simulated integers say of it: its largest code is theirs."""
    codes = range_windows(windows)
    wanted = judged(model, np.asarray(windows.codes[::3]))
    for recipe in (Recipe("int8", "minmax"), Recipe("int8", "minmax", equalised=True), Recipe("int8", "mse", corrected=True)):
        written = write(model, recipe, codes, onnx_runtime.WEIGHT_LIMIT)
        simulated = simulate_within(written.architecture, written.weights, written.spans, onnx_runtime.WEIGHT_LIMIT)
        real, told = (fidelity(model, n, wanted).noise for n in (onnx_runtime.compile_network(written), simulated))
        assert real == pytest.approx(told, rel=0.1)
