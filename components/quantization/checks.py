"""One measured quantity against its limit, and the drops of metrics from the trained model to the device."""

from __future__ import annotations

from collections.abc import Mapping

from components.values import Check

UNGATED = ("/mae", "/last_rmse", "/last_phm08")
"""Metrics of a regression that follow its RMSE, some of them from few windows: reported, not gated."""
_TINY = 1e-9


def at_most(name: str, value: float, limit: float | None, unit: str = "") -> Check:
    return Check(name, float(value), None if limit is None else float(limit), limit is None or value <= limit, unit)


def at_least(name: str, value: float, limit: float) -> Check:
    return Check(name, float(value), float(limit), value >= limit)


def drops(
    before: Mapping[str, float], got: Mapping[str, float], max_drop: float, max_rise: float, suffix: str = ""
) -> list[Check]:
    """Each metric ``before`` of the trained model beside what the device ``got``; errors of numbers rise instead."""
    checks = []
    for name, value in sorted(before.items()):
        if name.endswith("/rmse"):
            checks.append(at_most(f"{name}/rise{suffix}", got[name] / max(value, _TINY) - 1, max_rise))
        elif not name.endswith(UNGATED):
            checks.append(at_most(f"{name}/drop{suffix}", value - got[name], max_drop))
    return checks
