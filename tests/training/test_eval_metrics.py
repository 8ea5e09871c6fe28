"""Metrics and baselines equal independent implementations, and obey what their definitions promise."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.runtime.scaling import MISSING_CODE
from components.runtime.trees import TreeScoring
from components.training.baselines import DETECTORS, conv_autoencoder, pca, sub_pca
from components.training.judging.detector import standing, top_channels
from components.training.judging.device import OnDevice, hit_rates
from components.training.judging.summary import class_measures, difference, summarise
from components.training.vus import average_precision, vus_pr

SEEDS = st.integers(0, 2**31 - 1)


def _labelled(random: np.random.Generator, steps: int = 300) -> np.ndarray:
    labels = np.zeros(steps, int)
    for _ in range(int(random.integers(1, 4))):
        start = int(random.integers(0, steps - 40))
        labels[start : start + int(random.integers(5, 40))] = 1
    return labels


@given(SEEDS, st.integers(2, 50))
@settings(deadline=None)
def test_average_precision_equals_scikit_learns_with_any_ties(seed: int, levels: int) -> None:
    from sklearn.metrics import average_precision_score

    random = np.random.default_rng(seed)
    labels, scores = random.integers(0, 2, 200), random.integers(0, levels, 200)
    labels[0] = 1
    assert average_precision(labels, scores) == pytest.approx(average_precision_score(labels, scores), abs=1e-12)


@given(SEEDS)
@settings(deadline=None)
def test_a_score_that_is_the_truth_reaches_one(seed: int) -> None:
    labels = _labelled(np.random.default_rng(seed))
    assert average_precision(labels, labels) == 1.0
    assert vus_pr(labels, labels + 0.0, 0) == pytest.approx(1.0)


@given(SEEDS, st.integers(0, 30), st.sampled_from([np.exp, np.arctan, lambda x: 3 * x - 7, lambda x: x**3]))
@settings(deadline=None)
def test_a_rising_transform_of_the_scores_changes_no_area(seed: int, buffer: int, rising: object) -> None:
    random = np.random.default_rng(seed)
    labels, scores = _labelled(random), random.integers(0, 50, 300) / 25 - 1
    transformed = rising(scores)  # type: ignore[operator]
    assert vus_pr(labels, transformed, buffer) == pytest.approx(vus_pr(labels, scores, buffer), abs=1e-12)
    assert average_precision(labels, transformed) == pytest.approx(average_precision(labels, scores), abs=1e-12)


@given(st.lists(st.integers(0, 3), max_size=80), st.integers(1, 4), st.integers(1, 4))
def test_alarms_stand_exactly_when_the_devices_state_machine_says_so(levels: list[int], raises: int, clears: int) -> None:
    scoring = TreeScoring(
        task="fault", tasks=(), core=(0, 4), knots=((0, 0), (1, 1)), threshold=2, raise_after=raises, clear_after=clears
    )
    surprise = np.asarray(levels, np.int32)
    assert standing(surprise >= 2, raises, clears).tolist() == scoring.alarms(surprise).tolist()


def _device(random: np.random.Generator, name: str, classes: int = 3) -> OnDevice:
    events = int(random.integers(0, 4))
    found = int(random.integers(0, events + 1))
    alarms = int(random.integers(0, 5))
    return OnDevice(
        device=name,
        profile="gateway",
        windows=100,
        days=float(random.uniform(1, 3)),
        areas=(float(random.random()), float(random.random())) if events else None,
        events=events,
        found=found,
        alarms=alarms,
        right=int(random.integers(0, alarms + 1)),
        delays=tuple(random.uniform(0, 1000, found).tolist()),
        hits=tuple((float(a), float(a)) for a in random.random(events)),
        confusion={"fault": random.integers(0, 20, (classes, classes))},
    )


@given(SEEDS, st.integers(1, 12))
@settings(max_examples=40, deadline=None)
def test_metrics_over_devices_equal_their_definitions_in_any_order_of_the_devices(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    devices = [_device(random, f"d{i}") for i in range(count)]
    found = summarise(devices, True, True, 7)
    areas = [d.areas[0] for d in devices if d.areas]
    assert ("vus_pr" in found) == bool(areas)
    if areas:
        assert found["vus_pr"].value == pytest.approx(np.mean(areas))
        assert found["vus_pr"].devices == len(areas)
    if any(d.events for d in devices):
        assert found["event_recall"].value == pytest.approx(sum(d.found for d in devices) / sum(d.events for d in devices))
    if delays := [x for d in devices for x in d.delays]:
        assert found["detection_delay_s"].value == pytest.approx(np.median(delays))
    shuffled = summarise([devices[i] for i in random.permutation(count)], True, True, 7)
    assert {k: v.value for k, v in shuffled.items()} == pytest.approx({k: v.value for k, v in found.items()})


def test_macro_f1_and_class_measures_equal_scikit_learns() -> None:
    from sklearn.metrics import f1_score, precision_recall_fscore_support

    random = np.random.default_rng(3)
    wanted, got = random.integers(0, 4, 500), random.integers(0, 4, 500)
    table = np.bincount(wanted * 4 + got, minlength=16).reshape(4, 4)
    device = replace(_device(random, "d"), confusion={"fault": table})
    macro = summarise([device], False, False, 7)["fault/macro_f1"]
    assert macro.value == pytest.approx(f1_score(wanted, got, average="macro"))
    assert macro.low is None
    precision, recall, f1, support = precision_recall_fscore_support(wanted, got)
    for c, measure in enumerate(class_measures(table, ("a", "b", "c", "d"))):
        assert (measure.precision, measure.recall, measure.f1) == pytest.approx((precision[c], recall[c], f1[c]))
        assert measure.support == support[c]


def test_a_class_that_never_occurs_and_is_never_said_has_no_measures() -> None:
    assert class_measures(np.asarray([[5, 0], [0, 0]]), ("a", "b"))[1].f1 is None


def test_intervals_are_seeded_hold_the_value_and_narrow_with_more_devices() -> None:
    random = np.random.default_rng(5)
    devices = [replace(_device(random, f"d{i}"), areas=(float(random.random()), 0.5)) for i in range(200)]
    few, many = summarise(devices[:10], True, True, 7)["vus_pr"], summarise(devices, True, True, 7)["vus_pr"]
    assert few.low is not None and few.high is not None and many.low is not None and many.high is not None
    assert few.low < few.value < few.high
    assert many.high - many.low < few.high - few.low
    assert summarise(devices, True, True, 7)["vus_pr"] == many
    # The standard error of a mean of uniforms is 0.289 / sqrt(n); 95 % are 1.96 of it to both sides.
    assert many.high - many.low == pytest.approx(2 * 1.96 * 0.289 / 200**0.5, rel=0.15)


def test_a_method_compared_with_itself_leads_by_nothing() -> None:
    random = np.random.default_rng(6)
    devices = [replace(_device(random, f"d{i}"), areas=(float(random.random()), 0.5)) for i in range(9)]
    lead = difference(devices, devices, 7)
    assert lead is not None
    assert (lead.value, lead.low, lead.high) == (0.0, 0.0, 0.0)


def test_hit_rates_count_root_causes_among_the_channels_most_to_blame() -> None:
    blame = np.asarray([0.1, 0.9, 0.5, 0.3])
    assert hit_rates(blame, (1, 2)) == (1.0, 1.0)
    assert hit_rates(blame, (1, 3)) == (0.5, 1.0)
    assert hit_rates(blame, (0,)) == (0.0, 0.0)
    assert top_channels(blame[None], 3).tolist() == [[1, 2, 3]]


def _codes(count: int, seed: int = 0) -> np.ndarray:
    """Two waves and a channel that follows them, with noise and a few missing samples."""
    random = np.random.default_rng(seed)
    t = np.arange(24)[None] / 4 + random.uniform(0, 6, (count, 1))
    waves = np.stack([30 * np.sin(t), 30 * np.cos(t), 30 * (np.sin(t) + np.cos(t))], axis=2)
    codes = np.clip(waves + random.normal(0, 3, waves.shape), -127, 127).astype(np.int8)
    codes[random.random(codes.shape) < 0.01] = MISSING_CODE
    return codes


@pytest.mark.parametrize("name", [n for n in DETECTORS if n != "chance"])
def test_a_baseline_rates_broken_windows_above_most_others_and_each_window_by_itself(name: str) -> None:
    codes, unseen = _codes(400), _codes(60, seed=1)
    score = DETECTORS[name](codes, np.arange(300), 7)
    broken = unseen.copy()
    broken[:, 4:20, 2] = 120
    assert np.median(score(broken)) > np.quantile(score(unseen), 0.9)
    np.testing.assert_allclose(score(unseen)[10:20], score(unseen[10:20]), rtol=1e-4)


def test_chance_is_the_same_for_the_same_seed_and_blind() -> None:
    codes = _codes(50)
    first, again = (DETECTORS["chance"](codes, np.arange(50), 7)(codes) for _ in range(2))
    assert np.array_equal(first, again)
    assert abs(np.corrcoef(first, np.abs(codes.astype(float)).mean(axis=(1, 2)))[0, 1]) < 0.4


def test_sub_pca_and_pca_equal_scikit_learns_principal_components() -> None:
    from sklearn.decomposition import PCA

    codes = _codes(300)
    plain = np.where(codes == MISSING_CODE, 0, codes).astype(float)
    for fit, flat in ((sub_pca, plain.reshape(300, -1)), (pca, plain.reshape(-1, 3))):
        reference = PCA(n_components=0.9, svd_solver="full").fit(flat)
        error = ((flat - reference.inverse_transform(reference.transform(flat))) ** 2).mean(axis=1)
        wanted = error if fit is sub_pca else error.reshape(300, -1).mean(axis=1)
        np.testing.assert_allclose(fit(codes, np.arange(300), 7)(codes), wanted, rtol=1e-3)


def test_sub_pca_of_very_long_windows_is_principal_components_still() -> None:
    """More dimensions than a covariance matrix is worth: the components come from products of windows."""
    from sklearn.decomposition import PCA

    random = np.random.default_rng(2)
    waves = random.normal(0, 20, (120, 6)) @ random.normal(0, 1, (6, 2100)) + random.normal(0, 4, (120, 2100))
    codes = np.clip(waves, -127, 127).astype(np.int8).reshape(120, 700, 3)
    flat = codes.reshape(120, -1).astype(float)
    reference = PCA(n_components=0.9, svd_solver="full").fit(flat[:100])
    wanted = ((flat - reference.inverse_transform(reference.transform(flat))) ** 2).mean(axis=1)
    np.testing.assert_allclose(sub_pca(codes, np.arange(100), 7)(codes), wanted, rtol=1e-3)


@pytest.mark.slow
def test_the_autoencoder_is_deterministic_learns_and_leaves_the_global_generator_alone() -> None:
    import torch

    codes = _codes(300)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    first, again = (conv_autoencoder(codes, np.arange(250), 7)(codes) for _ in range(2))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(first, again)
    broken = codes.copy()
    broken[:, 4:20, 2] = 120
    assert np.median(conv_autoencoder(codes, np.arange(250), 7)(broken)) > np.quantile(first, 0.9)
