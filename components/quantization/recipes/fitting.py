"""What cannot fit a profile, told from sizes and operators alone, before any answer is compared."""

from __future__ import annotations

from components.models.calibration import uncalibrated
from components.quantization.operators import outside
from components.quantization.targets import Footprint, Network
from components.values import Architecture, TrainedModel
from components.workspace.profiles import Profile

_LEAST_BITS = {"binary": 1, "int4": 4, "int8": 8, "int16x8": 8, "dynamic": 8, "float16": 16, "float32": 32}
"""Precision -> bits of a weight; biases in integers take more."""


def too_many_weights(profile: Profile, architecture: Architecture, precision: str) -> str:
    """Why the network cannot fit whatever it is compiled to; '' where it may."""
    least, limit = architecture.parameters * _LEAST_BITS[precision] // 8, _flash(profile)
    return f"its weights alone take {least:,} bytes > {limit:,} of memory.model_flash_kib" if least > limit else ""


def takes(profile: Profile, model: TrainedModel, network: Network) -> Footprint:
    """Of files their bytes, whose RAM is not known before they run; of C what it takes at least, the self-test with it."""
    if network.footprint is None:
        return Footprint(sum(map(len, network.members.values())), 0)
    least = network.footprint(uncalibrated(model, network))
    return Footprint(least.flash + profile.proof.vectors * _vector_bytes(model), least.ram)


def misfit(profile: Profile, network: Network, size: Footprint) -> str:
    """Why the compiled network cannot run on the device; '' where it may."""
    if lacking := outside(profile, network.operators):
        return f"needs {', '.join(lacking)}, which ops.allow does not list"
    limit, ram = _flash(profile), int(profile.memory.model_ram_kib * 1024)
    tables = "" if network.footprint is None else " of tables alone"
    if size.flash > limit:
        return f"{size.flash:,} bytes{tables} > {limit:,} of memory.model_flash_kib"
    return f"static memory of {size.ram:,} bytes > {ram:,} of memory.model_ram_kib" if size.ram > ram else ""


def _flash(profile: Profile) -> int:
    return int(profile.memory.model_flash_kib * 1024)


def _vector_bytes(model: TrainedModel) -> int:
    """Of a vector of the self-test in C: samples of 16 bits, surprise and values of 32, classes of 8."""
    classes = sum(bool(head.classes) for head in model.heads)
    return 2 * model.steps * len(model.channels) + 4 + classes + 4 * (len(model.heads) - classes)
