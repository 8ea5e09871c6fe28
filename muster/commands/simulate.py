"""`muster fleet simulate`: rehearse a release on a copy of the fleet."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from components.workspace import open_workspace
from components.workspace.errors import InputError
from muster.console import Json, Quiet, emit_json, emit_line, emit_table, say

if TYPE_CHECKING:
    from rich.table import Table

    from registry.simulator import Moment, Outcome, Scenario, VariantOutcome

WorkspacePath = Annotated[Path, typer.Argument(help="folder with muster.yaml")]
_UNITS = {"min": 60, "h": 3600, "d": 86_400}
_UNTIL: dict[str, Literal["complete", "halt"]] = {"complete": "complete", "halt": "halt"}
_SHOWN = 10


def simulate(
    workspace: WorkspacePath = Path(),
    release: Annotated[str | None, typer.Option(help="a release, whatever became of it; default: the newest draft")] = None,
    scenario: Annotated[Path | None, typer.Option(help="YAML file: what devices do")] = None,
    having: Annotated[
        list[str] | None, typer.Option("--with", help="a behaviour and its share, as failing=0.05; repeatable")
    ] = None,
    devices: Annotated[int | None, typer.Option(min=1, help="so many made-up devices in the image of the fleet's")] = None,
    until: Annotated[str, typer.Option(help="complete, halt, or a simulated time such as 36h")] = "complete",
    promote_after: Annotated[
        str | None, typer.Option(help="a person promotes what waits for people after so long, as 2h; default: nobody does")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="the same seed, the same rehearsal")] = 7,
    unsigned: Annotated[bool, typer.Option("--unsigned", help="devices do not sign their reports: faster")] = False,
    keep: Annotated[Path | None, typer.Option(help="new folder in which the rehearsed workspace stays")] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Rehearse a release in simulated time, on a copy: its own draft, cohorts and gates, and devices that do as they are told.

    Nothing of the workspace is changed, and no report of it is invented: the rehearsal has a registry and keys of its own.
    """
    from registry.simulator import Plan, prepare, rehearse

    opened = open_workspace(workspace)
    script = _scenario(scenario, having or [])
    end = _UNTIL.get(until) or _duration("--until", until)
    after = _duration("--promote-after", promote_after) if promote_after is not None else None
    start = datetime.now(UTC).replace(second=0, microsecond=0)
    plan = Plan(script, seed, start, end, after)
    signed = opened.settings.registry.reports.require_signatures and not unsigned
    with prepare(opened, release, start, seed, count=devices, signed=signed, keep=keep) as stage, _watching(quiet) as watch:
        outcome = rehearse(stage, plan, watch)
    if json:
        emit_json("fleet-simulation", outcome.to_json() | {"seed": seed, "scenario": script.model_dump(mode="json")})
    else:
        _print(outcome)


def _scenario(file: Path | None, having: list[str]) -> Scenario:
    from pydantic import ValidationError

    from registry.simulator import Scenario, parse_group, read_scenario

    script = read_scenario(file) if file else Scenario()
    groups = [*script.groups, *(parse_group(text) for text in having)]
    try:
        return Scenario.model_validate(dict(script) | {"groups": groups})
    except ValidationError as error:
        raise InputError(f"--with: {error.errors()[0]['msg'].removeprefix('Value error, ')}", hint="lower the shares") from None


def _duration(option: str, text: str) -> timedelta:
    match = re.fullmatch(r"(\d{1,5})(min|h|d)", text)
    if match is None or not int(match[1]):
        words = "complete, halt or " if option == "--until" else ""
        raise InputError(f"{option}: '{text}' is no time", hint=f"write {words}30min, 36h or 2d")
    return timedelta(seconds=int(match[1]) * _UNITS[match[2]])


def _watching(quiet: bool) -> AbstractContextManager[Callable[[Moment], None]]:
    """A live table on a terminal, a line a step elsewhere."""
    if quiet:
        return nullcontext(lambda _: None)
    return _Live() if sys.stderr.isatty() else nullcontext(_say_steps)


