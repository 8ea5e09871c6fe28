"""The data contract as a Great Expectations suite, run once over the whole lake.

The suite is the contract in a form that other tools read, and a second opinion: its counts stand in the report beside
ours. Which rows are bad is decided in `rows.py`, because expectations tell how many rows failed, not which.

Three traps of Great Expectations are closed here: an empty frame passes every check, so a row count is expected first;
nulls pass range checks, so nulls have an expectation of their own; and an exception inside a result looks like bad
data, so it is raised.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from components.validation.rows import Span
    from components.workspace import Workspace

_NULL_SHARE_OF_NULLABLE = 0.5


@dataclass(frozen=True)
class Expected:
    """One expectation's outcome. ``unexpected`` counts rows; None where the expectation is about the table."""

    name: str
    column: str
    limits: str
    passed: bool
    unexpected: int | None


def run_suite(workspace: Workspace, frame: pd.DataFrame, span: Span) -> tuple[list[Expected], dict[str, Any]]:
    """Outcome of every expectation over ``frame``, and the suite as Great Expectations writes it.

    Raises:
        RuntimeError: an expectation could not be evaluated.
    """
    os.environ.setdefault("GX_ANALYTICS_ENABLED", "false")
    import great_expectations as gx
    from great_expectations.data_context.types.base import DataContextConfig, InMemoryStoreBackendDefaults

    stores = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)  # else a folder stays behind in the temporary one
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=stores))
    context.variables.progress_bars = {"globally": False}
    suite = context.suites.add(gx.ExpectationSuite(name="telemetry", expectations=_expectations(workspace, span)))
    # Its range check is vectorised for float64 alone; for float32 it calls a Python function a row.
    wide = frame.astype(dict.fromkeys((c.name for c in workspace.settings.telemetry.measured), "float64"))
    asset = context.data_sources.add_pandas("lake").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("all").get_batch({"dataframe": wide})
    result = batch.validate(suite, result_format="BASIC")
    return [_outcome(r) for r in result.results], suite.to_json_dict()


def _expectations(workspace: Workspace, span: Span) -> list[Any]:
    """A tolerated share of bad rows is one number for the whole contract: validation.max_quarantined."""
    import great_expectations.expectations as gxe

    mostly = 1.0 - workspace.settings.validation.max_quarantined
    expectations: list[Any] = [
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
        gxe.ExpectColumnValuesToNotBeNull(column="device_id", mostly=mostly),
        gxe.ExpectColumnValuesToNotBeNull(column="time", mostly=mostly),
        gxe.ExpectColumnValuesToBeBetween(
            column="time", min_value=span.first.to_pydatetime(), max_value=span.last.to_pydatetime(), mostly=mostly
        ),
    ]
    for channel in workspace.settings.telemetry.measured:
        low, high = channel.range
        expectations.append(gxe.ExpectColumnValuesToBeBetween(column=channel.name, min_value=low, max_value=high, mostly=mostly))
        if channel.optional:
            continue
        present = 1.0 - _NULL_SHARE_OF_NULLABLE if channel.nullable else mostly
        expectations.append(gxe.ExpectColumnValuesToNotBeNull(column=channel.name, mostly=present))
    if workspace.settings.telemetry.context.hardware_profile:
        known = ["", *workspace.settings.profiles]
        expectations.append(gxe.ExpectColumnValuesToBeInSet(column="hardware_profile", value_set=known, mostly=mostly))
    return expectations


def _outcome(result: Any) -> Expected:
    config = result.expectation_config
    if result.exception_info and (message := _exception(result.exception_info)):
        raise RuntimeError(f"Great Expectations could not evaluate {config.type}: {message}")
    kwargs = {k: v for k, v in config.kwargs.items() if k not in {"column", "batch_id"}}
    count = (result.result or {}).get("unexpected_count")
    return Expected(
        name=config.type,
        column=str(config.kwargs.get("column", "")),
        limits=", ".join(f"{k} {v}" for k, v in kwargs.items()),
        passed=bool(result.success),
        unexpected=None if count is None else int(count),
    )


def _exception(info: dict[str, Any]) -> str:
    """`exception_info` is one record, or one a metric."""
    records = [info] if "raised_exception" in info else list(info.values())
    return next((str(r.get("exception_message")) for r in records if isinstance(r, dict) and r.get("raised_exception")), "")
