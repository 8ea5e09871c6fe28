"""Several networks for one profile: what cannot fit is out first, then answers count, then what they cost."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml

from components.models.selection import range_windows
from components.quantization.boards import host_board
from components.quantization.levels import HOST_COMPILERS, family
from components.quantization.prove import prove
from components.quantization.quantize import quantize
from components.quantization.recipes.fidelity import Fidelity
from components.quantization.recipes.search import search
from components.quantization.recipes.tried import Tried, settled
from components.quantization.reporting.facts import compiled_in
from components.quantization.reporting.page import artefacts_page
from components.quantization.targets.c99 import image
from components.training.shaping.pruning import pruned
from components.values import Artefact, TrainedModel
from components.values.recipe import Recipe
from components.values.shaped import Shaped
from components.workspace.errors import GateFailed

from . import boosted, plant

COMPILED = pytest.mark.skipif(not any(map(shutil.which, HOST_COMPILERS)), reason="no C compiler (Debian: gcc libc6-dev)")


def profile(runtime, flash_kib=1024.0, ram_kib=65536.0, **changes):
    return plant.profile(runtime, memory={"model_flash_kib": flash_kib, "model_ram_kib": ram_kib}, **changes)


@pytest.fixture(scope="module")
def trained(windows):
    """A network whose last block and half of its channels add nothing, and three shapes of it: whole, without these, and one
    that says something else.
    """
    made, idle = plant.model(windows, width=32), np.arange(0, 32, 2)
    weights = {name: weight.copy() for name, weight in made.weights.items()}
    for name, weight in weights.items():
        if name.startswith(("stem", "block", "summary", "hidden")):
            weight[idle] = 0
    for kind in ("weight", "bias"):
        weights[f"block2.pointwise.{kind}"][:] = 0
    whole, codes = (made.architecture, weights), range_windows(windows)
    slim = pruned(*whole, 16, 2, codes)
    odd = plant.model(windows, width=8, blocks=1, seed=11)
    networks = {"whole": whole, "slim": slim, "odd": (odd.architecture, odd.weights)}
    names = tuple(f"test-{runtime}" for runtime in ("onnxruntime", "litert", "c99"))
    rest = made.normal.residual_variance
    shapes = [Shaped(n, names, "prune", {}, *one, (i + 1) * rest) for i, (n, one) in enumerate(networks.items())]
    return replace(made, weights=weights, shapes=tuple(shapes))


def told(found):
    return {one.recipe.name: one.lost for one in found.tried}


def shapes_of(found):
    return {one.recipe.shape for one in found.tried}


@pytest.mark.slow
@pytest.mark.parametrize("prefer", ["size", "accuracy"])
def test_answers_count_before_size(prefer, trained, windows, tmp_path):
    """The smallest network answers something else than the trained one; of those that answer alike the small one is taken."""
    found = search(profile("onnxruntime", quantization={"precisions": ["int8"], "prefer": prefer}), trained, windows, tmp_path)
    assert shapes_of(found) == {"whole", "slim", "odd"}
    odd = next(lost for name, lost in told(found).items() if name.startswith("odd:") and "agreement" in lost)
    assert "label agreement" in odd
    assert found.recipe.shape == ("slim" if prefer == "size" else found.recipe.shape)
    assert found.recipe.shape != "odd"
    assert found.recipe.name.startswith(f"{found.recipe.shape}: int8 ")


@pytest.mark.slow
def test_the_artefact_is_of_the_shape_that_was_taken_and_proven_against_it(workspace, trained, windows, tmp_path):
    wanted = profile("onnxruntime", quantization={"precisions": ["int8"]})
    artefact = quantize(workspace, wanted, trained, windows, "d" * 64, search(wanted, trained, windows, tmp_path))
    assert artefact.shape == "slim"
    assert np.allclose(artefact.scoring.channel_weight, 128 / trained.normal.residual_variance, rtol=0.1)  # it has twice that
    assert Artefact.from_bytes(artefact.to_bytes()).shape == "slim"
    proof = prove(workspace, wanted, artefact, trained, windows)
    assert proof.passed, proof
    other = replace(artefact, shape="odd").sealed()
    assert not prove(workspace, wanted, other, trained, windows).passed


@pytest.mark.slow
def test_what_weighs_too_much_is_out_before_it_is_compiled_or_compared(trained, windows, tmp_path):
    counts = {shape.name: shape.architecture.parameters for shape in trained.shapes}
    limit = (counts["slim"] + counts["odd"]) // 2
    with pytest.raises(GateFailed, match=r"whole: int8: its weights alone take .* bytes > .*slim: int8: its weights"):
        search(profile("onnxruntime", flash_kib=limit / 1024), trained, windows, tmp_path)
    tight = profile("onnxruntime", flash_kib=(4 * counts["whole"] - 1) / 1024, quantization={})
    found = search(tight, trained, windows, tmp_path)
    (lost,) = [one for one in found.tried if "weights alone" in one.lost]
    assert (lost.recipe.name, lost.fidelity, lost.size) == ("whole: float32", None, None)
    assert found.recipe.shape == "slim"


def test_one_shape_is_not_held_against_the_trained_network(trained, windows, tmp_path):
    """As ever: it was chosen by who configured it, and the proof has the last word."""
    alone = replace(trained, shapes=trained.shapes[2:])
    found = search(profile("onnxruntime"), alone, windows, tmp_path)
    assert found.recipe.shape == ""
    assert found.recipe.name.startswith("int8 ")


@pytest.mark.slow
def test_the_shape_stands_in_the_record_and_on_the_page(trained, windows, tmp_path):
    folder = tmp_path / "quantize" / "test-onnxruntime"
    folder.mkdir(parents=True)
    tight = profile("onnxruntime", flash_kib=(trained.architecture.parameters * 4 - 1) / 1024, quantization={})
    found = search(tight, trained, windows, tmp_path)
    found.save(folder, "test-onnxruntime")
    record = json.loads((folder / "test-onnxruntime.recipes.json").read_text())
    assert {one["recipe"]["shape"] for one in record["tried"]} == {"whole", "slim", "odd"}
    (read,) = compiled_in(tmp_path / "quantize", tmp_path / "prove", tmp_path / "paces")
    assert {one.signal_db for one in read.tried if "weights alone" in one.lost} == {None}
    assert not any(one.front for one in read.tried if one.signal_db is None)
    page = artefacts_page("plant", [read])
    assert "slim: int8" in page
    assert "its weights alone take" in page


def test_a_model_with_competing_shapes_is_kept(trained, tmp_path):
    trained.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    assert [shape.name for shape in again.shapes_for("test-c99")] == ["whole", "slim", "odd"]
    assert again.for_profile("test-c99", "slim").architecture.blocks == 2
    assert again.for_profile("test-c99").architecture.blocks == 3
    assert again.for_profile("elsewhere").architecture == trained.architecture


@pytest.mark.slow
@COMPILED
def test_what_c_takes_at_least_is_read_off_without_a_compiler(workspace, trained, windows, cache, tmp_path):
    """Never more than the compiler makes of it, most of it, and the arena to the byte."""
    pytest.importorskip("tensorflow")
    roomy = profile("c99", quantization={"precisions": ["int8"], "calibrators": ["minmax"], "rewrites": []})
    found = search(roomy, trained, windows, cache)
    assert found.recipe.shape == "slim"
    taken = next(one for one in found.tried if one.recipe == found.recipe)
    artefact = quantize(workspace, roomy, trained, windows, "d" * 64, found)
    for name, content in artefact.members.items():
        (tmp_path / name).write_bytes(content)
    compiler = next(filter(shutil.which, HOST_COMPILERS))
    flash = image.compiled(host_board(compiler, family()), "any", tmp_path).flash
    assert 0.4 * flash < taken.size <= flash
    declared = int(re.search(r"static arena of (\d+) bytes", (tmp_path / "model.h").read_text())[1])
    by_name = {one.recipe.shape: one for one in found.tried if one.operators}
    assert by_name["whole"].size > by_name["slim"].size > by_name["odd"].size
    tight = profile("c99", ram_kib=(declared - 1) / 1024, quantization=roomy.quantization.model_dump())
    with pytest.raises(GateFailed, match=rf"slim: int8 minmax: static memory of {declared:,} bytes > {declared - 1:,}"):
        search(tight, replace(trained, shapes=trained.shapes[:2]), windows, cache)
    less = profile("c99", flash_kib=(taken.size - 1) / 1024, quantization=roomy.quantization.model_dump())
    with pytest.raises(GateFailed, match=rf"slim: int8 minmax: {taken.size:,} bytes of tables alone > {taken.size - 1:,}"):
        search(less, trained, windows, cache)


def test_in_c_fewer_multiplications_stand_for_less_time():
    near = Fidelity(noise=0.001, agreement=1.0, correlation=1.0, shift=0.0)
    small = Tried(Recipe("int8", "kl", shape="small"), near, 9_000, multiplications=900)
    quick = Tried(Recipe("int8", "kl", shape="quick"), near, 12_000, multiplications=500)
    for prefer, taken in (("latency", quick), ("size", small)):
        judged = settled([small, quick], profile("c99", quantization={"prefer": prefer}))
        assert [one.recipe for one in judged if not one.lost] == [taken.recipe]


@pytest.mark.parametrize("runtime", ["c99", "onnxruntime"])
def test_trees_that_cannot_fit_are_refused_by_their_tables(runtime, windows, tmp_path):
    made = boosted.model()
    found = search(profile(runtime), made, windows, tmp_path)
    assert found.recipe.name == ""
    with pytest.raises(GateFailed, match=r"the trees do not fit: .* of memory\.model_flash_kib"):
        search(profile(runtime, flash_kib=0.5), made, windows, tmp_path)


def test_a_workspace_may_let_shapes_compete(tmp_path):
    from components.workspace.model_settings import Model
    from components.workspace.settings import Settings

    settings = yaml.safe_load((Path(__file__).parents[2] / "examples/pumps/muster.yaml").read_text())
    shapes = [{"name": n, "profiles": ["mcu-cortex-m4"], "width": w} for n, w in (("slim", 16), ("slimmer", 8))]
    made = Settings.model_validate(settings | {"model": {"shapes": shapes}})
    assert isinstance(made.model, Model)
    shapes[0]["profiles"] *= 2
    with pytest.raises(ValueError, match="profile of shape 'slim' named twice: mcu-cortex-m4"):
        Settings.model_validate(settings | {"model": {"shapes": shapes}})
