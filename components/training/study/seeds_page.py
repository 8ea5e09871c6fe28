"""A model over seeds as rows for a terminal and as one HTML file that needs nothing else."""

from __future__ import annotations

from components.labeling.report.charts import intervals
from components.training.judging.page import METHOD_COLUMNS, METRICS, NUMBER_COLUMNS, folded
from components.training.judging.summary_numbers import NUMBER_METRICS
from components.training.reporting.page import loss_lines
from components.training.reporting.plots import Line, line_plot
from components.training.study.seeds import OverSeeds, Seeds
from components.validation.page import page, paragraph, table
from components.values.curves import Point

LEAD_TITLE = "VUS-PR of the model less that of the others, on the same devices and seeds"
LEAD_COLUMNS = ("method", "difference")
_WIDE = 4
_NAMES = dict(zip(METRICS, METHOD_COLUMNS[1:], strict=True)) | {"macro_f1": "macro-F1"}
_NAMES |= dict(zip(NUMBER_METRICS, NUMBER_COLUMNS[3:], strict=True))


def title(seeds: Seeds) -> str:
    """What stands in the tables."""
    if len(seeds.seeds) == 1:
        return "Value (95 % over devices)"
    return "Mean over seeds ± standard deviation (95 % over devices and seeds)"


def method_tables(seeds: Seeds) -> list[tuple[list[str], list[list[str]]]]:
    """Columns and one row a method, blank where nothing can be said, in tables that a terminal holds."""
    names = _metrics(seeds)
    rows = [[m.name, *(shown(m.metrics.get(name)) for name in names)] for m in seeds.methods]
    return folded(["method", *map(_named, names)], rows, _WIDE)


def lead_rows(seeds: Seeds) -> list[tuple[str, str]]:
    """One row under `LEAD_COLUMNS` for each method that scores anomalies."""
    return [(m.name, shown(m.lead)) for m in seeds.methods if m.lead is not None]


def note(seeds: Seeds) -> str:
    """What the intervals hold, and what so few seeds cannot say."""
    if len(seeds.seeds) == 1:
        return f"One seed, {seeds.seeds[0]}: intervals are over {seeds.devices:,} devices alone and know nothing of its luck."
    numbers = ", ".join(map(str, seeds.seeds))
    return (
        f"Seeds {numbers} on the same {seeds.devices:,} held-out devices. Intervals hold 95 % of draws of devices and of seeds "
        "with replacement. Seeds draw weights, batches and the random choices of baselines, not windows, labels or what is held "
        f"out; of {len(seeds.seeds)} seeds the spread is itself known roughly."
    )


def seeds_page(seeds: Seeds) -> str:
    """The whole document: methods side by side, intervals, every seed, and how each learned."""
    sections = [
        paragraph(note(seeds)),
        *(paragraph(text) for text in seeds.notes),
        *(table(title(seeds), columns, rows) for columns, rows in method_tables(seeds)),
        *_areas(seeds),
        *(table("The model of each seed", columns, rows) for columns, rows in _every_seed(seeds)),
        *_learning(seeds),
    ]
    return page(f"Seeds: {seeds.name}", *sections)


def shown(metric: OverSeeds | None) -> str:
    """`0.871 ± 0.004 (0.840 to 0.902)`, whole numbers from a hundred on; blank for None."""
    if metric is None:
        return ""
    deviation = "" if metric.deviation is None else f" ± {_number(metric.deviation, metric.mean)}"
    if metric.low is None or metric.high is None:
        return _number(metric.mean, metric.mean) + deviation
    bounds = f" ({_number(metric.low, metric.mean)} to {_number(metric.high, metric.mean)})"
    return _number(metric.mean, metric.mean) + deviation + bounds


def _number(value: float, like: float) -> str:
    """With as many decimals as ``like``."""
    return f"{value:,.0f}" if abs(like) >= 100 else f"{value:.3f}"


def _metrics(seeds: Seeds) -> list[str]:
    """Those that some method has, in the order of a page about one seed."""
    found = list(dict.fromkeys(name for m in seeds.methods for name in m.metrics))
    return [name for name in METRICS if name in found] + [name for name in found if name not in METRICS]


def _named(metric: str) -> str:
    """`fault macro-F1` for `fault/macro_f1`."""
    task, _, name = metric.rpartition("/")
    unit = ", s" if name == "detection_delay_s" else ""
    return f"{task} {_NAMES[name]}{unit}".strip()


def _areas(seeds: Seeds) -> list[str]:
    known = [(m.name, m.metrics["vus_pr"]) for m in seeds.methods if "vus_pr" in m.metrics]
    if not known:
        return []
    rows = [(name, [m.mean if x is None else x for x in (m.mean, m.low, m.high)], None) for name, m in known]
    lead = table(LEAD_TITLE, LEAD_COLUMNS, lead_rows(seeds))
    return ["<h2>VUS-PR with 95 % intervals</h2>", intervals("VUS-PR", rows), lead]


def _every_seed(seeds: Seeds) -> list[tuple[list[str], list[list[str]]]]:
    names, model = _metrics(seeds), seeds.methods[0].metrics
    found = [model[name].of_seeds if name in model else (None,) * len(seeds.seeds) for name in names]
    rows = [
        [str(seed), *("" if value is None else _number(value, value) for value in values)]
        for seed, *values in zip(seeds.seeds, *found, strict=True)
    ]
    return folded(["seed", *map(_named, names)], rows)


def _learning(seeds: Seeds) -> list[str]:
    """A plot a phase of the sum of all losses, with a line a seed."""
    phases = dict.fromkeys(point.phase for curve in seeds.curves for point in curve)
    if not phases:
        return []
    plots = [
        line_plot(
            f"{phase}: sum of all losses",
            [line for seed, curve in zip(seeds.seeds, seeds.curves, strict=True) for line in _learned(seed, curve, phase)],
            x_name="steps",
        )
        for phase in phases
    ]
    text = "Losses by steps on calibration windows, which are never trained on; on training windows where there are no others."
    return ["<h2>How each seed learned</h2>", paragraph(text), "<div>" + "\n".join(plots) + "</div>"]


def _learned(seed: int, curve: tuple[Point, ...], phase: str) -> list[Line]:
    mine = [point for point in curve if point.phase == phase]
    lines = {line.name: line for line in loss_lines(mine, {name for point in mine for name in point.losses})}
    line = lines.get("validation") or lines.get("train")
    return [Line(f"seed {seed}", line.points)] if line else []
