"""Stages hold exactly the devices they promise, and only ever grow."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.contract.cohort import BUCKETS, bucket, buckets, cut, pin, quota
from registry.contract.manifest import Artifact, Cohort, Manifest, Stage
from registry.contract.times import utc_now
from registry.device import Facts
from registry.device.judge import reason_to_wait

GOLDEN = json.loads(Path(__file__).with_name("cohort_vectors.json").read_text())
names = st.text(st.characters(codec="utf-8"), max_size=20)


def test_buckets_and_pins_are_those_of_the_golden_file() -> None:
    """Devices in other languages are built against these vectors: they never change."""
    assert [bucket(v["salt"], v["device_id"]) for v in GOLDEN] == [v["bucket"] for v in GOLDEN]
    assert [pin(v["salt"], v["device_id"]) for v in GOLDEN] == [v["pin"] for v in GOLDEN]


@pytest.mark.parametrize("vector", GOLDEN)
def test_the_device_client_takes_what_the_golden_file_takes(vector: dict[str, Any]) -> None:
    manifest = Manifest.model_construct(
        state="completed",
        artifact=Artifact.model_construct(sha256="0" * 64),
        not_before="2026-01-01T00:00:00Z",
        windows=(),
        cohort=Cohort.model_construct(**{k: vector[k] for k in ("salt", "pinned", "deferred", "deferred_to")}),
        stages=(Stage(name="s", quota=0, upto=vector["upto"], bake_seconds=0),),
        active_stage=0,
    )
    known = Facts.model_construct(device_id=vector["device_id"], running_sha256=None, timezone="UTC")
    assert (reason_to_wait(manifest, known, utc_now()) is None) == vector["takes"]


def _asked(vectors: list[dict[str, Any]]) -> list[str]:
    """As the programs of docs/device-contract take it: six arguments a vector."""
    keys = ("salt", "device_id", "upto", "deferred_to")
    return [a for v in vectors for a in (*(str(v[k]) for k in keys), "".join(v["pinned"]), "".join(v["deferred"]))]


def _told(vectors: list[dict[str, Any]]) -> list[str]:
    return [f"{v['bucket']} {v['pin']} {'yes' if v['takes'] else 'no'}" for v in vectors]


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler (Debian: gcc libc6-dev)")
def test_the_c_program_for_firmware_gives_the_golden_file(checkout: Path, tmp_path: Path) -> None:
    """With the SHA-256 that comes with every package."""
    package, program = checkout / "components/quantization/package/verifier", tmp_path / "cohort"
    sources = [checkout / "docs/device-contract/cohort.c", package / "muster_sha2.c"]
    strict = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsanitize=undefined,address"]
    subprocess.run(["gcc", *strict, f"-I{package}", *map(str, sources), "-o", str(program)], check=True)
    done = subprocess.run([str(program), *_asked(GOLDEN)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == _told(GOLDEN)


@pytest.mark.skipif(shutil.which("node") is None, reason="no Node.js (Debian: nodejs)")
def test_the_javascript_for_gateways_gives_the_golden_file(checkout: Path) -> None:
    program = str(checkout / "docs/device-contract/cohort.js")
    done = subprocess.run(["node", program, *_asked(GOLDEN)], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == _told(GOLDEN)


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
