"""The section `model:` of muster.yaml: what is trained, and the networks that are made out of it for single profiles."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, Field, model_validator

from components.workspace.section import Name, Section, Share


def _odd(steps: int) -> int:
    if steps % 2 == 0:
        raise ValueError(f"{steps} is even: a kernel has a middle, so take an odd number")
    return steps


Kernel = Annotated[int, Field(ge=3, le=15), AfterValidator(_odd)]


class Trees(Section):
    """How large boosted trees may grow; each of the rounds adds a tree a class, to a task with two classes only one."""

    rounds: int = Field(60, ge=1, le=500)
    depth: int = Field(4, ge=1, le=8)
    learning_rate: float = Field(0.2, gt=0, le=1)


Recipe = Literal["post_training", "qat", "prune", "distil"]


class Shape(Section):
    """A network for hardware profiles that the trained one does not suit, made out of it (components/training/shaping)."""

    name: Name
    profiles: tuple[Name, ...] = Field(min_length=1, strict=False, description="who may run it")
    recipe: Recipe | Literal["search"] = Field(
        "search", description="how it is made; search: what of the recipes that its size allows answers best in integers"
    )
    width: int | None = Field(None, ge=4, le=256, multiple_of=4, description="null: that of the model")
    blocks: int | None = Field(None, ge=1, le=8, description="null: those of the model")
    kernel: Kernel | None = Field(None, description="null: that of the model; only distil changes it")
    steps: int = Field(400, ge=1, description="of training, for each recipe and phase of it")

    def recipes(self, model: Model) -> tuple[Recipe, ...]:
        """What is to be tried, cheapest first."""
        if self.recipe != "search":
            return (self.recipe,)
        return tuple(recipe for recipe in _RECIPES if self.allows(recipe, model))

    def allows(self, recipe: Recipe, model: Model) -> bool:
        """Whether the recipe makes a network of this size out of one of ``model``."""
        width, blocks, kernel = self.width or model.width, self.blocks or model.blocks, self.kernel or model.kernel
        same = (width, blocks, kernel) == (model.width, model.blocks, model.kernel)
        inside = width <= model.width and blocks <= model.blocks
        smaller, smaller_or_other = inside and kernel == model.kernel, inside and not same
        return {"post_training": same, "qat": same, "prune": smaller and not same, "distil": smaller_or_other}[recipe]


_RECIPES: tuple[Recipe, ...] = get_args(Recipe)


class Model(Section):
    """The telemetry ELECTRA (see components/models/telemetry_electra.py), or boosted trees on features of windows.

    ``trees`` belongs to gradient_boosting, ``device_types`` and the numbers of network and training to electra.
    """

    kind: Literal["electra", "gradient_boosting"] = Field(
        "electra", description="gradient_boosting learns from labels only and needs fewer of them"
    )
    trees: Trees = Trees()
    width: int = Field(32, ge=8, le=256, multiple_of=4)
    blocks: int = Field(3, ge=1, le=8)
    kernel: Kernel = 7
    pretrain_steps: int = Field(400, ge=0, description="0: no pre-training")
    finetune_steps: int = Field(600, ge=1)
    batch: int = Field(128, ge=8)
    learning_rate: float = Field(8e-3, gt=0)
    channel_dropout: Share = Field(
        0.1, description="share of the windows in training that each channel which devices may lack is taken out of"
    )
    device_types: bool = Field(
        False,
        description="each hardware profile has a learned vector that is added to what the stem puts out; for fleets whose "
        "devices of unlike hardware behave unlike",
    )
    detect_weight: float = Field(1.0, ge=0, description="lambda of the detection loss")
    detect_warm_up: Share = Field(
        0.0, description="share of pre-training over which that weight rises, so that the generator learns something first"
    )
    wide: bool = Field(True, description="a linear rule on window features decides beside the network; it needs few labels")
    false_alarms_per_day: float = Field(1.0, gt=0, description="stated false-alarm rate per device-day of the threshold")
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="where it is trained; auto: on CUDA where there is one")
    threads: int = Field(1, ge=1, description="more pay only on an otherwise idle machine: waiting threads spin")
    shapes: tuple[Shape, ...] = Field((), strict=False, description="networks for profiles that this one does not suit")

    @model_validator(mode="after")
    def _shapes_can_be_made(self) -> Self:
        if self.shapes and self.kind != "electra":
            raise ValueError("model.shapes are made out of a network: leave them out, or use kind: electra")
        for shape in self.shapes:
            if self.device_types and len(shape.profiles) > 1:
                raise ValueError(f"shape '{shape.name}': with device_types each profile needs a shape of its own")
            if not shape.recipes(self):
                raise ValueError(
                    f"shape '{shape.name}': wider or deeper than the model (width {self.width}, blocks {self.blocks})"
                )
            if shape.recipe != "search" and not shape.allows(shape.recipe, self):
                raise ValueError(
                    f"shape '{shape.name}': {shape.recipe} {_SIZES[shape.recipe]} "
                    f"(width {self.width}, blocks {self.blocks}, kernel {self.kernel})"
                )
        return self


_SIZES = {
    "post_training": "keeps the size of the model",
    "qat": "keeps the size of the model",
    "prune": "needs a width or blocks below those of the model, and its kernel",
    "distil": "needs another size than that of the model, with no more width and blocks",
}
