"""Hardware profiles (`profiles/<name>.yaml`): what a kind of device can run, and what its artefact must keep to."""

from __future__ import annotations

from typing import Annotated, Literal, Self, get_args

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
    flash_kib: float | None = Field(None, gt=0, description="all the flash or disk of the device")
    ram_kib: float | None = Field(None, gt=0, description="all the RAM of the device")
    model_flash_kib: float = Field(gt=0, description="what the artefact may take of flash or disk")
    model_ram_kib: float = Field(gt=0, description="what one inference may take of RAM (C: arena and state; others: peak growth)")

    @model_validator(mode="after")
    def _the_share_is_part_of_the_whole(self) -> Self:
        for kind, share, whole in (
            ("flash", self.model_flash_kib, self.flash_kib),
            ("ram", self.model_ram_kib, self.ram_kib),
        ):
            if whole is not None and share > whole:
                raise ValueError(f"model_{kind}_kib {share:g} is more than {kind}_kib {whole:g}, all that the device has")
        return self


class Runtime(Section):
    name: Literal["onnxruntime", "openvino", "litert", "c99"]
    minimal: str = Field(description="oldest runtime version (c99: version of the generated interface)")


class Numeric(Section):
    """How close the artefact has to be to the model it was made from."""

    contract: Literal["exact", "tolerance"] | None = Field(
        None,
        description="whether the device must repeat every bit of the self-test, or may round the other way; null: exact for c99",
    )
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


class Operators(Section):
    allow: tuple[str, ...] | None = Field(
        None, strict=False, min_length=1, description="operators of the .onnx or .tflite that the device's runtime has; null: all"
    )


class Budget(Section):
    latency_ms: float | None = Field(
        None, gt=0, description="of one window: median on the proof machine, or the upper end of the estimate from instructions"
    )
    max_instructions: int | None = Field(None, gt=0, description="of one window, counted by the emulator")
    clock_mhz: float | None = Field(None, gt=0)
    cpi: tuple[float, float] | None = Field(
        None, strict=False, description="[low, high] cycles an instruction; with clock_mhz gives an estimate of time"
    )
    power_mw: float | None = Field(None, gt=0, description="drawn while the processor computes")
    energy_uj: float | None = Field(None, gt=0, description="of one window, at most; upper end of the estimate")

    @property
    def estimated(self) -> bool:
        """Whether a count of instructions gives an estimate of time."""
        return self.clock_mhz is not None and self.cpi is not None

    @model_validator(mode="after")
    def _estimates_have_what_they_need(self) -> Self:
        if self.cpi is not None and not 0 < self.cpi[0] <= self.cpi[1]:
            raise ValueError("cpi is [low, high], both above 0")
        if self.cpi is not None and self.clock_mhz is None:
            raise ValueError("cpi needs clock_mhz")
        if self.power_mw is not None and self.cpi is None:
            raise ValueError("power_mw needs clock_mhz and cpi: energy is power times the estimate of time")
        if self.energy_uj is not None and self.power_mw is None:
            raise ValueError("energy_uj needs power_mw, clock_mhz and cpi")
        return self


class Accuracy(Section):
    """Parts of the held-out windows that must each keep what the whole keeps."""

    slices: tuple[Literal["site", "firmware_version", "hardware_profile", "class"], ...] = Field((), strict=False)
    min_rows: int = Field(200, ge=1, description="windows from which a slice is judged; smaller ones are named only")
    max_metric_drop: float | None = Field(None, ge=0, description="of each slice; null: numeric.max_metric_drop")
    min_label_agreement: float | None = Field(None, ge=0, le=1, description="of each slice; null: numeric.min_label_agreement")


class ProofMachine(Section):
    """Where the proof runs: ``native`` on this machine, or an emulated board."""

    machine: str = "native"
    vectors: int = Field(32, ge=4, le=256)


Precision = Literal["binary", "int4", "int8", "int16x8", "dynamic", "float16", "float32"]
Calibrator = Literal["minmax", "percentile", "mse", "kl"]
Rewrite = Literal["equalise", "correct"]
PRECISIONS: dict[str, tuple[Precision, ...]] = {
    "onnxruntime": ("int8", "float32"),
    "openvino": ("int8", "float16", "float32"),
    "litert": ("int8", "dynamic", "int16x8", "float16", "float32"),
    "c99": ("binary", "int4", "int8", "int16x8"),
}
"""Runtime -> the precisions that a network can be written in for it, smallest first."""
BY_NAME_ONLY: tuple[Precision, ...] = ("binary", "int4")
"""What is tried only where a profile names it: it gives accuracy away for size."""


class Quantization(Section):
    """Which ways of writing a network's numbers are tried (components/quantization/recipes); trees are integers anyway."""

    precisions: tuple[Precision, ...] = Field(
        (),
        strict=False,
        description="empty: all that the runtime has, without binary and int4, which are tried where they are named",
    )
    calibrators: tuple[Calibrator, ...] = Field(
        get_args(Calibrator), min_length=1, strict=False, description="of the ranges of activations in integers"
    )
    rewrites: tuple[Rewrite, ...] = Field(
        get_args(Rewrite), strict=False, description="tried on top of the best calibrator: channels equalised, biases corrected"
    )
    prefer: Literal["size", "accuracy", "latency"] = Field(
        "size", description="what decides among the recipes that pass; latency is measured here, so choices may differ by machine"
    )


class Profile(Section):
    name: Name
    description: str
    arch: Architecture
    hardware_revisions: tuple[Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")], ...] = Field(
        (), strict=False, max_length=8, description="of the board, as the inventory writes them; empty: all"
    )
    memory: Memory
    runtime: Runtime
    numeric: Numeric = Numeric()
    quantization: Quantization = Quantization()
    ops: Operators = Operators()
    budget: Budget = Budget()
    accuracy: Accuracy = Accuracy()
    proof: ProofMachine = ProofMachine()

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """Those to be tried, smallest first."""
        possible = PRECISIONS[self.runtime.name]
        named = self.quantization.precisions or tuple(p for p in possible if p not in BY_NAME_ONLY)
        return tuple(p for p in possible if p in named)

    @model_validator(mode="after")
    def _precisions_that_the_runtime_has(self) -> Self:
        possible = PRECISIONS[self.runtime.name]
        if unknown := [p for p in self.quantization.precisions if p not in possible]:
            raise ValueError(
                f"quantization.precisions: {self.runtime.name} has no {', '.join(unknown)}, only {', '.join(possible)}"
            )
        return self

    @property
    def exact(self) -> bool:
        """Whether the device must repeat every bit."""
        return (self.numeric.contract or ("exact" if self.runtime.name == "c99" else "tolerance")) == "exact"

    @model_validator(mode="after")
    def _instructions_need_an_emulator(self) -> Self:
        if self.budget.max_instructions is not None and self.proof.machine in _UNCOUNTED:
            raise ValueError("budget.max_instructions is counted by an emulated board: name one in proof.machine")
        if self.budget.energy_uj is not None and self.proof.machine in _UNCOUNTED:
            raise ValueError("budget.energy_uj is estimated from instructions: name an emulated board in proof.machine")
        return self

    @model_validator(mode="after")
    def _c_repeats_every_bit(self) -> Self:
        if self.runtime.name == "c99" and not self.exact:
            raise ValueError("numeric.contract: C99 artefacts repeat every bit, tolerance is for the other runtimes")
        return self
