"""Hardware profiles (`profiles/<name>.yaml`): what a kind of device can run, and what its artefact must keep to."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from components.workspace.section import Name, Section

_UNCOUNTED = ("native", "qemu-aarch64")
"""Proof machines that tell no instructions."""


class Architecture(Section):
    family: Literal[
        "x86-64",
        "aarch64",
        "armv6-m",
        "armv7-m",
        "armv7e-m",
        "armv8-m",
        "armv8-m.main",
        "armv8.1-m.main",
        "rv32imc",
        "xtensa",
    ]
    cpu: str
    features: tuple[str, ...] = Field((), strict=False, description="ISA features, e.g. dsp, fpu-sp, vnni")


class Memory(Section):
    model_flash_kib: float = Field(gt=0, description="what the artefact may take of flash or disk")
    model_ram_kib: float = Field(gt=0, description="what one inference may take of RAM (C: arena and state; others: peak growth)")


class Runtime(Section):
    name: Literal["onnxruntime", "litert", "c99"]
    minimal: str = Field(description="oldest runtime version (c99: version of the generated interface)")


class Numeric(Section):
    """How close the artefact has to be to the model it was made from."""

    dtype: Literal["int8"] = "int8"
    min_label_agreement: float = Field(
        0.95,
        ge=0,
        le=1,
        description="share of held-out windows with the class of the trained model; close calls may change sides",
    )
    min_rank_correlation: float = Field(
        0.9, ge=-1, le=1, description="Spearman's, of held-out anomaly scores with the trained model's"
    )
    max_metric_drop: float = Field(0.02, ge=0, description="allowed loss of the task metric against the trained model")
    max_error_rise: float = Field(
        0.05, ge=0, description="allowed relative rise of a regression's RMSE against the trained model's"
    )
    max_value_shift: float = Field(
        0.02,
        ge=0,
        description="root mean square distance of a regression's values from the trained model's, as a share of its range",
    )


class Budget(Section):
    latency_ms: float | None = Field(None, gt=0, description="median of one window, on the proof machine")
    max_instructions: int | None = Field(None, gt=0, description="of one window, counted by the emulator")
    clock_mhz: float | None = Field(None, gt=0)


class ProofMachine(Section):
    """Where the proof runs: ``native`` on this machine, or an emulated board."""

    machine: str = "native"
    vectors: int = Field(32, ge=4, le=256)


class Profile(Section):
    name: Name
    description: str
    arch: Architecture
    memory: Memory
    runtime: Runtime
    numeric: Numeric = Numeric()
    budget: Budget = Budget()
    proof: ProofMachine = ProofMachine()

    @model_validator(mode="after")
    def _instructions_need_an_emulator(self) -> Self:
        if self.budget.max_instructions is not None and self.proof.machine in _UNCOUNTED:
            raise ValueError("budget.max_instructions is counted by an emulated board: name one in proof.machine")
        return self
