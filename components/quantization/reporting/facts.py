"""Read back what the steps quantize and prove have put out of each profile."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from math import log10
from pathlib import Path
from typing import Any

from components.quantization.recipes.tried import on_front
from components.values import Proof
from components.workspace.errors import VerificationFailed

_LEAST_NOISE = 1e-12


@dataclass(frozen=True)
class TriedRecipe:
    """``size`` and ``latency_ms``: None where it was only simulated. ``signal_db``: signal-to-noise ratio of the outputs, against
    the float model. ``agreement``: least share of windows with the same class. Both are None of what cannot fit. ``lost``: why it
    was not taken. ``multiplications``: of a window, None where they were not counted.
    """

    name: str
    size: int | None
    latency_ms: float | None
    signal_db: float | None
    agreement: float | None
    front: bool
    lost: str
    multiplications: int | None = None

    @property
    def cost(self) -> float:
        return float((self.multiplications or 0) if self.latency_ms is None else self.latency_ms)


@dataclass(frozen=True)
class Compiled:
    """``chosen``: the recipe, '' of trees. ``proof``: None where it has not been proven."""

    profile: str
    chosen: str
    tried: tuple[TriedRecipe, ...]
    proof: Proof | None

    def measured(self, check: str) -> float | None:
        found = self.proof.check(check) if self.proof else None
        return found.value if found else None


def compiled_in(quantized: Path, proven: Path, paces: Path) -> list[Compiled]:
    """Of each profile that has a folder in ``quantized``; its proof is looked for in ``proven``, and what was timed when it was
    compiled here in ``paces``.

    Raises:
        VerificationFailed: a file is damaged, or of an older version.
    """
    return [
        _compiled(folder, proven / folder.name, paces / f"{folder.name}.json")
        for folder in sorted(quantized.glob("*"))
        if folder.is_dir()
    ]


def _compiled(folder: Path, proven: Path, paces: Path) -> Compiled:
    recipes, proof = folder / f"{folder.name}.recipes.json", proven / f"{folder.name}.proof.json"
    try:
        told = json.loads(recipes.read_text())
        timed = json.loads(paces.read_text()) if paces.is_file() else {}
        chosen, tried = str(told["chosen"]), _with_front([_tried(one, timed) for one in told["tried"]])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _damaged(recipes, error, "quantize") from None
    try:
        return Compiled(folder.name, chosen, tried, Proof.load(proof) if proof.is_file() else None)
    except (ValueError, KeyError, TypeError) as error:
        raise _damaged(proof, error, "prove") from None


def _damaged(file: Path, error: Exception, step: str) -> VerificationFailed:
    return VerificationFailed(
        f"{file} is not there, or damaged: {type(error).__name__}: {error}", hint=f"muster step {step} makes it anew"
    )


def _tried(told: dict[str, Any], timed: dict[str, float]) -> TriedRecipe:
    near = told["fidelity"]
    return TriedRecipe(
        told["name"],
        told["size"],
        timed.get(told["name"]),
        None if near is None else -10 * log10(max(near["noise"], _LEAST_NOISE)),
        None if near is None else near["agreement"],
        near is not None and (told["size"] is not None or bool(told["operators"])),
        told["lost"],
        told.get("multiplications"),
    )


def _with_front(tried: list[TriedRecipe]) -> tuple[TriedRecipe, ...]:
    """Simulation alone is no candidate."""
    compiled = [one for one in tried if one.front]
    flags = on_front([(one.size or 0, -(one.signal_db or 0.0), one.cost) for one in compiled])
    best = {one.name for one, front in zip(compiled, flags, strict=True) if front}
    return tuple(replace(one, front=one.front and one.name in best) for one in tried)
