"""The model registry follows the log: aliases that say which version each fleet is offered, tries, and runs.

`<fleet>_candidate` waits for persons, `<fleet>_canary` is being rolled out, `<fleet>_stable` is what the last completed
release of the fleet offers. They are rebuilt from the logs and read by nobody of Muster: MLflow's aliases have no history
and no actor, and the last writer wins. A difference between both is an alarm.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass

from components.workspace import Workspace
from components.workspace.errors import VerificationFailed
from components.workspace.files import write_json
from registry import models
from registry.rollout import Release, State, list_releases

_ROLES = ("candidate", "canary", "stable")
_ALIAS = re.compile(rf"(.+)_({'|'.join(_ROLES)})")
_WAITING = frozenset({State.DRAFT, State.WAITING_FOR_APPROVAL, State.READY})
_TRIED = frozenset({State.RUNNING, State.PAUSED, State.HELD, State.HALTED})


@dataclass(frozen=True)
class Difference:
    """An alias that the log and the model registry see differently; None where one of them has no such alias."""

    alias: str
    log: int | None
    model_registry: int | None


def aliases_of(releases: Iterable[Release]) -> dict[str, int]:
    """Alias -> model version, as the logs tell it. Pure."""
    found: dict[str, int] = {}
    for release in sorted(releases, key=lambda r: r.counter):
        live = [o for o in release.manifests if o.live]
        if release.state in _WAITING:
            found[f"{release.fleet}_candidate"] = release.model_version
        if any(o.state in _TRIED for o in live):
            found[f"{release.fleet}_canary"] = release.model_version
        back = [o.previous for o in live if o.state in (State.ROLLING_BACK, State.ROLLED_BACK) and o.previous]
        if back:
            found[f"{release.fleet}_stable"] = max(w.version for w in back)
        elif release.state == State.COMPLETED:
            found[f"{release.fleet}_stable"] = release.model_version
    return found


def follow(workspace: Workspace) -> tuple[Difference, ...]:
    """Make the aliases say what the log says; returns what was changed. MLflow is asked only when the log says something new."""
    if not models.exists(workspace):
        return ()
    wanted = aliases_of(_own(workspace))
    note = workspace.state / "aliases.json"
    if note.is_file() and json.loads(note.read_text()) == wanted:
        return ()
    found = differences(workspace)
    for each in found:
        models.set_alias(workspace, each.alias, each.log)
    write_json(note, wanted)
    return found


def differences(workspace: Workspace) -> tuple[Difference, ...]:
    """Where the model registry's aliases are not what the log says.

    Raises:
        BackendUnreachable: the model registry does not answer.
    """
    wanted = aliases_of(_own(workspace))
    fleets = {f.name for f in workspace.settings.fleets}
    present = {a: v for a, v in models.aliases(workspace).items() if (m := _ALIAS.fullmatch(a)) and m[1] in fleets}
    names = sorted(wanted.keys() | present.keys())
    return tuple(Difference(a, wanted.get(a), present.get(a)) for a in names if wanted.get(a) != present.get(a))


def require_same(workspace: Workspace) -> None:
    """Raises VerificationFailed when the model registry says something else than the log."""
    if found := differences(workspace):
        said = "\n".join(f"  {d.alias}: the log says {d.log or 'nothing'}, MLflow {d.model_registry or 'nothing'}" for d in found)
        raise VerificationFailed(
            f"the aliases in the model registry are not what the release log says:\n{said}",
            hint="somebody set them by hand, or they were not written: muster release publish writes them again",
        )


def _own(workspace: Workspace) -> list[Release]:
    return [r for r in list_releases(workspace) if r.model_name == workspace.settings.name]
