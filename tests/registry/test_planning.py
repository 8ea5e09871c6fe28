"""What a draft cuts does not hang on how the inventory happened to be read, and weighing not on how many devices there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.workspace import Workspace
from components.workspace.release_settings import Release as Policy
from components.workspace.release_settings import Stage
from registry.contract.cohort import buckets
from registry.database import open_database, reading
from registry.inventory import count_devices
from registry.rollout import evidence
from registry.rollout.evidence import Fate, Watched, weigh
from registry.rollout.members import count_sites, members, sites_of
from registry.rollout.plan import plan
from registry.rollout.release import Cut, Rules

NOW = 1_000_000
SHARES = (0.1, 0.5, 1.0)
RULES = Policy(stages=tuple(Stage(name=f"s{i}", share=s) for i, s in enumerate(SHARES)))


@given(st.integers(2, 400), st.integers(1, 12), st.randoms(use_true_random=False))
def test_a_plan_is_the_same_for_any_order_of_devices(devices: int, sites: int, random: Random) -> None:
    ids = [f"gw-{i}" for i in range(devices)]
    shuffled = list(ids)
    random.shuffle(shuffled)
    rules = RULES

    def at(some: Sequence[str]) -> list[str]:
        return [f"s{int(i[3:]) % sites}" for i in some]

    assert plan(rules, ids, "r", sites=sites, sites_of=at) == plan(rules, shuffled, "r", sites=sites, sites_of=at)


def test_devices_of_a_variant_are_those_of_the_inventory_without_the_pinned(stocked: Workspace) -> None:
    groups = [g for g in count_devices(stocked, fleet="north") if g.variant == "gateway-v2"]
    with reading(open_database(stocked.database_url)) as connection:
        found = members(connection, groups)
        assert len(found) == len(set(found)) == sum(g.devices for g in groups)
        assert sorted(members(connection, groups, without=[found[0], "nobody"])) == sorted(found[1:])
        assert members(connection, []) == []
        assert len(set(sites_of(connection, found))) == count_sites(connection, groups)


def test_weighing_in_parts_is_weighing_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A million devices are looked at some at a time; the counts are those of one look."""
    rng = np.random.default_rng(5)
    count = 1000
    watched = Watched(
        bucket=buckets("r", (f"d{i}" for i in range(count))),
        fate=rng.integers(0, len(Fate), count).astype(np.int8),
        first_at=rng.choice([0, NOW - 90_000, NOW - 10], count),
        settled_at=rng.choice([0, NOW - 80_000, NOW - 5], count),
        seen_at=rng.choice([0, NOW - 200_000, NOW - 5], count),
        sound=rng.random(count) < 0.9,
        metrics={},
    )
    cuts = (Cut(1_000_000, 100, "1970-01-11T00:00:00Z"), Cut(6_000_000, 600, "1970-01-12T00:00:00Z"))
    rules = Rules(200, 500, 100, 500, 86_400)

    def weighed() -> object:
        return weigh(watched, cuts, 9_000_000, rules, NOW, judged_from=NOW - 85_000)

    at_once = weighed()
    for size in (1, 7, count - 1):
        monkeypatch.setattr(evidence, "_AT_A_TIME", size)
        assert weighed() == at_once
    assert weigh(replace(watched, fate=watched.fate * 0), cuts, 9_000_000, rules, NOW) != at_once
