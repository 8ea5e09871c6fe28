"""Artefacts and proofs of a model as one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from components.quantization.reporting.facts import Compiled, TriedRecipe
from components.training.reporting.plots import Line, line_plot
from components.validation.page import page, paragraph, table
from components.values import Check

RECIPE_COLUMNS = (
    "recipe", "bytes", "multiplications", "ms a window", "signal to noise, dB", "same class", "best of something", "why not",
)  # fmt: skip


def artefacts_page(name: str, compiled: Sequence[Compiled]) -> str:
    """The whole document."""
    sections = [
        paragraph(
            "A recipe is a way of writing a network's numbers. Each is judged on calibration windows against the float model; "
            "what is released is proven on windows of devices that nothing was learned from. Where several shapes compete for a "
            "profile, a recipe begins with the name of its shape, and all are judged against the trained network. Bytes of C are "
            "those of its tables; code comes on top."
        ),
        *_plot(compiled),
        table("Proofs", ("profile", "recipe", "level", "passed", "bytes", "RAM", "time a window", "where"), _proofs(compiled)),
    ]
    for one in compiled:
        if one.tried:
            sections.append(table(f"Recipes for {one.profile}", RECIPE_COLUMNS, [recipe_row(tried) for tried in one.tried]))
        if one.proof:
            checks = [
                (c.name, _number(c.value), "-" if c.limit is None else _number(c.limit), c.unit, c.passed)
                for c in one.proof.checks
            ]
            sections.append(table(f"Proof for {one.profile}", ("check", "value", "limit", "unit", "passed"), checks))
    return page(f"Artefacts of {name}", *sections)


def recipe_row(tried: TriedRecipe) -> tuple[object, ...]:
    """Under `RECIPE_COLUMNS`; what was only simulated has neither bytes nor time, what cannot fit was not compared."""
    return (
        tried.name,
        "-" if tried.size is None else tried.size,
        "-" if tried.multiplications is None else tried.multiplications,
        "-" if tried.latency_ms is None else round(tried.latency_ms, 4),
        "-" if tried.signal_db is None else round(tried.signal_db, 1),
        "-" if tried.agreement is None else round(tried.agreement, 4),
        tried.front,
        tried.lost or "taken",
    )


def _plot(compiled: Sequence[Compiled]) -> list[str]:
    """Size against signal to noise, of what was compiled and compared."""
    lines = []
    for one in compiled:
        points = [(tried.size, tried.signal_db) for tried in one.tried]
        known = sorted((size / 1024, signal) for size, signal in points if size is not None and signal is not None)
        if known:
            lines.append(Line(one.profile, known, dots=True, joined=False))
    if not lines:
        return []
    return [line_plot("Signal to noise in dB (up) and KiB (across) of every recipe", lines, x_name="KiB")]


def _proofs(compiled: Sequence[Compiled]) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for one in compiled:
        if one.proof is None:
            rows.append((one.profile, one.chosen or "integers", "not proven", False, "-", "-", "-", "-"))
            continue
        proof = one.proof
        where = f"{proof.machine}; missing for more: {proof.missing}" if proof.missing else proof.machine
        time = proof.check("instructions") or proof.check("latency")
        sizes = [int(v) if v is not None else "-" for v in (one.measured("flash"), one.measured("ram"))]
        rows.append((one.profile, one.chosen or "integers", proof.level, proof.passed, *sizes, _time(time), where))
    return rows


def _number(value: float) -> float | int:
    return int(value) if value == int(value) else value


def _time(check: Check | None) -> str:
    if check is None:
        return "-"
    return f"{check.value:.3g} ms" if check.unit == "ms" else f"{check.value:,.0f} instructions"
