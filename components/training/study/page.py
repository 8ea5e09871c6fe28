"""A study as one HTML file that needs nothing else, and the rows of its table."""

from __future__ import annotations

from components.training.reporting.plots import Line, line_plot
from components.training.study.study import Spread, Study
from components.training.study.trial import BOOSTING, METHODS, PRETRAINED, SCRATCH
from components.validation.page import page, paragraph, table

NAMES = {PRETRAINED: "pre-trained", SCRATCH: "not pre-trained", BOOSTING: "gradient boosting"}
COLUMNS = ("task", "labels", *NAMES.values(), "pre-training less none", "p")


def rows(study: Study) -> list[tuple[str, ...]]:
    """One a comparison under `COLUMNS`: means with the standard deviation over seeds."""
    return [
        (
            c.task or "all tasks",
            str(c.labels or "all"),
            *(_mean(c.macro_f1[method]) for method in METHODS),
            f"{c.pretraining.difference:+.3f}",
            f"{c.pretraining.p:.3g}",
        )
        for c in study.comparisons
    ]


def note(study: Study) -> str:
    """How small p can become with so many seeds."""
    pairs = max(c.pretraining.pairs for c in study.comparisons)
    return (
        f"p: exact test of paired differences over {pairs} seeds, two-sided; with so many it is at least {2 / 2**pairs:.2g}, "
        "however clear the difference. Seeds draw labels, weights and batches, not the held-out devices."
    )


def study_page(study: Study) -> str:
    """The whole document."""
    sections = [
        paragraph(
            "Macro-F1 on held-out windows after learning from few labelled windows: mean and standard deviation over seeds. All "
            "three methods of a seed learn from the same windows. Without pre-training the network begins with random weights."
        ),
        paragraph(note(study)),
        *(_plot(study, task) for task in dict.fromkeys(o.trial.task for o in study.outcomes)),
        table("Means over seeds", COLUMNS, rows(study)),
        table("Every trial", ("task", "labels", "seed", *NAMES.values()), _trials(study)),
    ]
    return page(f"Few labels: {study.name}", *sections)


def _plot(study: Study, task: str) -> str:
    """Means by the number of labels, whiskers from the worst to the best seed."""
    mine = [c for c in study.comparisons if c.task == task and c.labels]
    lines = [
        Line(
            NAMES[method],
            [(float(c.labels), c.macro_f1[method].mean) for c in mine],
            dots=True,
            dashed=method != PRETRAINED,
            spans=[(float(c.labels), c.macro_f1[method].low, c.macro_f1[method].high) for c in mine],
        )
        for method in METHODS
    ]
    return line_plot(f"{task}: macro-F1 by labelled windows", lines, x_name="labelled windows")


def _trials(study: Study) -> list[tuple[object, ...]]:
    return [
        (o.trial.task, o.trial.labels, o.trial.seed, *(round(o.macro_f1[method], 4) for method in METHODS))
        for o in study.outcomes
    ]


def _mean(spread: Spread) -> str:
    return f"{spread.mean:.3f} ± {spread.deviation:.3f}"
