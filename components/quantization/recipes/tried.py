"""What came of a recipe, and why it was or was not taken."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

from components.quantization.operators import outside
from components.quantization.recipes.fidelity import Fidelity
from components.values.recipe import Recipe
from components.workspace.profiles import Profile

ALIKE = 1.1
SLOWER = 1.1
"""Times the latency of floats from which a recipe is slower: the least on one thread comes out within a tenth."""


@dataclass(frozen=True)
class Tried:
    """``fidelity``: None of one that cannot fit, whose answers were not compared. ``size``: bytes of the compiled network, of C
    those of its tables; None of one that was not compiled. ``latency_ms``: of single windows, None where the runtime is not of
    this machine. ``multiplications``: of one window, None where it is not known. ``lost``: why it was not taken, '' for the one
    that was. ``front``: nothing else tried is at least as small, as near and as fast.
    """

    recipe: Recipe
    fidelity: Fidelity | None
    size: int | None = None
    latency_ms: float | None = None
    lost: str = ""
    front: bool = False
    operators: frozenset[str] = frozenset()
    multiplications: int | None = None

    @property
    def noise(self) -> float:
        return inf if self.fidelity is None else self.fidelity.noise

    @property
    def cost(self) -> float:
        """Of a window: milliseconds, or multiplications where it cannot be timed."""
        return float((self.multiplications or 0) if self.latency_ms is None else self.latency_ms)

    def to_json(self) -> dict[str, Any]:
        return {"name": self.recipe.name} | asdict(self) | {"operators": sorted(self.operators)}


def settled(tried: Sequence[Tried], profile: Profile) -> list[Tried]:
    """The compiled ``tried`` with all but one lost; all of them where none keeps the promises of ``profile``."""
    floats = {one.recipe.shape: one.latency_ms for one in tried if one.recipe.precision == "float32"}
    judged = [one if one.lost else replace(one, lost=_broken(one, profile, floats.get(one.recipe.shape))) for one in tried]
    left = [one for one in judged if not one.lost]
    best = min(left, key=lambda one: _rank(one, left, profile), default=None)
    word = {"size": "larger, or as large and slower,", "accuracy": "more noise", "latency": "slower"}[profile.quantization.prefer]
    if best is None:
        return judged
    return [one if one.lost or one is best else replace(one, lost=f"{word} than {best.recipe.name}") for one in judged]


def with_front(tried: Sequence[Tried]) -> list[Tried]:
    """Which of the compiled ``tried`` nothing else beats in size, noise and latency at once."""
    flags = on_front([(one.size or 0, one.noise, one.cost) for one in tried])
    return [replace(one, front=front) for one, front in zip(tried, flags, strict=True)]


def on_front(costs: Sequence[tuple[float, ...]]) -> list[bool]:
    """Which of ``costs`` no other is as little of everything and less of something (Pareto)."""
    return [not any(b != a and all(x <= y for x, y in zip(b, a, strict=True)) for b in costs) for a in costs]


def _broken(one: Tried, profile: Profile, floats_ms: float | None) -> str:
    if lacking := outside(profile, one.operators):
        return f"needs {', '.join(lacking)}, which ops.allow does not list"
    limit = int(profile.memory.model_flash_kib * 1024)
    if one.size is not None and one.size > limit:
        return f"{one.size:,} bytes > {limit:,} of memory.model_flash_kib"
    if one.fidelity is not None and (broken := one.fidelity.broken(profile.numeric)):
        return broken
    if floats_ms and one.latency_ms and one.latency_ms > SLOWER * floats_ms:
        return "slower than float32 on the same runtime"
    return ""


def _rank(one: Tried, left: Sequence[Tried], profile: Profile) -> tuple[float, ...]:
    """What is least of the one taken. Sizes within a tenth of the least are alike: then latency decides."""
    size, noise, cost = one.size or 0, one.noise, one.cost
    large = size > ALIKE * min(other.size or 0 for other in left)
    by_size = (size, noise) if large else (0, cost, size)
    return {"size": by_size, "accuracy": (noise, size), "latency": (cost, size)}[profile.quantization.prefer]
