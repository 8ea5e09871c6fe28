"""A rehearsal shows what a release would do to a fleet, on a copy, and tells the same story for the same seed."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from components.workspace import Workspace, open_workspace
from components.workspace.files import sha256_bytes
from components.workspace.workspace import parse_yaml
from muster.app import main
from registry import rollout
from registry.contract.times import utc_now
from registry.inventory import list_devices
from registry.rollout.evidence import ABSENT, METRICS
from registry.simulator import BEHAVIOURS, Scenario
from registry.simulator.acting import End, course
from registry.simulator.crowd import gather
from registry.simulator.readings import Readings, draw
from registry.simulator.scenario import FallingBack, SlowDownload
from tests.registry.rollouts import alive, large
from tests.registry.terminal import on_terminal
from tests.registry.workspaces import artefacts, proofs, version

Run = Callable[..., tuple[int, str, str]]
DEVICES, CANARY = 200, 40
KNOWN = "heard_before: true\n"


@pytest.fixture
def muster(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["muster", *map(str, arguments)])
        code = 0
        try:
            main()
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def north(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """200 gateways, and a draft whose stages are decided by gates. No test changes it."""
    workspace = large(tmp_path_factory.mktemp("north") / "w", DEVICES)
    rollout.draft(workspace, version(1), artefacts("a"), proofs("a"), "pipeline")
    return workspace


@pytest.fixture
def rehearse(muster: Run, north: Workspace, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """The document of a rehearsal of a fleet that has been reporting; ``groups``: lines of the scenario."""

    def run(*options: object, groups: str = "", workspace: Path = north.root) -> dict[str, Any]:
        (tmp_path / "scenario.yaml").write_text(KNOWN + groups)
        code, out, err = muster("fleet", "simulate", workspace, "--scenario", tmp_path / "scenario.yaml", "--json", *options)
        assert code == 0, err
        document = json.loads(out)
        assert (document["schema_version"], document["kind"]) == (1, "fleet-simulation")
        data: dict[str, Any] = document["data"]
        return data

    return run


@pytest.fixture
def gateways(rehearse: Callable[..., dict[str, Any]], north: Workspace) -> Callable[..., tuple[dict[str, Any], dict[str, Any]]]:
    """(the document, its only variant)."""

    def run(*options: object, groups: str = "", workspace: Path = north.root) -> tuple[dict[str, Any], dict[str, Any]]:
        document = rehearse(*options, groups=groups, workspace=workspace)
        (variant,) = document["variants"]
        return document, variant

    return run


Gateways = Callable[..., tuple[dict[str, Any], dict[str, Any]]]


def events(variant: dict[str, Any]) -> list[str]:
    return [h["event"] for h in variant["happened"]]


@pytest.mark.slow
def test_a_good_release_reaches_every_device(gateways: Gateways) -> None:
    document, variant = gateways()
    assert (document["ended"], variant["state"]) == ("complete", "completed")
    assert events(variant) == ["widened"] * 3 + ["promoted", "promoted", "completed"]
    assert (variant["runs"], variant["told"], variant["never_told"]) == (DEVICES, DEVICES, [])
    assert sum(variant["broken"].values()) == 0
    assert variant["heard"] == {"expected": DEVICES, "ok": DEVICES, "failed": 0, "silent": 0, "pending": 0}
    assert document["accepted"] == document["reports"] < document["deliveries"]
    assert document["accepted"] + document["duplicates"] == document["deliveries"]
    assert document["verified"] >= 1 + len(variant["happened"])


@pytest.mark.slow
def test_a_bad_release_halts_in_its_canary(gateways: Gateways) -> None:
    document, variant = gateways("--with", "failing=0.4")
    assert (document["ended"], variant["state"], variant["stage"]) == ("halted", "halted", "canary")
    assert 0 < variant["broken"]["failed"] <= CANARY * 3 // 4
    assert variant["why"].startswith("failures: ")


@pytest.mark.slow
def test_devices_that_fall_silent_halt_it_when_their_time_is_up(gateways: Gateways) -> None:
    """They said that they start: nobody waits for them longer than one deadline."""
    document, variant = gateways("--with", "silent=1")
    assert (document["ended"], variant["stage"], variant["runs"]) == ("halted", "canary", 0)
    assert variant["broken"]["bricked"] <= CANARY
    assert variant["heard"]["silent"] == variant["broken"]["bricked"]
    (halt,) = variant["happened"]
    assert 86_400 <= halt["at_s"] <= 86_400 + 2 * 3600


@pytest.mark.slow
def test_lying_devices_cannot_promote_a_release(gateways: Gateways) -> None:
    """What they claim without being let in is refused; let in, what they say runs gives them away."""
    document, variant = gateways("--with", "lying=1")
    assert (variant["state"], variant["stage"], variant["runs"]) == ("halted", "canary", 0)
    assert document["rejected"]["not_in_cohort"] >= DEVICES - CANARY
    assert variant["heard"]["ok"] == 0
    assert "promoted" not in events(variant)


@pytest.mark.slow
def test_devices_that_have_been_off_for_long_do_not_stall_it(rehearse: Any, north: Workspace, tmp_path: Path) -> None:
    """Whatever the real registry heard of them: here of all, just now."""
    shutil.copytree(north.root, tmp_path / "heard")
    heard = open_workspace(tmp_path / "heard")
    alive(heard, [d.device_id for d in list_devices(heard)], utc_now())
    document = rehearse(groups="groups: [{behaviour: offline, share: 0.3, days: 20}]\n", workspace=heard.root)
    (variant,) = document["variants"]
    assert (document["ended"], variant["state"]) == ("complete", "completed")
    assert document["simulated_s"] < 86_400
    assert len(variant["never_told"]) == DEVICES * 3 // 10
    assert variant["runs"] == DEVICES * 7 // 10
    assert variant["heard"]["failed"] == variant["heard"]["silent"] == 0


@pytest.mark.slow
def test_who_is_off_for_a_while_gets_it_later(gateways: Gateways) -> None:
    _, variant = gateways("--until", "12h", groups="groups: [{behaviour: offline, share: 0.1, days: 0.4}]\n")
    assert (variant["runs"], variant["never_told"]) == (DEVICES, [])


@pytest.mark.slow
def test_a_device_that_falls_back_later_is_counted_as_failed(gateways: Gateways) -> None:
    _, variant = gateways("--until", "4h", groups="groups: [{behaviour: falling_back, share: 1.0, hours: 0.5}]\n")
    assert (variant["state"], variant["runs"]) == ("halted", 0)
    assert variant["broken"]["fell_back"] == variant["told"] == variant["heard"]["failed"]


@pytest.mark.slow
def test_a_download_that_is_given_up_is_tried_again(gateways: Gateways) -> None:
    _, variant = gateways("--until", "5h", groups="groups: [{behaviour: slow_download, share: 1.0, hours: 0.25, attempts: 2}]\n")
    assert variant["heard"]["failed"] == sum(variant["broken"].values()) == 0
    assert variant["runs"] > 0
    _, variant = gateways(
        "--until", "halt", groups="groups: [{behaviour: slow_download, share: 1.0, hours: 0.25, attempts: 3}]\n"
    )
    assert variant["state"] == "halted"
    assert variant["broken"]["failed"] > 0


METRIC_GATES = """, metrics: [
    {name: latency_us, limit: 2000}, {name: drift_milli, limit: 200},
    {name: anomaly_milli, limit: 50}, {name: errors, limit: 0}]"""


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """200 gateways, and a draft whose gates look at every reading. No test changes it."""
    workspace = large(tmp_path_factory.mktemp("metered") / "w", DEVICES, gates=METRIC_GATES)
    rollout.draft(workspace, version(1), artefacts("a"), proofs("a"), "pipeline")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize(
    ("gate", "readings"),
    [
        ("latency_us", "{latency_us: 9000}"),
        ("drift_milli", "{drift_milli: 600, spread: 0.5}"),
        ("anomaly_milli", "{anomaly_milli: 400}"),
        ("errors", "{errors: 2, spread: 0}"),
    ],
)
def test_devices_that_measure_that_it_does_badly_halt_it_in_its_canary(
    gate: str, readings: str, gateways: Gateways, metered: Workspace
) -> None:
    """Though it runs on every one of them, and its self-tests pass."""
    groups = f"groups: [{{behaviour: degraded, share: 0.5, readings: {readings}}}]\n"
    document, variant = gateways(groups=groups, workspace=metered.root)
    assert (document["ended"], variant["state"], variant["stage"]) == ("halted", "halted", "canary")
    assert variant["why"].startswith(f"{gate}: ")
    assert (variant["heard"]["failed"], sum(variant["broken"].values())) == (0, 0)
    assert 0 < variant["runs"] <= CANARY


@pytest.mark.slow
def test_healthy_readings_let_a_release_through_every_gate(gateways: Gateways, metered: Workspace) -> None:
    document, variant = gateways(workspace=metered.root)
    assert (document["ended"], variant["state"], variant["runs"]) == ("complete", "completed", DEVICES)


@pytest.mark.slow
def test_degraded_devices_do_badly_by_every_reading_unless_they_say_which(gateways: Gateways, metered: Workspace) -> None:
    _, variant = gateways("--with", "degraded=0.6", workspace=metered.root)
    assert (variant["state"], variant["stage"]) == ("halted", "canary")


@pytest.mark.slow
def test_readings_reach_the_registry_as_reports_carry_them(muster: Run, metered: Workspace, tmp_path: Path) -> None:
    """Of the new model with what was installed, of what ran before with everybody else's statements; null says nothing."""
    (tmp_path / "s.yaml").write_text(
        f"{KNOWN}readings: {{latency_us: 700, drift_milli: null, spread: 0}}\n"
        "groups: [{behaviour: degraded, share: 1, readings: {latency_us: 1500}}]\n"
    )
    kept = tmp_path / "kept"
    assert muster("fleet", "simulate", metered.root, "--scenario", tmp_path / "s.yaml", "--until", "1h", "--keep", kept)[0] == 0
    with sqlite3.connect(kept / ".muster/registry.db") as database:
        said = "SELECT DISTINCT running_sha256 = ?, latency_us, drift_milli, anomaly_milli FROM health WHERE outcome != 'started'"
        offered = rollout.show_release(metered, "north-r1").offer("gateway-v2").artefact_sha256
        assert set(database.execute(said, (offered,))) == {(1, 1500, None, 5), (0, 700, None, 5)}


