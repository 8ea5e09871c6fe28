"""Stages hold exactly the devices they promise, and only ever grow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from registry.contract.cohort import BUCKETS, bucket, buckets, cut, quota

GOLDEN = json.loads(Path(__file__).with_name("cohort_vectors.json").read_text())
names = st.text(st.characters(codec="utf-8"), max_size=20)


def test_buckets_are_those_of_the_golden_file() -> None:
    """Devices in other languages are built against these vectors: they never change."""
    assert [bucket(v["salt"], v["device_id"]) for v in GOLDEN] == [v["bucket"] for v in GOLDEN]


@given(names, st.lists(names, max_size=20))
def test_many_buckets_are_the_same_as_one_at_a_time(salt: str, ids: list[str]) -> None:
    assert buckets(salt, ids).tolist() == [bucket(salt, i) for i in ids]


@given(st.sets(st.integers(0, BUCKETS - 1), min_size=1, max_size=200), st.data())
def test_a_cut_takes_exactly_its_quota(values: set[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(0, len(values)))
    array = np.asarray(sorted(values), np.int64)
    assert int((array < cut(array, count)).sum()) == count


@given(st.lists(st.integers(0, BUCKETS - 1), min_size=1, max_size=100))
def test_cuts_grow_with_the_quota_and_end_with_everyone(values: list[int]) -> None:
    array = np.asarray(values, np.int64)
    cuts = [cut(array, k) for k in range(len(values) + 1)]
    assert cuts == sorted(cuts)
    assert cuts[-1] == BUCKETS


@given(st.integers(1, 10_000), st.floats(0.0001, 1.0))
def test_no_stage_is_empty_and_none_exceeds_the_fleet(devices: int, share: float) -> None:
    assert 1 <= quota(devices, share) <= devices


def test_the_whole_share_is_the_whole_fleet() -> None:
    assert all(quota(n, 1.0) == n for n in range(1, 2000))


def test_buckets_are_uniform_over_a_fleet() -> None:
    """Chi-squared over 20 bins of 20,000 devices: below the 99.9th percentile of 19 degrees of freedom (43.8)."""
    counts = np.histogram(buckets("north-r1", (f"gw-{i:06}" for i in range(20_000))), 20, (0, BUCKETS))[0]
    assert float(((counts - 1000) ** 2 / 1000).sum()) < 43.8


def test_another_release_has_other_canaries() -> None:
    ids = [f"gw-{i:06}" for i in range(20_000)]
    first, second = (buckets(s, ids) < BUCKETS // 100 for s in ("north-r1", "north-r2"))
    assert int((first & second).sum()) < 20
