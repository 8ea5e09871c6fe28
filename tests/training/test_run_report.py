"""The report of a training run says what was measured, no more where no truth is known, and the same every time."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.features.statistics import window_statistics
from components.quantization.detectors import of_model
from components.training.reporting.page import report_page
from components.training.reporting.plots import Line, line_plot
from components.training.reporting.reliability import achieved, class_reliability, thresholds
from components.training.reporting.write import training_report, write_report
from components.training.train import train
from components.values import Targets, TrainedModel, Windows
from components.workspace import Workspace
from components.workspace.settings import Task
from tests.training.quick import labels_of, quick_windows, quick_workspace


@pytest.fixture(scope="module")
def windows() -> Windows:
    return quick_windows()


@pytest.fixture(scope="module")
def model(windows: Windows, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    workspace = quick_workspace(tmp_path_factory.mktemp("model"), pretrain_steps=60, finetune_steps=60)
    return train(workspace, windows, [labels_of(windows)], statistics_of(windows))


def statistics_of(windows: Windows) -> pd.DataFrame:
    return window_statistics(quick_workspace(Path()), windows)


def _judged(root: Path, windows: Windows) -> Workspace:
    """The quick workspace with a truth: one anomaly with a root cause, and a class."""
    workspace = quick_workspace(root)
    held_out = windows.index[windows.test]
    lines = ["device_id,start,end,task,value,root_cause"]
    for place in (5, 40):
        row = held_out.iloc[place]
        span = f"{row.device_id},{row.start.isoformat()},{row.end.isoformat()}"
        lines += [f"{span},anomaly,x,flow", f"{span},fault,leak,"]
    (root / "truth.csv").write_text("\n".join(lines) + "\n")
    evaluation = workspace.settings.evaluation.model_copy(update={"truth": "truth.csv"})
    return Workspace(root, workspace.settings.model_copy(update={"evaluation": evaluation}), ())


def _written(workspace: Workspace, windows: Windows, model: TrainedModel, folder: Path) -> tuple[str, str]:
    folder.mkdir()
    write_report(folder, workspace, windows, [labels_of(windows)], statistics_of(windows), of_model(model), model.curves)
    return (folder / "report.html").read_text(), (folder / "report.json").read_text()


class _Outside(HTMLParser):
    """Collects what a page would load from elsewhere, and scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [tag] if tag in {"script", "link", "img", "iframe"} else []
        self.found += [name for name, _ in attrs if name in {"src", "href"}]


@pytest.mark.slow
def test_with_a_truth_the_page_has_every_part_and_the_same_bytes_twice(
    windows: Windows, model: TrainedModel, tmp_path: Path
) -> None:
    workspace = _judged(tmp_path, windows)
    first = _written(workspace, windows, model, tmp_path / "a")
    assert first == _written(workspace, windows, model, tmp_path / "b")
    for part in ("How it learned", "pre-train: sum", "fine-tune: fault", "VUS-PR with 95", "hit rate @100", "Classes: macro-F1"):
        assert part in first[0], part
    for part in (
        "Hardware profiles",
        "Devices",
        "False alarms: stated against achieved",
        "How sure is right: fault",
        "Anomaly, ",
    ):
        assert part in first[0], part
    outside = _Outside()
    outside.feed(first[0])
    assert outside.found == []


@pytest.mark.slow
def test_without_a_truth_nothing_is_called_right_wrong_or_false(windows: Windows, model: TrainedModel, tmp_path: Path) -> None:
    html, figures = _written(quick_workspace(tmp_path), windows, model, tmp_path / "a")
    for part in ("How it learned", "alarms a device-day", "stated against achieved", "No truth is declared"):
        assert part in html, part
    for word in ("precision", "VUS-PR", "recall", "False alarm:", "macro-F1", "Anomaly, "):
        assert word not in html, word
    assert '"evaluation": null' in figures
    assert "Alarm: " in html or "Highest score: " in html


@pytest.mark.slow
def test_the_report_and_the_metrics_of_training_agree(windows: Windows, tmp_path: Path) -> None:
    workspace, labels, statistics = _judged(tmp_path, windows), [labels_of(windows)], statistics_of(windows)
    model = train(workspace, windows, labels, statistics)
    report = training_report(workspace, windows, labels, statistics, of_model(model), model.curves)
    assert report.evaluation is not None
    metrics = {method.name: method.metrics for method in report.evaluation.methods}
    for method, named in (("model", "electra"), ("pca", "pca"), ("k_means", "k_means")):
        assert metrics[method]["vus_pr"].value == pytest.approx(model.metrics[f"anomaly/{named}/vus_pr"], rel=1e-3), method
    assert metrics["model"]["fault/macro_f1"].value == pytest.approx(model.metrics["fault/electra/macro_f1"], abs=0.01)
    assert report.own is not None
    assert report.own.achieved.low is not None