def test_a_device_keeps_its_readings_and_a_group_its_middle() -> None:
    low, high = Readings(latency_us=100, errors=0, spread=0), Readings(anomaly_milli=990, drift_milli=None, spread=0.5)
    drawn = draw([low, high], np.repeat([0, 1], 500), np.random.default_rng(1))
    of = dict(zip(METRICS, drawn.T, strict=True))
    assert set(of["latency_us"][:500]) == {100}
    spread = of["latency_us"][500:]
    assert (spread.min() >= 450, spread.max() <= 1350, len(set(spread.tolist())) > 100) == (True, True, True)
    assert (of["drift_milli"][500:] == ABSENT).all()
    assert of["anomaly_milli"].max() == 1000


@pytest.mark.slow
def test_devices_with_a_wrong_clock_or_an_old_firmware_refuse_it(gateways: Gateways) -> None:
    groups = """groups:
  - {behaviour: wrong_clock, share: 0.02}
  - {behaviour: wrong_clock, share: 0.02, days: 400}
  - {behaviour: old_firmware, share: 0.02, firmware: 1.9.0}
"""
    _, variant = gateways("--until", "6h", groups=groups)
    assert variant["refused"] == 12
    assert variant["runs"] <= DEVICES - 12


@pytest.mark.slow
def test_the_same_seed_tells_the_same_story(gateways: Gateways) -> None:
    options = ("--until", "2h", "--with", "failing=0.05", "--with", "silent=0.05")
    first, again, other = gateways(*options), gateways(*options), gateways(*options, "--seed", 8)
    assert first == again
    assert first[0]["deliveries"] != other[0]["deliveries"]


