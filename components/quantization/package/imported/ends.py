"""What goes into an artefact of an imported model, and what comes out."""

from __future__ import annotations

from pydantic import Field

from components.quantization.imported.boosted.proving import rounding
from components.quantization.imported.loading import AnyBuilt
from components.values.compiled_onnx import CompiledOnnx
from components.values.compiled_trees import CompiledTrees
from components.values.imported import Port
from components.workspace.section import Section


class End(Section):
    """An array at one end; ``value = (number - zero) * scale``."""

    name: str
    shape: tuple[int, ...]
    dtype: str = Field(description="of the numbers: int8, int16, int32 or float32")
    scale: float = 1.0
    zero: int = 0
    tolerance: float | None = Field(
        0.0, description="of an output: by how much a number may differ from the golden one; null: not known of other processors"
    )


class Feature(Section):
    """``number = raw * lsb + offset``, by which samples of C stand for the numbers that trees were trained on."""

    name: str
    lsb: float
    offset: float


def ends_of(made: AnyBuilt) -> tuple[End, tuple[End, ...]]:
    """The input and the outputs."""
    if isinstance(made, CompiledTrees):
        return _of_trees(made)
    if isinstance(made, CompiledOnnx):
        outputs = zip(made.outputs, made.tolerances, strict=True)
        return End(name=made.input.name, shape=made.input.shape, dtype="float32"), tuple(
            End(name=port.name, shape=port.shape, dtype="float32", tolerance=tolerance) for port, tolerance in outputs
        )
    exact = 0.0 if made.runtime == "c99" else None
    return _codes(made.input, 0.0), tuple(_codes(port, exact) for port in made.outputs)


def features_of(made: AnyBuilt) -> tuple[Feature, ...]:
    """Of trees in C, whose samples are integers; else none."""
    if not isinstance(made, CompiledTrees) or made.sampling is None:
        return ()
    lsb, offset = made.sampling.converter.lsb, made.sampling.converter.offset
    rows = zip(made.features or ("",) * len(lsb), lsb, offset, strict=True)
    return tuple(Feature(name=name, lsb=step, offset=start) for name, step, start in rows)


def _codes(port: Port, tolerance: float | None) -> End:
    return End(name=port.name, shape=port.shape, dtype="int8", scale=port.scale, zero=port.zero, tolerance=tolerance)


def _of_trees(made: CompiledTrees) -> tuple[End, tuple[End, ...]]:
    inputs, outputs = made.golden.inputs, made.golden.outputs
    entry = End(name="features", shape=inputs.shape[1:], dtype=inputs.dtype.name)
    tolerance = 0.0 if made.runtime == "c99" else rounding(made)
    margins = End(name="margins", shape=outputs.shape[1:], dtype=outputs.dtype.name, scale=2.0**-made.bits, tolerance=tolerance)
    return entry, (margins,)
