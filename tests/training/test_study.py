"""A study of few labels hides all other labels, compares in pairs, and claims no more than its seeds allow."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.features.statistics import window_statistics
from components.training.study.few import few
from components.training.study.page import note, rows, study_page
from components.training.study.study import conclude, sign_flips
from components.training.study.trial import METHODS, Outcome, Trial, check, held_out_classes, run_trials
from components.training.train import Rows, calibration_split
from components.values import LabelSet, Windows
from components.workspace.errors import InputError
from tests.training.quick import labels_of, quick_windows, quick_workspace


@pytest.fixture(scope="module")
def windows() -> Windows:
    return quick_windows()


@pytest.fixture
def label(windows: Windows) -> LabelSet:
    """Declared gold of every window."""
    weak = labels_of(windows)
    gold = weak.probabilities.argmax(axis=1).astype(np.int8)
    sure = np.eye(len(weak.classes), dtype=np.float32)[gold]
    everyone = np.ones(len(windows), bool)
    return replace(weak, probabilities=sure, gold=gold, sampled=everyone, covered=everyone, source="gold")


@pytest.mark.parametrize("count", [5, 20, 100])
def test_the_drawn_windows_are_as_many_as_asked_all_to_train_on_and_of_every_class(
    windows: Windows, label: LabelSet, count: int
) -> None:
    fit, _ = calibration_split(windows)
    for seed in range(5):
        drawn = few(label, fit, count, seed)
        chosen = np.flatnonzero(drawn.covered)
        assert len(chosen) == count
        assert set(chosen) <= set(fit)
        assert set(label.gold[chosen]) == set(label.gold[fit])
        assert (drawn.gold[~drawn.covered] == -1).all()
        assert not drawn.sampled[~drawn.covered].any()


def test_the_same_seed_draws_the_same_windows_and_another_others(windows: Windows, label: LabelSet) -> None:
    fit, _ = calibration_split(windows)
    assert np.array_equal(few(label, fit, 20, 1).covered, few(label, fit, 20, 1).covered)
    assert not np.array_equal(few(label, fit, 20, 1).covered, few(label, fit, 20, 2).covered)


@pytest.mark.parametrize("count", [3, 10_000])
def test_too_few_or_too_many_labels_are_an_input_error(windows: Windows, label: LabelSet, count: int) -> None:
    fit, _ = calibration_split(windows)
    with pytest.raises(InputError, match="cannot be drawn"):
        few(label, fit, count, 1)


@pytest.mark.slow
def test_no_label_beside_the_drawn_ones_reaches_any_method(windows: Windows, label: LabelSet, tmp_path: Path) -> None:
    """With every other training label turned round, the outcome is the same to the last bit."""
    workspace, statistics = quick_workspace(tmp_path), window_statistics(quick_workspace(tmp_path), windows)
    drawn = few(label, np.flatnonzero(windows.train), 20, 3).covered
    hidden = windows.train & ~drawn
    turned = label.probabilities.copy()
    turned[hidden] = np.roll(turned[hidden], 1, axis=1)
    (first,) = run_trials(workspace, windows, [label], statistics, 20, 3, tmp_path / "a", lambda *_: None)
    # the draw itself looks at the classes of all windows, so it is held fixed: nothing else is covered
    alone = replace(label, probabilities=turned, covered=drawn | windows.test)
    (again,) = run_trials(workspace, windows, [alone], statistics, 20, 3, tmp_path / "b", lambda *_: None)
    assert first == again
    assert set(first.macro_f1) == set(METHODS)


@pytest.mark.slow
def test_trials_of_a_seed_share_their_pretraining(windows: Windows, label: LabelSet, tmp_path: Path) -> None:
    workspace, statistics = quick_workspace(tmp_path), window_statistics(quick_workspace(tmp_path), windows)
    phases: list[str] = []
    for count in (20, 40):
        run_trials(workspace, windows, [label], statistics, count, 3, tmp_path / "a", lambda phase, *_: phases.append(phase))
    assert phases == ["pre-train", "fine-tune", "fine-tune", "fine-tune", "fine-tune"]
    assert [file.name for file in (tmp_path / "a").iterdir()] == ["pre-train-3.checkpoint"]
    alone = run_trials(workspace, windows, [label], statistics, 40, 3, tmp_path / "b", lambda *_: None)
    assert alone == run_trials(workspace, windows, [label], statistics, 40, 3, tmp_path / "a", lambda *_: None)


def test_declared_labels_are_drawn_from_late_windows_too(windows: Windows, label: LabelSet, tmp_path: Path) -> None:
    """With as many labels as there are training windows, the trial learns from every one of them."""
    fit, late = calibration_split(windows)
    rows = Rows(fit, late, fit, late)
    assert np.array_equal(rows.taught(label), np.flatnonzero(windows.train))
    assert np.array_equal(rows.taught(labels_of(windows)), fit)
    workspace, everything = quick_workspace(tmp_path), len(fit) + len(late)
    check(workspace, windows, label, [everything])
    with pytest.raises(InputError, match="cannot be drawn"):
        check(workspace, windows, label, [everything + 1])


@pytest.mark.slow
def test_one_network_learns_all_tasks_of_a_study(windows: Windows, label: LabelSet, tmp_path: Path) -> None:
    workspace, statistics = quick_workspace(tmp_path), window_statistics(quick_workspace(tmp_path), windows)
    (task,) = [t for t in workspace.settings.tasks if t.kind == "classes"]
    tasks = (*workspace.settings.tasks, task.model_copy(update={"name": "other"}))
    both = replace(workspace, settings=workspace.settings.model_copy(update={"tasks": tasks}))
    phases: list[str] = []
    found = run_trials(
        both,
        windows,
        [label, replace(label, task="other")],
        statistics,
        20,
        3,
        tmp_path / "a",
        lambda phase, *_: phases.append(phase),
    )
    assert [o.trial for o in found] == [Trial("fault", 20, 3), Trial("other", 20, 3)]
    assert phases == ["pre-train", "fine-tune", "fine-tune"]


def test_gold_labels_of_training_windows_alone_are_judged_by_the_truth(windows: Windows, label: LabelSet, tmp_path: Path) -> None:
    workspace, row = quick_workspace(tmp_path), windows.index[windows.test].iloc[7]
    (tmp_path / "truth.csv").write_text(
        f"device_id,start,end,task,value\n{row.device_id},{row.start.isoformat()},{row.end.isoformat()},fault,leak\n"
    )
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": "truth.csv"})
    judged = replace(workspace, settings=workspace.settings.model_copy(update={"evaluation": evaluation}))
    silent = replace(label, gold=np.where(windows.train, label.gold, -1).astype(np.int8), covered=windows.train)
    test, wanted = held_out_classes(judged, windows, silent)
    assert np.array_equal(test, np.flatnonzero(windows.test))
    assert label.classes[wanted[7]] == "leak"
    assert (np.delete(wanted, 7) == 0).all()
    declared, gold = held_out_classes(judged, windows, label)
    assert np.array_equal(gold, label.gold[declared])
    with pytest.raises(InputError, match="no truth of task 'fault'"):
        held_out_classes(workspace, windows, silent)


def test_weak_labels_without_a_truth_cannot_be_studied(windows: Windows, tmp_path: Path) -> None:
    workspace = quick_workspace(tmp_path)
    statistics = window_statistics(workspace, windows)
    with pytest.raises(InputError, match="no truth of task 'fault'"):
        run_trials(workspace, windows, [labels_of(windows)], statistics, 20, 3, tmp_path / "a", lambda *_: None)


@given(st.lists(st.floats(-1, 1, allow_subnormal=False), min_size=1, max_size=8))
def test_the_paired_test_counts_signs_as_one_would_by_hand(differences: list[float]) -> None:
    values = np.asarray(differences)
    seen = abs(values.sum())
    by_hand = [
        abs(sum(s * v for s, v in zip(signs, differences, strict=True))) >= seen - 1e-12
        for signs in product((1, -1), repeat=len(values))
    ]
    assert sign_flips(values) == pytest.approx(np.mean(by_hand))
    assert sign_flips(values) == pytest.approx(sign_flips(-values))


def test_p_is_never_below_what_the_number_of_seeds_allows() -> None:
    for seeds in range(1, 8):
        assert sign_flips(np.linspace(0.5, 0.6, seeds)) == pytest.approx(min(2 / 2**seeds, 1))


def _outcomes() -> list[Outcome]:
    random = np.random.default_rng(1)
    return [
        Outcome(t, {"pretrained": 0.6 + 0.01 * t.seed, "scratch": 0.5 + 0.01 * random.random(), "gradient_boosting": 0.4})
        for t in (Trial(*at) for at in product(["valve", "pump<b>"], [20, 50], range(3)))
    ]


def test_seeds_are_the_pairs_whatever_the_number_of_tasks_and_labels() -> None:
    study = conclude("rig", _outcomes())
    assert [(c.task, c.labels) for c in study.comparisons] == [
        ("valve", 20),
        ("valve", 50),
        ("valve", 0),
        ("pump<b>", 20),
        ("pump<b>", 50),
        ("pump<b>", 0),
        ("", 20),
        ("", 50),
        ("", 0),
    ]
    assert {c.pretraining.pairs for c in study.comparisons} == {3}
    assert {c.pretraining.p for c in study.comparisons} == {0.25}
    assert study.comparisons[0].macro_f1["pretrained"].mean == pytest.approx(0.61)
    assert study.comparisons[0].macro_f1["pretrained"].deviation == pytest.approx(0.01)


def test_the_page_has_a_row_a_comparison_and_text_stays_text() -> None:
    study = conclude("rig", _outcomes())
    page = study_page(study)
    assert page == study_page(study)
    assert "pump<b>" not in page
    assert page.count("<svg") == 2
    assert len(rows(study)) == 9
    assert "at least 0.25" in note(study)