@pytest.mark.slow
def test_it_leaves_the_registry_as_it_was(gateways: Gateways, north: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the environment names the database."""
    monkeypatch.setenv("MUSTER_DATABASE_URL", north.database_url)
    before = _digests(north.root)
    gateways("--until", "1h")
    assert _digests(north.root) == before


@pytest.mark.slow
def test_a_rehearsal_that_was_killed_starts_anew(muster: Run, north: Workspace, tmp_path: Path) -> None:
    """It is no state of anybody's: there is nothing to go on with, and nothing was touched."""
    before = _digests(north.root)
    kept = tmp_path / "kept"
    command = [sys.executable, "-m", "muster", "fleet", "simulate", str(north.root), "--keep", str(kept)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as killed:
        assert killed.stderr is not None
        assert "widened" in killed.stderr.readline()
        killed.kill()
    code, _, err = muster("fleet", "simulate", north.root, "--keep", kept, "--until", "1h")
    assert code == 5
    assert "begins at its beginning" in err
    shutil.rmtree(kept)
    assert muster("fleet", "simulate", north.root, "--keep", kept, "--until", "1h")[0] == 0
    assert _digests(north.root) == before


@pytest.mark.slow
@pytest.mark.parametrize("width", [80, 120])
def test_the_last_frame_on_a_terminal_is_how_it_ended(north: Workspace, tmp_path: Path, width: int) -> None:
    """Though the result goes elsewhere. It is drawn a few times only, and no line is wider than the terminal."""
    result = tmp_path / "result.json"
    command = [
        sys.executable,
        "-m",
        "muster",
        "fleet",
        "simulate",
        north.root,
        "--with",
        "failing=0.2",
        "--json",
        "--until",
        "100min",
    ]
    screen = on_terminal(f"{shlex.join(map(str, command))} > {shlex.quote(str(result))}", width)
    document = json.loads(result.read_text())["data"]
    (variant,) = document["variants"]
    hours, minutes = divmod(document["simulated_s"] // 60, 60)
    assert f"{hours:02}:{minutes:02} since its start, {document['reports']} reports" in screen.kept
    assert f"{variant['let_in']} of {variant['devices']}  {variant['runs']}" in screen.kept
    assert f"{variant['broken']['failed']} failed" in screen.kept
    assert variant["state"] in screen.kept
    assert len(screen.frames) <= 3 * (len(variant["happened"]) + 4)
    assert max(map(len, screen.lines)) <= width


@pytest.mark.slow
def test_what_is_kept_is_a_workspace_like_any_other(muster: Run, north: Workspace, tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    code, out, err = muster("fleet", "simulate", north.root, "--keep", kept, "--until", "2h")
    assert code == 0, err
    assert "gateway-v2" in out
    assert "0 d 01:" in err
    assert muster("release", "verify", kept)[0] == 0
    code, out, err = muster("release", "status", "north-r1", kept, "--json")
    assert json.loads(out)["data"]["state"] == "running"
    assert "as it stood at its end" in err
    code, out, _ = muster("release", "history", "north-r1", kept, "--json")
    assert [e["actor"] for e in json.loads(out)["data"]][2:4] == ["rehearsal-1", "rehearsal-2"]


@pytest.mark.slow
def test_what_is_kept_is_judged_by_the_time_of_the_rehearsal(rehearse: Any, muster: Run, tmp_path: Path) -> None:
    """Two days later those who said nothing are silent; by today's clock, they would be waited for still."""
    document = rehearse("--with", "silent=1", "--until", "2d", "--keep", tmp_path / "kept")
    heard = document["variants"][0]["heard"]
    assert heard["silent"] > 0
    _, out, _ = muster("release", "status", "north-r1", tmp_path / "kept", "--json")
    evidence = json.loads(out)["data"]["variants"][0]["evidence"]
    assert (evidence["timed_out"], evidence["pending"]) == (heard["silent"], heard["pending"])
    code, out, _ = muster("release", "tick", tmp_path / "kept", "--json")
    assert (code, json.loads(out)["data"]) == (0, [])


@pytest.mark.slow
def test_it_rehearses_the_very_draft(gateways: Gateways, north: Workspace) -> None:
    """The devices of the first wave are those that will be first."""
    _, variant = gateways("--until", "35min")
    drafted = rollout.show_release(north, "north-r1").offer("gateway-v2")
    assert variant["let_in"] == variant["told"] == drafted.stages[0].waves[0].quota


@pytest.mark.slow
def test_nodes_report_through_their_gateway_and_people_promote(rehearse: Any, drafted: Workspace) -> None:
    """Without anybody who promotes, stages that people decide wait for them."""
    waiting = rehearse("--until", "complete", workspace=drafted.root)
    assert waiting["ended"] == "waits for people"
    assert {v["state"] for v in waiting["variants"]} == {"held"}
    done = rehearse("--promote-after", "30min", workspace=drafted.root)
    assert {v["variant"]: v["runs"] for v in done["variants"]} == {"gateway-v2": 15, "gateway-v3": 5, "node-v2": 4}
    assert done["rejected"] == {}
    assert {tuple(e for e in events(v) if e not in {"widened", "held"}) for v in done["variants"]} == {
        ("promoted", "promoted", "completed")
    }


def test_a_bricked_gateway_cuts_its_nodes_off(drafted: Workspace) -> None:
    scenario = Scenario(statement_s=None)
    release, devices = rollout.show_release(drafted, "north-r1"), list_devices(drafted)
    crowd = gather(drafted, release, devices, scenario, 1_000_000, np.random.default_rng(1))
    crowd.end[crowd.ids.index("gw-000")] = End.BRICKED
    who, at = crowd.polling(1_000_000 + scenario.poll_s, scenario.poll_s)
    assert {crowd.ids[i] for i in who} == {d.device_id for d in devices if d.device_id != "gw-000" and d.via != "gw-000"}
    assert (crowd.polls_at[who] == at + scenario.poll_s).all()


@pytest.mark.slow
def test_who_is_bricked_says_nothing_more(gateways: Gateways) -> None:
    """Within the hours before their next statement, all others state their health once."""
    document, variant = gateways("--with", "silent=1", "--until", "3h")
    assert variant["broken"]["bricked"] > 0
    assert document["reports"] == DEVICES


@pytest.mark.slow
def test_a_fleet_of_any_size_is_made_up_in_the_image_of_the_real_one(rehearse: Any, drafted: Workspace) -> None:
    done = rehearse("--devices", 120, "--unsigned", "--promote-after", "30min", workspace=drafted.root)
    assert done["release"] == "north-r1"
    assert {v["variant"]: v["devices"] for v in done["variants"]} == {"gateway-v2": 75, "gateway-v3": 25, "node-v2": 20}
    assert {v["state"] for v in done["variants"]} == {"completed"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pol_s: 60\n", "line 2, key pol_s"),
        ("groups: [{behaviour: sleepy, share: 0.1}]\n", "line 2, key groups.0"),
        ("groups:\n  - {behaviour: failing, share: 1.5}\n", "line 3, key groups.0.failing.share"),
        ("groups:\n  - {behaviour: failing, share: 0.1, hours: 3}\n", "line 3, key groups.0.failing.hours"),
        ("groups: [{behaviour: failing, share: 0.6}, {behaviour: silent, share: 0.6}]\n", "more than 1 together"),
        ("groups: [{behaviour: failing, share: 0.1, variant: fridge}]\n", "variant 'fridge'"),
        (
            "groups: [{behaviour: degraded, share: 0.1, readings: {fps: 5}}]\n",
            "line 2, key groups.0.degraded.readings.fps",
        ),
        ("readings: {anomaly_milli: 1001}\n", "line 2, key readings.anomaly_milli"),
        ("groups: [\n", "no valid YAML"),
    ],
)
def test_a_scenario_that_is_wrong_is_a_short_error(text: str, said: str, muster: Run, north: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "wrong.yaml"
    file.write_text(KNOWN + text)
    code, out, err = muster("fleet", "simulate", north.root, "--scenario", file)
    assert (code, out) == (2, "")
    assert said in err
    assert len(err.splitlines()) <= 3


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--with", "sleepy=0.1"], 2),
        (["--with", "failing"], 2),
        (["--with", "failing=2"], 2),
        (["--with", "failing=0.6", "--with", "silent=0.6"], 2),
        (["--until", "never"], 2),
        (["--until", "0h"], 2),
        (["--promote-after", "complete"], 2),
        (["--scenario", "nowhere.yaml"], 3),
        (["--release", "north-r9"], 3),
        (["--devices", "5"], 4),
    ],
)
def test_a_wrong_option_is_a_short_error(options: list[str], code: int, muster: Run, north: Workspace) -> None:
    """Five devices are too few for a gate to decide."""
    found, out, err = muster("fleet", "simulate", north.root, *options)
    assert (found, out) == (code, ""), err
    assert "  -> " in err


def test_there_has_to_be_a_release(muster: Run, stocked: Workspace) -> None:
    code, _, err = muster("fleet", "simulate", stocked.root)
    assert code == 3
    assert "no release to rehearse" in err


def test_an_artefact_that_is_lost_is_an_error(muster: Run, drafted: Workspace) -> None:
    shutil.rmtree(drafted.state / "repository/targets")
    code, _, err = muster("fleet", "simulate", drafted.root)
    assert code == 3
    assert "is not in the repository" in err


def test_shares_are_exact_and_drawn_by_the_seed() -> None:
    scenario = Scenario.model_validate(
        {"groups": [{"behaviour": "failing", "share": 0.25}, {"behaviour": "silent", "share": 0.5, "variant": "b"}]}
    )
    variant = np.repeat([0, 1], [100, 40])
    drawn = scenario.draw(variant, ["a", "b"], np.random.default_rng(1))
    assert [int((drawn[variant == v] == g).sum()) for v in (0, 1) for g in (0, 1)] == [25, 0, 10, 20]
    assert (drawn != scenario.draw(variant, ["a", "b"], np.random.default_rng(2))).any()


def test_the_scenario_that_is_shown_has_every_key_and_behaviour(checkout: Path) -> None:
    shown = (checkout / "docs/operator.md").read_text().partition("## Rehearse a rollout")[2]
    block = shown.partition("```yaml\n")[2].partition("```")[0]
    scenario = parse_yaml(block, Scenario, "docs/operator.md")
    assert scenario.model_fields_set == set(Scenario.model_fields)
    assert scenario.model_copy(update={"groups": ()}) == Scenario()
    assert sorted(g.behaviour for g in scenario.groups) == sorted(BEHAVIOURS)
    for behaviour in BEHAVIOURS:
        assert f"| `{behaviour}` |" in shown


def test_what_a_device_says_fits_what_becomes_of_it() -> None:
    """Whoever runs it at the end said so last; whoever does not, did not."""
    fell = course(FallingBack(behaviour="falling_back", share=1, hours=2), 1, 60)
    assert [s.outcome for s in fell.said] == ["started", "installed", "reverted"]
    assert (fell.end, fell.said[-1].after) == (End.FELL_BACK, 60 + 7200)
    slow = SlowDownload(behaviour="slow_download", share=1, attempts=2)
    assert [course(slow, n, 60).end for n in (1, 2, 3)] == [End.WAITS, End.WAITS, End.RUNS]
    assert course(None, 1, 60).said[-1].new


def _digests(root: Path) -> dict[str, str]:
    """Every file but those that SQLite keeps beside an open database."""
    files = [f for f in root.rglob("*") if f.is_file() and not f.name.endswith(("-wal", "-shm", ".lock"))]
    assert files
    return {str(f.relative_to(root)): sha256_bytes(f.read_bytes()) for f in files}
