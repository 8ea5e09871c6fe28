"""A network that was made for some hardware profiles out of the trained one."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.values.architecture import Architecture, Weights, architecture_of


@dataclass(frozen=True)
class Shaped:
    """``recipe``: how it was made. ``losses``: recipe -> how far from the trained network its answers are in integers, of all
    that were tried. ``residual_variance``: as in `Normal`. Heads, channels and wide parts are those of the trained network.
    """

    name: str
    profiles: tuple[str, ...]
    recipe: str
    losses: dict[str, float]
    architecture: Architecture
    weights: Weights
    residual_variance: NDArray[np.float32]

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        return self.weights | {_VARIANCE: self.residual_variance}

    def facts(self) -> dict[str, Any]:
        """The rest, as JSON."""
        told = {"name": self.name, "profiles": list(self.profiles), "recipe": self.recipe, "losses": self.losses}
        return told | {"architecture": asdict(self.architecture)}

    @classmethod
    def of_parts(cls, arrays: dict[str, NDArray[Any]], prefix: str, facts: dict[str, Any]) -> Shaped:
        """The inverse of both; the names of its arrays begin with ``prefix``."""
        mine = {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
        return cls(
            name=facts["name"],
            profiles=tuple(facts["profiles"]),
            recipe=facts["recipe"],
            losses=dict(facts["losses"]),
            architecture=architecture_of(facts["architecture"]),
            residual_variance=mine.pop(_VARIANCE),
            weights=mine,
        )


_VARIANCE = "normal.residual_variance"