def _say_steps(moment: Moment) -> None:
    for line in _steps(moment):
        say(line)


def _steps(moment: Moment) -> list[str]:
    return [f"{_clock(moment.passed)}  {', '.join(t.variants)}  {t.event.replace('_', ' ')}: {t.reason}" for t in moment.taken]


class _Live:
    """The rollout as it stands, drawn anew only where it changed; what happened scrolls above it. The last frame stays."""

    def __enter__(self) -> Callable[[Moment], None]:
        from rich.console import Console
        from rich.live import Live

        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._live.start()
        return self._show

    def __exit__(self, *_: Any) -> None:
        self._live.stop()

    def _show(self, moment: Moment) -> None:
        self._live.update(_table(moment))
        for line in _steps(moment):
            self._live.console.print(line, highlight=False, markup=False)
        self._live.refresh()


def _table(moment: Moment) -> Table:
    from rich.table import Table

    from registry.simulator.acting import BROKEN, End

    title = f"{moment.release.id}, {_clock(moment.passed)} since its start, {moment.reports:,} reports"
    table = Table(title=title, title_justify="left", box=None)
    for column in ("variant", "state", "stage", "let in", "run it", "broken"):
        table.add_column(column, overflow="fold")
    for n, offer in enumerate(moment.release.manifests):
        mine = moment.crowd.variant == n
        runs, *broken = (moment.crowd.count(end, moment.now, mine) for end in (End.RUNS, *BROKEN))
        ends = {end.name.lower(): n for end, n in zip(BROKEN, broken, strict=True)}
        state, let_in = offer.state.replace("_", " "), f"{offer.cuts[-1].devices} of {offer.devices}"
        table.add_row(offer.variant, state, offer.plan.name, let_in, str(runs), _broken(ends))
    return table


def _print(outcome: Outcome) -> None:
    title = f"{outcome.release} after {_clock(timedelta(seconds=outcome.simulated_s))}: {outcome.ended}"
    columns = ("variant", "state", "stage", "let in", "run it", "broken", "never told")
    emit_table(title, columns, [_row(v) for v in outcome.variants])
    emit_line()
    happened = [
        (_clock(timedelta(seconds=h.at_s)), v.variant, h.event.replace("_", " "), h.reason)
        for v in outcome.variants
        for h in v.happened
    ]
    emit_table("What happened", ("after", "variant", "event", "why"), happened)
    for v in outcome.variants:
        if v.why and v.state != "completed":
            emit_line(f"{v.variant}: {v.why}")
        if v.never_told:
            more = f" and {len(v.never_told) - _SHOWN} more" if len(v.never_told) > _SHOWN else ""
            emit_line(f"{v.variant}: never told: {', '.join(v.never_told[:_SHOWN])}{more}")
    if outcome.not_reached:
        emit_line(f"not reached by the release: {outcome.not_reached} devices")
    refused = ", ".join(f"{n} {reason}" for reason, n in outcome.rejected.items())
    emit_line(f"{outcome.reports:,} reports, {outcome.deliveries:,} deliveries, refused: {refused or 'none'}")
    emit_line(f"{outcome.verified} manifests verified by the device client")


def _row(v: VariantOutcome) -> tuple[object, ...]:
    let_in = f"{v.let_in} of {v.devices}"
    return v.variant, v.state.replace("_", " "), v.stage, let_in, v.runs, _broken(v.broken), len(v.never_told)


def _broken(ends: dict[str, int]) -> str:
    """'3 failed, 1 fell back'."""
    return ", ".join(f"{n} {end.replace('_', ' ')}" for end, n in ends.items() if n) or "none"


def _clock(passed: timedelta) -> str:
    """'2 d 03:05'."""
    minutes = int(passed.total_seconds()) // 60
    return f"{minutes // 1440} d {minutes // 60 % 24:02}:{minutes % 60:02}"
