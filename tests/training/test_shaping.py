"""Networks made for hardware profiles out of the trained one: they learn in what devices compute, and the nearest there wins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.models import reference
from components.models.selection import range_windows
from components.models.simulation import simulate
from components.training.checkpoint import Checkpoints
from components.training.loop import Engine, Phase
from components.training.pretrain import as_input
from components.training.shaping.imitation import distance_in_integers, imitate, lessons, total
from components.training.shaping.pruning import pruned
from components.training.shaping.student import Student
from components.training.train import rows_of, train, train_network
from components.values import ElectraModel, TrainedModel, Windows
from components.values.architecture import Architecture, Head, Weights
from components.values.networks import networks_in
from components.workspace.model_settings import Model, Shape
from tests.quantization import plant
from tests.training.quick import labels_of, quick_windows, quick_workspace, statistics_of

pytestmark = pytest.mark.slow

TINY = Shape(name="tiny", profiles=("mcu",), width=4, blocks=1, steps=50)
STURDY = Shape(name="sturdy", profiles=("gateway", "phone"), steps=50)


@pytest.fixture(scope="module")
def windows() -> Windows:
    return quick_windows()


@pytest.fixture(scope="module")
def model(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> ElectraModel:
    workspace = quick_workspace(
        tmp_path_factory.mktemp("shaped"), width=8, blocks=2, pretrain_steps=40, finetune_steps=40, shapes=(TINY, STURDY)
    )
    trained = train(workspace, windows, [labels_of(windows)], statistics_of(windows))
    assert isinstance(trained, ElectraModel)
    return trained


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**16), st.sampled_from([3, 4, 7]), st.integers(1, 3))
def test_a_student_computes_in_training_what_the_device_will(seed: int, kernel: int, blocks: int) -> None:
    """Its answers are less than half as far from simulated int8 as the float network's, to a quarter of a code, whatever the
    weights.
    """
    architecture, weights = _drawn(seed, kernel, blocks)
    codes = np.random.default_rng(seed).integers(-127, 128, (24, 16, 3)).astype(np.int8)
    student = Student(architecture, weights, codes).eval()
    with torch.no_grad():
        got = student(*as_input(codes, architecture.input_scale))
    simulated = simulate(architecture, weights, codes)
    said = simulated.engine(codes)
    floats = reference.forward(architecture, weights, codes)
    outputs = {
        "correction": (said.correction, floats.correction),
        "logits.fault": (said.logits["fault"], floats.logits["fault"]),
        "number.life": (said.numbers["life"], floats.numbers["life"]),
    }
    for name, (wanted, unrounded) in outputs.items():
        q = simulated.tensors[name]
        steps, before = (np.abs(found / q.scale + q.zero - wanted).mean() for found in (got[name].numpy(), unrounded))
        assert steps < before / 2 + 0.25, name


def test_channels_and_blocks_that_carry_nothing_leave_without_a_trace() -> None:
    architecture, weights = _drawn(3, 5, 3, width=8)
    codes = np.random.default_rng(3).integers(-127, 128, (16, 16, 3)).astype(np.int8)
    idle = [1, 4, 5, 6]
    for name in weights:
        if name.startswith(("stem", "block", "summary")) and not name.startswith("block1.pointwise"):
            weights[name][idle] = 0
    for kind in ("weight", "bias"):
        weights[f"block1.pointwise.{kind}"][:] = 0
        weights[f"hidden.life.{kind}"][[0, 2, 3, 7]] = 0
    small, cut = pruned(architecture, weights, 4, 2, codes)
    before, after = (reference.forward(a, w, codes) for a, w in ((architecture, weights), (small, cut)))
    assert (small.width, small.blocks) == (4, 2)
    assert sum(w.size for w in cut.values()) == small.parameters
    assert np.allclose(before.correction, after.correction, atol=1e-5)
    assert np.allclose(before.logits["fault"], after.logits["fault"], atol=1e-5)
    assert np.allclose(before.numbers["life"], after.numbers["life"], atol=1e-5)


def test_the_recipe_whose_answers_are_nearest_in_integers_is_kept(model: ElectraModel) -> None:
    tiny, sturdy = model.shapes
    assert set(tiny.losses) == {"prune", "distil"}, "what makes a smaller network"
    assert set(sturdy.losses) == {"post_training", "qat"}, "what keeps the size"
    for shape in model.shapes:
        assert shape.recipe == min(shape.losses, key=lambda name: shape.losses[name])


def test_training_in_integers_mends_what_quantization_after_training_breaks(windows: Windows, tmp_path: Path) -> None:
    """Channels that differ a hundredfold share the codes of a tensor: quantized as they are, the small ones drown."""
    workspace, labels = quick_workspace(tmp_path, width=8, blocks=2, pretrain_steps=60, finetune_steps=1), labels_of(windows)
    rows, engine = rows_of(windows, [labels]), Engine(torch.device("cpu"), lambda *_: None, Checkpoints())
    encoder = train_network(workspace, windows, [labels], [], rows, engine)
    with torch.no_grad():
        encoder.stem.norm.weight[0] *= 40
        encoder.stem.norm.bias[0] *= 40
        for reader in (encoder.restore, encoder.repeat, encoder.detect):
            reader.weight[:, 0] /= 40
    taught = lessons(encoder, -1, windows.codes, rows.fit, rows.quiet, range_windows(windows), 64, 0.0)
    architecture, weights = encoder.architecture, encoder.deploy_weights()
    broken = total(distance_in_integers(architecture, weights, taught))
    mended = imitate(engine, Phase("qat", 200, 2e-3, 1), Student(architecture, weights, taught.ranges), taught)
    assert total(distance_in_integers(architecture, mended, taught)) < broken / 2


def test_a_profile_runs_the_network_that_was_made_for_it(model: ElectraModel) -> None:
    assert model.for_profile("mcu").architecture.width == 4
    assert model.for_profile("phone") is not model
    assert model.for_profile("gateway").architecture == model.architecture
    assert model.for_profile("another") is model


def test_what_was_made_for_profiles_is_kept_with_the_model(model: ElectraModel, tmp_path: Path) -> None:
    model.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    assert isinstance(again, ElectraModel)
    assert set(again.weights) == set(model.weights)
    for mine, kept in zip(model.shapes, again.shapes, strict=True):
        assert replace(mine, weights={}, residual_variance=kept.residual_variance) == replace(kept, weights={})
        assert all(np.array_equal(kept.weights[name], array) for name, array in mine.weights.items())
        assert np.array_equal(mine.residual_variance, kept.residual_variance)
    trained, tiny, _ = networks_in(tmp_path)
    assert trained.parameters == sum(w.size for w in model.weights.values())
    assert (tiny.profiles, tiny.recipe) == (("mcu",), model.shapes[0].recipe)
    assert tiny.multiplications < trained.multiplications / 2


def test_a_network_made_of_one_that_knows_device_types_is_for_its_type_alone(windows: Windows, tmp_path: Path) -> None:
    profile = str(windows.profiles[0])
    shape = Shape(name="own", profiles=(profile,), recipe="qat", steps=25)
    workspace = quick_workspace(tmp_path, device_types=True, shapes=(shape,))
    typed = train(workspace, windows, [labels_of(windows)], statistics_of(windows))
    assert isinstance(typed, ElectraModel)
    own = typed.for_profile(profile)
    assert typed.architecture.types == (profile,)
    assert own.architecture.types == ()
    assert sum(w.size for w in own.weights.values()) == own.architecture.parameters
    assert typed.for_profile("another").architecture.types == ()


def test_the_curve_of_each_recipe_is_in_the_integers_of_devices(model: ElectraModel) -> None:
    for phase in ("prune-tiny", "distil-tiny", "distil-qat-tiny", "qat-sturdy"):
        assert {point.part for point in model.curves if point.phase == phase} == {"train", "int8"}


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"recipe": "prune", "width": 64}, "needs a width or blocks below"),
        ({"recipe": "prune", "width": 16, "kernel": 5}, "needs a width or blocks below"),
        ({"recipe": "qat", "blocks": 1}, "keeps the size"),
        ({"recipe": "distil"}, "needs another size"),
        ({"width": 64}, "wider or deeper than the model"),
        ({"recipe": "distil", "kernel": 4}, "is even"),
    ],
)
def test_a_recipe_that_cannot_make_the_size_is_refused(asked: dict[str, object], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Model.model_validate({"shapes": [{"name": "a", "profiles": ["b"], **asked}]})


def _drawn(seed: int, kernel: int, blocks: int, width: int = 8) -> tuple[Architecture, Weights]:
    heads = Head("fault", plant.CLASSES), Head("life", unit="cycles", range=plant.LIFE)
    architecture = Architecture(16, 3, width, blocks, kernel, plant.CLIP / 127, heads)
    return architecture, plant.weights_of(architecture, np.random.default_rng(seed))
