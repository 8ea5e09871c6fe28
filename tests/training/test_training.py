"""Training is deterministic, hears label probabilities alone, and hands over exactly the network it trained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from components.models.reference import forward
from components.runtime.scaling import MISSING_CODE
from components.training.finetune import sharpened
from components.training.train import calibration_split, normal_windows, train
from components.values import ElectraModel, LabelSet, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError
from tests.quantization import plant
from tests.training.quick import labels_of, quick_windows, quick_workspace, statistics_of


@pytest.fixture(scope="module")
def windows() -> Windows:
    return quick_windows()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return quick_workspace(tmp_path)


def _train(workspace: Workspace, windows: Windows, labels: LabelSet) -> ElectraModel:
    return train(workspace, windows, [labels], statistics_of(windows))


def _same(a: ElectraModel, b: ElectraModel) -> bool:
    return all(np.array_equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_weights_and_another_seed_others(workspace: Workspace, windows: Windows) -> None:
    labels = labels_of(windows)
    first = _train(workspace, windows, labels)
    assert _same(first, _train(workspace, windows, labels))
    other = Workspace(workspace.root, workspace.settings.model_copy(update={"seed": 8}), ())
    assert not _same(first, _train(other, windows, labels))


@pytest.mark.slow
def test_uncovered_windows_and_held_out_windows_teach_nothing(workspace: Workspace, windows: Windows) -> None:
    """Whatever stands in rows that are unlabelled or held out, the weights are the same."""
    labels = labels_of(windows)
    silent = ~labels.covered | windows.test
    noise = labels.probabilities.copy()
    noise[silent] = noise[silent][:, ::-1]
    held_out = labels.covered & windows.test
    changed = replace(labels, probabilities=noise, covered=labels.covered & ~held_out)
    codes = np.array(windows.codes)
    codes[windows.test] = 77
    assert _same(_train(workspace, windows, labels), _train(workspace, replace(windows, codes=codes), changed))


def test_sharpened_targets_are_surer_of_the_same_class_and_leave_certainty_alone() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet([1, 1, 1], 200).astype(np.float32)
    targets = sharpened(probabilities)
    assert np.allclose(targets.sum(axis=1), 1, atol=1e-5)
    assert (targets.argmax(axis=1) == probabilities.argmax(axis=1)).all()
    assert (targets.max(axis=1) >= probabilities.max(axis=1) - 1e-6).all()
    assert (sharpened(np.eye(3, dtype=np.float32)) == np.eye(3)).all()


def test_labels_matter(workspace: Workspace, windows: Windows) -> None:
    assert not _same(_train(workspace, windows, labels_of(windows, 1)), _train(workspace, windows, labels_of(windows, 2)))


@pytest.mark.slow
def test_training_never_reads_the_truth(workspace: Workspace, windows: Windows) -> None:
    """With every truth file turned upside down the weights stay as they are; only metrics move."""
    labels = labels_of(windows)
    without = _train(workspace, windows, labels)
    held_out = windows.index[windows.test].iloc[5]
    (workspace.root / "truth.csv").write_text(
        "device_id,start,end,task,value\n"
        f"{held_out.device_id},{held_out.start.isoformat()},{held_out.end.isoformat()},anomaly,x\n"
        f"{held_out.device_id},{held_out.start.isoformat()},{held_out.end.isoformat()},fault,leak\n"
    )
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": "truth.csv"})
    judged = Workspace(workspace.root, workspace.settings.model_copy(update={"evaluation": evaluation}), ())
    with_truth = _train(judged, windows, labels)
    assert _same(without, with_truth)
    assert without.metrics == {}
    assert {
        "anomaly/electra/vus_pr",
        "anomaly/sub_pca/vus_pr",
        "anomaly/chance/vus_pr",
        "fault/gradient_boosting/macro_f1",
    } <= set(with_truth.metrics)


def test_the_deploy_form_computes_what_the_trained_network_computes(windows: Windows) -> None:
    from components.models.telemetry_electra import Encoder
    from components.training.normal import encode
    from components.values import Architecture, Head

    torch.manual_seed(0)
    shape = Architecture(32, 5, 12, 2, 5, 6 / 127, (Head("fault", plant.CLASSES),))
    encoder = Encoder(shape)
    encoder.train()
    for _ in range(3):  # batch norm with statistics of its own
        encoder(torch.randn(64, 32, 5) * 2 + 1, torch.ones(64, 32, 5, dtype=torch.bool))
    codes = windows.codes[:40]
    correction, embedding = encode(encoder, codes)
    deployed = forward(shape, encoder.deploy_weights(), codes)
    np.testing.assert_allclose(deployed.correction, correction, atol=2e-5)
    np.testing.assert_allclose(deployed.embedding, embedding, atol=2e-5)


def test_calibration_takes_the_last_windows_of_each_training_device(windows: Windows) -> None:
    fit, late = calibration_split(windows)
    assert not set(fit) & set(late)
    assert sorted([*fit, *late]) == np.flatnonzero(windows.train).tolist()
    for device, rows in windows.index.groupby("device_id").indices.items():
        mine = [r for r in late if r in set(rows)]
        assert not mine or min(mine) > max(r for r in fit if r in set(rows)), device


def test_a_window_that_a_weak_label_calls_faulty_is_not_normal(windows: Windows) -> None:
    labels = labels_of(windows)
    normal = normal_windows([labels], len(windows))
    assert not normal[labels.decided > 0].any()
    assert normal[~labels.covered].all()


def test_a_trained_model_tells_which_labels_it_learned_from_and_how_sure_they_were(
    workspace: Workspace, windows: Windows
) -> None:
    labels = labels_of(windows)
    facts = _train(workspace, windows, labels).labels["fault"]
    mine = labels.covered & windows.train
    assert (facts["source"], facts["version"], facts["model"]) == ("weak", "0" * 64, "blend")
    assert facts["coverage"] == pytest.approx(mine.sum() / windows.train.sum(), abs=1e-4)
    assert facts["entropy"] == pytest.approx(labels.entropy[mine].mean(), abs=1e-4)


def test_a_trained_model_survives_its_file(workspace: Workspace, windows: Windows, tmp_path: Path) -> None:
    model = _train(workspace, windows, labels_of(windows))
    folder = tmp_path / "model"
    folder.mkdir()
    model.save(folder)
    again = ElectraModel.load(folder)
    assert _same(model, again)
    assert again.architecture == model.architecture
    assert again.labels == model.labels
    assert np.array_equal(again.normal.calibration_rows, model.normal.calibration_rows)


def test_too_little_telemetry_is_an_input_error(workspace: Workspace) -> None:
    few = plant.windows(devices=3, per_device=10)
    with pytest.raises(InputError, match="too few to train on"):
        _train(workspace, few, labels_of(few))


def test_a_task_without_one_label_is_an_input_error(workspace: Workspace, windows: Windows) -> None:
    labels = replace(labels_of(windows), covered=np.zeros(len(windows), bool))
    with pytest.raises(InputError, match="not one training window is labelled"):
        _train(workspace, windows, labels)


def test_corruption_marks_what_it_moved_and_leaves_missing_samples_alone(windows: Windows) -> None:
    from components.models.corruption import corrupt
    from components.models.telemetry_electra import Generator
    from components.training.pretrain import as_input

    random = torch.Generator().manual_seed(4)
    codes = np.array(windows.codes[:64])
    x, present = as_input(codes, 6 / 127)
    corrupted = corrupt(x, present, Generator(5, 8, 6.0), 6.0, random)
    assert 0.02 < float(corrupted.replaced.float().mean()) < 0.5
    assert not corrupted.replaced[torch.from_numpy(codes == MISSING_CODE)].any()
    still = ~corrupted.replaced
    width = 12 / 23
    assert float((corrupted.window - x)[still].abs().max()) <= width / 2 + 1e-5
    assert float(corrupted.window.abs().max()) <= 6.0
