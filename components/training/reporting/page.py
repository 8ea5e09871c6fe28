"""The report of a training run as one HTML file that needs nothing else."""

from __future__ import annotations

from components.labeling.report.charts import calibration
from components.training.judging.drawing import drawings, highest
from components.training.judging.page import drawn, evaluation_sections, scope_line, shown
from components.training.judging.result import Evaluation
from components.training.judging.summary import Measure
from components.training.reporting.plots import Line, line_plot
from components.training.reporting.reliability import Rate, Reliability
from components.training.reporting.write import Report
from components.validation.page import page, paragraph, table
from components.values.curves import Point
from components.values.networks import COLUMNS, as_row


def report_page(report: Report) -> str:
    """The whole document."""
    sections = [*_learning(report.curves)]
    if len(report.networks) > 1:
        sections.append(table("Networks for hardware profiles", COLUMNS, [as_row(network) for network in report.networks]))
    if report.evaluation is None:
        sections.append(paragraph("Nothing is held out, so nothing is said of what the model reaches."))
    elif report.judged:
        sections += ["<h1>What it reaches on what is held out</h1>", *evaluation_sections(report.evaluation)]
    else:
        sections += ["<h1>What it does on what is held out</h1>", *_unjudged(report.evaluation)]
    if report.rates:
        sections += _false_alarms(report)
    for task in report.reliability:
        sections += _classes(task)
    return page(f"Training of {report.name}", *sections)


def _learning(curves: tuple[Point, ...]) -> list[str]:
    """Of each phase a plot of the sum and one of every loss."""
    if not curves:
        return []
    sections = [
        "<h2>How it learned</h2>",
        paragraph("Losses by steps. Dashed: calibration windows, never trained on; int8: in the integers that devices compute."),
    ]
    for phase in dict.fromkeys(point.phase for point in curves):
        mine = [point for point in curves if point.phase == phase]
        names = list(dict.fromkeys(name for point in mine for name in point.losses))
        plots = [line_plot(f"{phase}: {name}", loss_lines(mine, {name}), x_name="steps") for name in names]
        if len(names) > 1:
            plots.insert(0, line_plot(f"{phase}: sum of all losses", loss_lines(mine, set(names)), x_name="steps"))
        sections.append("<div>" + "\n".join(plots) + "</div>")
    return sections


def loss_lines(points: list[Point], names: set[str]) -> list[Line]:
    """The sum of the losses ``names`` where all of them are known, a line a part: 'train', 'validation', 'int8'."""
    lines = []
    for part in ("train", "validation", "int8"):
        mine = [p for p in points if p.part == part and names <= set(p.losses)]
        values = [(float(p.step), sum(p.losses[name] for name in names)) for p in mine]
        if values:
            lines.append(Line(part, values, dashed=part != "train"))
    return lines


def _unjudged(evaluation: Evaluation) -> list[str]:
    """Without a truth: how often it alarms, and examples for a person to judge."""
    alarms = "alarms_per_device_day"
    methods = [(m.name, shown(m.metrics[alarms])) for m in evaluation.methods if alarms in m.metrics]
    profiles = [(name, shown(found[alarms])) for name, found in evaluation.profiles.items() if alarms in found]
    devices = [(d.device, d.profile or "unknown", d.windows, round(d.days, 2), d.alarms) for d in evaluation.model.devices]
    devices.sort(key=lambda row: (-row[4], row[0]))
    sections = [
        paragraph(f"{scope_line(evaluation)}. No truth is declared (evaluation.truth): alarms are neither right nor wrong.")
    ]
    if methods:
        sections.append(table("Methods", ("method", "alarms a device-day"), methods))
        sections.append(table("Hardware profiles", ("hardware profile", "alarms a device-day"), profiles))
        sections.append(
            table("Devices with the most alarms", ("device", "hardware profile", "windows", "days", "alarms"), devices[:20])
        )
    alarmed = [(title.replace("False alarm", "Alarm"), svg) for title, svg in drawings(evaluation)]
    return [*sections, *drawn(alarmed or highest(evaluation))]


def _false_alarms(report: Report) -> list[str]:
    known = "that touch no anomaly of the truth" if report.judged else "(no truth says which of them are normal)"
    sections = [
        "<h2>False alarms: stated against achieved</h2>",
        paragraph(
            "A threshold is the score that a stated share of normal calibration windows reaches. Achieved: the share of the "
            f"held-out windows {known} at or above it, with its interval over devices."
        ),
    ]
    rows = [(_percent(r.stated), _share(r.achieved), f"{r.threshold:.2f}") for r in report.rates]
    if own := report.own:
        sections.append(
            paragraph(
                f"The model's own threshold accepts {report.stated_a_day:g} false alarms a device-day, {_percent(own.stated)} "
                f"of the windows; achieved: {_share(own.achieved)}."
            )
        )
    sections.append(table("Shares of windows", ("stated", "achieved", "threshold"), rows))
    line = Line("achieved", [(r.stated, r.achieved.value) for r in reversed(report.rates)], dots=True, spans=_spans(report.rates))
    title = "stated (across) and achieved (up) shares"
    return [*sections, line_plot(title, [line], x_name="stated", logarithmic=True, diagonal=True)]


def _spans(rates: tuple[Rate, ...]) -> list[tuple[float, float, float]]:
    return [
        (r.stated, r.achieved.low, r.achieved.high) for r in rates if r.achieved.low is not None and r.achieved.high is not None
    ]


def _classes(task: Reliability) -> list[str]:
    bins = [
        {
            "confidence": b.confidence,
            "right": b.right.value,
            "low": b.right.value if b.right.low is None else b.right.low,
            "high": b.right.value if b.right.high is None else b.right.high,
        }
        for b in task.bins
    ]
    rows = [(_percent(b.confidence), _share(b.right), b.windows) for b in task.bins]
    return [
        f"<h2>How sure is right: {task.task}</h2>",
        paragraph(
            "Windows by the probability of the class that the model names: across how sure it is, up how often it is right. "
            f"Expected calibration error {task.error:.3f}."
        ),
        calibration(bins),
        table("Windows by probability", ("probability", "right", "windows"), rows),
    ]


def _share(measure: Measure) -> str:
    bounds = (
        f" ({_percent(measure.low)} to {_percent(measure.high)})" if measure.low is not None and measure.high is not None else ""
    )
    return _percent(measure.value) + bounds


def _percent(value: float) -> str:
    return f"{100 * value:.3g} %"