@pytest.mark.slow
def test_a_predicted_number_stands_on_the_page_beside_boosting_with_its_error(windows: Windows, tmp_path: Path) -> None:
    base = quick_workspace(tmp_path).settings
    level = Task(name="level", kind="regression", unit="m", range=(-4.0, 8.0), labels="gold", gold="gold.csv")
    evaluation = base.evaluation.model_copy(update={"truth": "truth.csv"})
    settings = base.model_copy(update={"tasks": (*base.tasks, level), "evaluation": evaluation})
    workspace = Workspace(tmp_path, settings, ())
    values = np.clip(np.nanmean(windows.values[:, :, 0], axis=1), -4, 8).astype(np.float32)
    held_out = windows.index[windows.test]
    rows = [
        f"{row.device_id},{row.start.isoformat()},{row.end.isoformat()},level,{values[place]:.3f}"
        for place, row in held_out.iterrows()
    ]
    (tmp_path / "truth.csv").write_text("\n".join(["device_id,start,end,task,value", *rows]) + "\n")
    targets = Targets("level", "m", (-4.0, 8.0), np.where(windows.train, values, np.nan).astype(np.float32), {})
    labels, statistics = [labels_of(windows)], statistics_of(windows)
    model = train(workspace, windows, labels, statistics, targets=[targets])
    assert "level" in next(point for point in reversed(model.curves) if point.part == "train").losses
    (tmp_path / "report").mkdir()
    write_report(tmp_path / "report", workspace, windows, labels, statistics, of_model(model), model.curves, [targets])
    html = (tmp_path / "report" / "report.html").read_text()
    assert "<h2>Numbers</h2>" in html
    assert "fine-tune: level" in html
    assert '"report/gradient_boosting/level/rmse"' in (tmp_path / "report" / "report.json").read_text()


@pytest.mark.slow
def test_a_workspace_that_holds_nothing_out_has_curves_alone(windows: Windows, model: TrainedModel, tmp_path: Path) -> None:
    all_train = replace(windows, index=windows.index.assign(split="train"))
    detector = of_model(model)
    report = training_report(
        quick_workspace(tmp_path), all_train, [labels_of(windows)], statistics_of(windows), detector, model.curves
    )
    page = report_page(report)
    assert "Nothing is held out" in page
    assert "pre-train: sum" in page


def test_scores_like_those_of_calibration_reach_a_threshold_as_often_as_stated() -> None:
    random = np.random.default_rng(5)
    devices = np.repeat(np.arange(20), 5000)
    for stated, threshold in thresholds(random.normal(0, 1, 100_000)):
        same = achieved(stated, threshold, random.normal(0, 1, 100_000), devices, 1)
        louder = achieved(stated, threshold, random.normal(0.5, 1, 100_000), devices, 1)
        assert same.achieved.value == pytest.approx(stated, rel=0.5)
        assert louder.achieved.value > same.achieved.value


def test_a_threshold_that_no_calibration_window_supports_is_not_stated() -> None:
    assert min(stated for stated, _ in thresholds(np.arange(100.0))) == 0.05


def test_an_honest_model_has_next_to_no_calibration_error_and_a_boaster_has_one() -> None:
    random = np.random.default_rng(3)
    sure = random.uniform(0.5, 1, 20_000)
    wanted = np.where(random.random(20_000) < sure, 0, 1).astype(np.int8)
    devices = np.arange(20_000) % 10
    honest = class_reliability("fault", np.column_stack([sure, 1 - sure]), wanted, devices, 1)
    boaster = class_reliability("fault", np.column_stack([sure**0.1, 1 - sure**0.1]), wanted, devices, 1)
    assert honest.error < 0.02
    assert boaster.error > 0.15
    assert sum(b.windows for b in honest.bins) == 20_000


def test_a_plot_of_one_point_or_of_none_is_no_error() -> None:
    assert line_plot("nothing", []) == ""
    assert "nan" not in line_plot("one", [Line("a", [(1.0, 2.0)], dots=True)])
    assert "nan" not in line_plot("equal", [Line("a", [(0.0, 0.0), (0.0, 0.0)])], logarithmic=True, diagonal=True)


def test_names_on_the_page_are_text() -> None:
    assert "<b>" not in line_plot("<b>", [Line("<b>", [(1.0, 2.0)])], x_name="<b>")


@given(st.floats(-1e5, 1e5), st.floats(1e-3, 1e5))
def test_axes_are_named_at_a_few_round_values_inside_them(low: float, span: float) -> None:
    plot = line_plot("a", [Line("a", [(0.0, low), (1.0, low + span)])])
    across = re.findall(r'text-anchor="middle" opacity="0.8">([^<]+)<', plot)
    up = [float(text) for text in re.findall(r'text-anchor="end" opacity="0.8">([^<]+)<', plot)]
    assert across == ["0", "0.25", "0.5", "0.75", "1"]
    assert 2 <= len(up) <= 6
    assert all(low - span * 0.01 <= value <= low + span * 1.01 for value in up)
