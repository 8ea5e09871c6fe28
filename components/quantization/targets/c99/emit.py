"""Write the C99 sources of an artefact: sensor, alarm and self-test are the same for every model, its body is given."""

from __future__ import annotations

import re
from dataclasses import dataclass
from string import Template

import numpy as np

from components.quantization.targets.c99.text import array, braced, defines, identifier, kernel
from components.runtime.conditions import Conditions
from components.runtime.surprise import LOG2_TABLE, Calibrated
from components.values import Artefact
from components.values.artefact import SelfTest
from components.workspace.errors import InputError

INTERFACE = "1.2"
"""Version of what `model.h` declares: the major number changes when a caller has to."""


@dataclass(frozen=True)
class Body:
    """``code``: everything of one kind of model, down to `model_run`. ``arena``: bytes of its static memory.

    ``tasks``: those that have classes, in the order of `model_result.classes`; ``numbers``: regressions, in that of
    `model_result.values`.
    """

    arena: int
    tasks: tuple[str, ...]
    code: str
    numbers: tuple[str, ...] = ()


def sources(artefact: Artefact, body: Body) -> dict[str, bytes]:
    """`model.h`, `model.c`, `model_selftest.c` and the example `main.c`.

    Raises:
        InputError: an integer does not fit the 32 bits that the C code takes it for.
    """
    _check(artefact)
    texts = {
        "model.h": _header(artefact, body),
        "model.c": _model(artefact, body),
        "model_selftest.c": _self_test(artefact, body),
        "main.c": kernel("main.c"),
    }
    return {name: text.encode() for name, text in texts.items()}


def gauge_tables(scoring: Calibrated, numbers: tuple[str, ...]) -> str:
    """How the values of the regressions ``numbers`` are read: `value_of` and the table GAUGE."""
    gauges = [scoring.gauges[task] for task in numbers]
    rows = [braced((g.zero, g.multiplier, g.middle, g.low, g.high)) for g in gauges]
    return f"{kernel('gauge.c')}\nstatic const gauge GAUGE[{len(rows)}] = {braced(rows)};\n"


def _header(artefact: Artefact, body: Body) -> str:
    channels = zip(artefact.channels, artefact.converter.lsb, artefact.converter.offset, strict=True)
    return Template(kernel("model.h")).substitute(
        title=_title(artefact),
        arena=body.arena,
        interface=INTERFACE,
        digest=artefact.model_digest,
        steps=artefact.steps,
        stride=artefact.stride or artefact.steps,
        channels=len(artefact.channels),
        tasks=len(body.tasks),
        values=len(body.numbers),
        calibration_steps=artefact.calibration.steps,
        threshold=artefact.scoring.threshold,
        vectors=len(artefact.self_test.raw),
        channel_list="\n".join(f"   {name}: lsb {lsb:.9g}, offset {offset:.9g}" for name, lsb, offset in channels),
        class_list="".join(_enumeration(i, task, artefact.tasks[task]) for i, task in enumerate(body.tasks)),
        value_list="".join(_unit(i, task, artefact) for i, task in enumerate(body.numbers)),
        raise_after=artefact.scoring.raise_after,
        clear_after=artefact.scoring.clear_after,
    )


def _enumeration(position: int, task: str, classes: tuple[str, ...]) -> str:
    names = [f"MODEL_{identifier(task)}_{identifier(name)}" for name in classes]
    return f"/* classes[{position}] */\nenum {{ {', '.join(names)} }};\n\n"


def _unit(position: int, task: str, artefact: Artefact) -> str:
    bits, unit = artefact.scoring.gauges[task].bits, re.sub(r"[^\w/%. -]", "_", artefact.units.get(task, ""))
    return (
        f"/* values[{position}], in 2^-{bits} {unit or 'of its unit'} */\n"
        f"enum {{ MODEL_{identifier(task)}_VALUE = {position}, MODEL_{identifier(task)}_BITS = {bits} }};\n\n"
    )


def _model(artefact: Artefact, body: Body) -> str:
    parts = [
        f'/* {_title(artefact)}. Made by Muster; do not edit. */\n#include "model.h"\n\n#include <string.h>\n',
        _sensor_tables(artefact),
        _conditions(artefact.calibration.conditions),
        kernel("sensor.c"),
        _alarm_tables(artefact.scoring),
        kernel("alarm.c"),
        body.code,
        kernel("stream.c"),
    ]
    return "\n".join(parts)


def _sensor_tables(artefact: Artefact) -> str:
    calibration = artefact.calibration
    parts = [
        array("FALLBACK_CENTER", "int32_t", calibration.fallback.center),
        array("FALLBACK_MULTIPLIER", "int32_t", calibration.fallback.multiplier),
    ]
    if calibration.steps:
        parts += [
            defines({"GAIN": f"UINT32_C({calibration.gain})"}),
            array("MIN_DEVIATION", "uint32_t", calibration.min_deviation),
        ]
    return "".join(parts)


def _conditions(conditions: Conditions | None) -> str:
    if conditions is None:
        return kernel("no_conditions.c")
    tables = (
        defines({"REGIMES": len(conditions.point), "CONDITIONS": len(conditions.channels)}),
        array("CONDITION", "uint8_t", conditions.channels),
        array("CONDITION_WEIGHT", "int32_t", conditions.weight),
        array("POINT", "int32_t", conditions.point),
        array("REGIME_CENTER", "int32_t", conditions.center),
        array("REGIME_MULTIPLIER", "int32_t", conditions.multiplier),
    )
    return "".join(tables) + kernel("conditions.c")


def _alarm_tables(scoring: Calibrated) -> str:
    constants = {"KNOTS": len(scoring.knots), "RAISE_AFTER": scoring.raise_after, "CLEAR_AFTER": scoring.clear_after}
    tables = array("KNOT", "int32_t", scoring.knots) + array("LOG2_TABLE", "uint8_t", LOG2_TABLE)
    return defines(constants) + tables


def _self_test(artefact: Artefact, body: Body) -> str:
    test: SelfTest = artefact.self_test
    tables = [
        array("CENTER", "int32_t", test.scaling.center),
        array("MULTIPLIER", "int32_t", test.scaling.multiplier),
        array("RAW", "int16_t", test.raw),
        array("SURPRISE", "int32_t", test.surprise),
    ]
    if body.tasks:
        tables.append(array("CLASSES", "int8_t", np.stack([test.classes[task] for task in body.tasks], axis=1)))
    if body.numbers:
        tables.append(array("VALUES", "int32_t", np.stack([test.values[task] for task in body.numbers], axis=1)))
    return Template(kernel("model_selftest.c")).substitute(title=_title(artefact), tables="\n".join(tables))


def _title(artefact: Artefact) -> str:
    return re.sub(r"[^\w .-]", "_", f"{artefact.name} for {artefact.profile}")


def _check(artefact: Artefact) -> None:
    calibration = artefact.calibration
    fits = {
        "calibration gain": calibration.gain < 2**32,
        "scaling": all(abs(v) < 2**31 for v in calibration.fallback.multiplier),
    }
    if broken := [name for name, fit in fits.items() if not fit]:
        raise InputError(
            f"{artefact.profile}: {', '.join(broken)} too large for the C interface", hint="raise windows.clip or min deviations"
        )
