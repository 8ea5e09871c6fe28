"""The networks of a trained model as a reader sees them: who runs which, how it was made, and what it costs."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.values.architecture import architecture_of


@dataclass(frozen=True)
class MadeNetwork:
    """``name``: '' of the trained network, else its shape's. ``profiles``: who runs it; none stands for all others.

    ``recipe``: how it was made, '' of the trained one. ``losses``: recipe -> distance of its answers from the trained
    network's, in integers, of all recipes that were tried. ``multiplications``: of one window.
    """

    name: str
    profiles: tuple[str, ...]
    recipe: str
    losses: dict[str, float]
    parameters: int
    multiplications: int


def networks_in(folder: Path) -> list[MadeNetwork]:
    """Of the model in ``folder``, the trained one first; none of boosted trees."""
    facts = json.loads((folder / "model.json").read_text())
    if "architecture" not in facts:
        return []
    trained = {"name": "", "profiles": (), "recipe": "", "losses": {}, "architecture": facts["architecture"]}
    return [_made(one) for one in (trained, *facts.get("shapes", ()))]


def _made(facts: dict[str, Any]) -> MadeNetwork:
    a = architecture_of(facts["architecture"])
    return MadeNetwork(
        facts["name"], tuple(facts["profiles"]), facts["recipe"], dict(facts["losses"]), a.parameters, a.multiplications
    )


COLUMNS = ("network", "hardware profiles", "recipe", "parameters", "multiplications a window", "distance of the recipes tried")


def as_row(network: MadeNetwork) -> tuple[object, ...]:
    """Under `COLUMNS`."""
    tried = ", ".join(f"{recipe} {loss:.3g}" for recipe, loss in network.losses.items())
    profiles = ", ".join(network.profiles) or "all others"
    size = f"{network.parameters:,}", f"{network.multiplications:,}"
    return network.name or "trained", profiles, network.recipe or "-", *size, tried
