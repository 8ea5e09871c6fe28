"""Labelling by hand: what is asked, who may answer, and that every answer is kept."""

import functools
import re
import signal
import socket
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx
import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from components.labeling.people.active import select_windows
from components.labeling.people.annotate import Session, open_session
from components.labeling.people.annotate.web import web_app
from components.labeling.people.annotation_file import AnnotationFile
from components.labeling.people.annotations import read_annotations
from components.labeling.people.excerpt import as_svg, as_text, excerpt
from components.values import LabelSet, Windows
from components.workspace import Workspace
from components.workspace.errors import InputError, MusterError, NotFound
from muster.app import app
from tests.ingestion import small
from tests.labeling import by_hand

TOKEN = "a-token-nobody-guesses"
URL = "http://127.0.0.1"


@pytest.fixture
def session(tmp_path: Path) -> Session:
    made, _, _ = by_hand.workspace(tmp_path)
    return open_session(made, None, "ann", 20)


@pytest.fixture
def browser(session: Session) -> TestClient:
    return TestClient(web_app(session, TOKEN), base_url=URL)


def position_on(page: str) -> int:
    found = re.search(r'name="position" value="(\d+)"', page)
    assert found
    return int(found[1])


def kept(session: Session) -> list[tuple[str, str]]:
    return [(a.device_id, a.value) for a in session.file.read()]


def test_an_answer_is_kept_and_the_next_window_is_asked(session: Session, browser: TestClient) -> None:
    page = browser.get(f"/{TOKEN}/").text
    first = position_on(page)
    assert all(f'value="{name}"' in page for name in ("normal", "high", "low", ""))
    answered = browser.post(f"/{TOKEN}/answer", data={"position": str(first), "value": "high"})
    assert answered.history[0].status_code == 303
    assert position_on(answered.text) != first
    assert "1 answered as ann" in answered.text
    gold = read_annotations(session.workspace, session.windows, session.task)
    assert (np.flatnonzero(gold.values >= 0).tolist(), gold.values[first]) == ([first], 1)


def test_undo_asks_the_same_window_again_and_leaves_no_trace(session: Session, browser: TestClient) -> None:
    first = position_on(browser.get(f"/{TOKEN}/").text)
    browser.post(f"/{TOKEN}/answer", data={"position": str(first), "value": "low"})
    again = browser.post(f"/{TOKEN}/undo")
    assert position_on(again.text) == first
    assert kept(session) == []


def test_cannot_tell_is_an_answer_but_no_label(session: Session, browser: TestClient) -> None:
    first = position_on(browser.get(f"/{TOKEN}/").text)
    page = browser.post(f"/{TOKEN}/answer", data={"position": str(first), "value": ""}).text
    assert position_on(page) != first
    assert [value for _, value in kept(session)] == [""]
    assert (read_annotations(session.workspace, session.windows, session.task).values == -1).all()


def test_a_round_ends(session: Session, browser: TestClient) -> None:
    page = browser.get(f"/{TOKEN}/").text
    for _ in range(20):
        page = browser.post(f"/{TOKEN}/answer", data={"position": str(position_on(page)), "value": "normal"}).text
    assert "No window is left" in page
    assert len({(a.device_id, a.start) for a in session.file.read()}) == 20


def test_every_fourth_question_is_about_a_window_drawn_at_random(session: Session) -> None:
    """Chance draws from all training windows, also those that nobody would choose; who answers is not told."""
    for _ in range(20):
        question = session.question()
        assert question is not None
        session.answer(question.position, "normal")
    assert [a.drawn for a in session.file.read()] == ["worth", "worth", "worth", "random"] * 5
    gold = read_annotations(session.workspace, session.windows, session.task)
    assert gold.sampled.sum() == 5
    assert session.question() is None


def test_chance_does_not_look_at_worth(session: Session) -> None:
    """Over many people the fourth windows are spread over the training windows as a fair draw is."""
    windows, people = session.windows, 120
    said = [session.answer(int(position), "") for position in session.order[:3]]
    counts = np.zeros(len(windows), int)
    for by in (f"p{number}" for number in range(people)):
        AnnotationFile.of(session.workspace).change(lambda _, by=by: [replace(a, by=by) for a in said])  # type: ignore[misc]
        question, again = replace(session, by=by).question(), replace(session, by=by).question()
        assert question is not None
        assert again is not None
        assert again.position == question.position
        counts[question.position] += 1
    left = windows.train.copy()
    left[session.order[:3]] = False
    assert counts[left].sum() == people
    expected = people / left.sum()
    spread = ((counts[left] - expected) ** 2 / expected).sum()
    assert spread < left.sum() + 4 * np.sqrt(2 * left.sum())


def test_the_page_does_not_show_what_chance_drew(session: Session, browser: TestClient) -> None:
    for _ in range(4):
        page = browser.get(f"/{TOKEN}/").text
        assert not re.search("random|chance|drawn|worth", page)
        browser.post(f"/{TOKEN}/answer", data={"position": str(position_on(page)), "value": "high"})
    assert [a.drawn for a in session.file.read()][-1] == "random"


def test_answers_from_several_pages_at_once_are_all_kept(session: Session, browser: TestClient) -> None:
    def post(position: int) -> int:
        form = {"position": str(position), "value": "high"}
        return browser.post(f"/{TOKEN}/answer", data=form, follow_redirects=False).status_code

    positions = session.order[:16].tolist()
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(post, positions)) == {303}
    assert len({(a.device_id, a.start) for a in session.file.read()}) == 16


def test_votes_are_hidden_until_asked_for_and_then_stay(session: Session, browser: TestClient) -> None:
    """A person who has seen what the rules say repeats it."""
    hidden, shown = browser.get(f"/{TOKEN}/").text, browser.get(f"/{TOKEN}/?votes=1").text
    assert not any(rule in hidden for rule in by_hand.RULES)
    assert any(rule in shown for rule in by_hand.RULES)
    after = browser.post(f"/{TOKEN}/answer", data={"position": str(position_on(shown)), "value": "low", "votes": "1"})
    assert str(after.url).endswith("?votes=1")


@pytest.mark.parametrize("path", ["/", "/wrong/", f"/{TOKEN[:-1]}/", f"/{TOKEN}x/", "/%C3%A9/", f"/{TOKEN}/elsewhere"])
def test_nobody_gets_in_without_the_token(browser: TestClient, path: str) -> None:
    assert browser.get(path).status_code == 403


@pytest.mark.parametrize("path", ["/answer", "/wrong/answer", "/wrong/undo"])
def test_nobody_answers_without_the_token(session: Session, browser: TestClient, path: str) -> None:
    assert browser.post(path, data={"position": "0", "value": "high"}).status_code == 403
    assert kept(session) == []


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", ""])
def test_a_foreign_name_that_resolves_here_is_refused(session: Session, browser: TestClient, host: str) -> None:
    """DNS rebinding: the page of another site must not speak to this server under its own name."""
    assert browser.get(f"/{TOKEN}/", headers={"host": host}).status_code == 400
    refused = browser.post(f"/{TOKEN}/answer", data={"position": "0", "value": "high"}, headers={"host": host})
    assert refused.status_code == 400
    assert kept(session) == []


def test_pages_load_nothing_and_are_framed_by_nobody(browser: TestClient) -> None:
    answer = browser.get(f"/{TOKEN}/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cache-control"] == "no-store"
    assert "<script" not in answer.text
    assert "http" not in answer.text.replace("http-equiv", "")


def test_the_style_is_the_one_that_the_policy_allows(browser: TestClient) -> None:
    import base64
    import hashlib

    answer = browser.get(f"/{TOKEN}/")
    style = re.search(r"<style>(.*?)</style>", answer.text, re.DOTALL)
    assert style
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"sha256-{digest}" in answer.headers["content-security-policy"]
    assert 'style="' not in answer.text


FORMS = [{}, {"position": "0"}, {"position": "x", "value": "high"}, {"position": "-1", "value": "high"},
         {"position": "999999", "value": "high"}, {"position": "0", "value": "hot"}, {"position": "٣", "value": "high"},
         {"position": "0", "value": "x" * 9000},
         {"position": "0", "value": "high"} | {f"f{n}": "" for n in range(40)}]  # fmt: skip


@pytest.mark.parametrize("form", FORMS, ids=range(len(FORMS)))
def test_a_form_that_makes_no_sense_is_refused_and_keeps_nothing(
    session: Session, browser: TestClient, form: dict[str, str]
) -> None:
    assert browser.post(f"/{TOKEN}/answer", data=form).status_code == 400
    assert kept(session) == []


def test_text_from_the_data_is_escaped(tmp_path: Path) -> None:
    made, windows, _ = by_hand.workspace(tmp_path)
    windows.index["device_id"] = "<script>alert(1)</script>" + windows.index["device_id"]
    windows.save(made.out / "features")
    named = open_session(made, "state", '"><img src=x>', 5)
    browser = TestClient(web_app(named, TOKEN), base_url=URL)
    position = position_on(browser.get(f"/{TOKEN}/").text)
    page = browser.post(f"/{TOKEN}/answer", data={"position": str(position), "value": "high"}).text
    assert "<script" not in page
    assert "<img" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;d" in page


def test_disputed_windows_come_first_and_can_be_settled(tmp_path: Path) -> None:
    made, windows, _ = by_hand.workspace(tmp_path)
    position = int(np.flatnonzero(windows.train)[7])
    lines = by_hand.segment(windows, position, "high", "ann") + by_hand.segment(windows, position, "low", "bob")
    made.path("annotations.csv").write_text("device_id,start,end,task,value,by,at\n" + lines)
    browser = TestClient(web_app(open_session(made, None, "bob", 5), TOKEN), base_url=URL)
    page = browser.get(f"/{TOKEN}/").text
    assert position_on(page) == position
    assert "ann: high, bob: low" in page
    after = browser.post(f"/{TOKEN}/answer", data={"position": str(position), "value": "high"}).text
    assert position_on(after) != position
    assert read_annotations(made, windows, made.settings.tasks[0]).values[position] == 1


def test_a_disputed_window_is_asked_once_a_session_even_if_the_dispute_stays(tmp_path: Path) -> None:
    made, windows, _ = by_hand.workspace(tmp_path)
    position = int(np.flatnonzero(windows.train)[7])
    lines = by_hand.segment(windows, position, "high", "ann") + by_hand.segment(windows, position, "low", "bob")
    made.path("annotations.csv").write_text("device_id,start,end,task,value,by,at\n" + lines)
    settling = open_session(made, None, "bob", 5)
    settling.answer(position, "low")
    question = settling.question()
    assert question is not None
    assert question.position != position


def test_the_excerpt_shows_the_telemetry_around_the_window(session: Session) -> None:
    windows = session.windows
    middle = 14
    shown = excerpt(session.workspace, windows, middle)
    assert np.array_equal(shown.values[shown.first : shown.last], windows.values[middle], equal_nan=True)
    before = windows.index["start"] == windows.index["start"][middle] - (windows.index["end"] - windows.index["start"])[middle]
    (previous,) = np.flatnonzero(before & (windows.index["device_id"] == windows.index["device_id"][middle]))
    assert np.array_equal(shown.values[shown.first - 8 : shown.first], windows.values[previous], equal_nan=True)
    assert np.isnan(excerpt(session.workspace, windows, 0).values[:16]).all()


def test_a_drawing_has_every_channel_and_survives_gaps_and_constants(session: Session) -> None:
    shown = excerpt(session.workspace, session.windows, 14)
    shown.values[:, 0] = np.nan
    shown.values[:, 1] = 7
    assert as_svg(shown).count("<path") == 4
    assert "nan" not in as_svg(shown).lower()
    assert len(as_text(shown).splitlines()) == 2


def annotate(root: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(app, ["labels", "annotate", str(root), "--by", "ann", *arguments], input=typed)


def test_the_terminal_takes_answers_and_takes_them_back(session: Session) -> None:
    result = annotate(session.workspace.root, "--terminal", typed="2\nv\nwhat\n3\nu\n0\nq\n")
    assert result.exit_code == 0, result.output
    assert [value for _, value in kept(session)] == ["high", ""]
    assert "2 answers of ann kept in" in result.stderr
    assert "no answer 'what'" in result.stderr


def test_the_end_of_input_ends_the_terminal_cleanly(session: Session) -> None:
    assert annotate(session.workspace.root, "--terminal", typed="1\n").exit_code == 0
    assert len(kept(session)) == 1


def refusal(root: Path, *arguments: str) -> MusterError:
    result = annotate(root, "--terminal", *arguments)
    assert isinstance(result.exception, MusterError), result.output
    return result.exception


def test_what_cannot_be_annotated_is_said(tmp_path: Path) -> None:
    made = small.workspace(tmp_path / "bare")
    assert isinstance(refusal(made.root), NotFound)
    assert "muster step label" in refusal(made.root).hint
    assert "no task 'wear'" in str(refusal(made.root, "--task", "wear"))
    assert "state" in refusal(made.root, "--task", "wear").hint


def test_a_task_that_learns_from_no_answer_is_not_asked_about(tmp_path: Path) -> None:
    """An answer that nothing would learn from wastes a person's time."""
    state = {"name": "state", "kind": "classes", "classes": ["normal", "high"], "labels": "gold", "gold": "gold.csv"}
    made = small.workspace(tmp_path, tasks=[{"name": "odd", "kind": "anomaly"}, state])
    assert "learns from gold.csv alone" in str(refusal(made.root, "--task", "state"))
    assert "learns without labels" in str(refusal(made.root, "--task", "odd"))
    assert "0 tasks" in str(refusal(made.root))


def test_a_workspace_that_cannot_be_written_is_said_before_the_first_question(tmp_path: Path) -> None:
    made, _, _ = by_hand.workspace(tmp_path)
    made.state.write_text("a file where a folder should be")
    assert "cannot be written" in str(refusal(made.root))


def test_a_port_in_use_is_said(session: Session) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = annotate(session.workspace.root, "--port", str(port))
    assert isinstance(result.exception, InputError)
    assert f"port {port} is in use" in str(result.exception)


def start(root: Path) -> "tuple[subprocess.Popen[str], str]":
    command = [sys.executable, "-m", "muster", "labels", "annotate", str(root), "--by", "ann"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert server.stdout is not None
    return server, server.stdout.readline().strip()


def test_the_real_server_takes_answers_and_ends_cleanly_on_interrupt(session: Session) -> None:
    server, url = start(session.workspace.root)
    position = position_on(httpx.get(url).text)
    assert httpx.post(f"{url}answer", data={"position": str(position), "value": "high"}).status_code == 303
    server.send_signal(signal.SIGINT)
    _, complaint = server.communicate(timeout=30)
    assert server.returncode == 0, complaint
    assert "1 answers of ann kept in" in complaint
    assert "Traceback" not in complaint


def test_an_answer_survives_a_kill_of_the_server(session: Session) -> None:
    server, url = start(session.workspace.root)
    position = position_on(httpx.get(url).text)
    httpx.post(f"{url}answer", data={"position": str(position), "value": "low"})
    server.kill()
    server.communicate(timeout=30)
    assert [value for _, value in kept(session)] == ["low"]


class Answering(RuleBasedStateMachine):
    """Two people at their own sessions of one workspace, against the plainest account of what they said."""

    @initialize()
    def begin(self) -> None:
        made, windows, labels = _shared()
        AnnotationFile.of(made).change(lambda _: [])
        order = select_windows(labels, windows, 30, seed=1)
        task = made.settings.tasks[0]
        self.sessions = {by: Session(made, task, windows, labels, by, datetime.now(UTC), order) for by in ("ann", "bob")}
        self.said: dict[str, list[tuple[int, str]]] = {"ann": [], "bob": []}

    @rule(by=st.sampled_from(["ann", "bob"]), value=st.sampled_from(["normal", "high", "low", ""]))
    def answers_what_is_asked(self, by: str, value: str) -> None:
        question = self.sessions[by].question()
        if question is not None:
            self._answer(by, question.position, value)

    @rule(by=st.sampled_from(["ann", "bob"]), place=st.integers(0, 2), value=st.sampled_from(["high", "low", ""]))
    def answers_a_page_that_was_left_open(self, by: str, place: int, value: str) -> None:
        self._answer(by, int(self.sessions[by].order[place]), value)

    @rule(by=st.sampled_from(["ann", "bob"]))
    def takes_the_last_answer_back(self, by: str) -> None:
        undone = self.sessions[by].undo()
        assert (undone is not None) == bool(self.said[by])
        self.said[by] = self.said[by][:-1]

    @invariant()
    def gold_is_what_all_who_spoke_last_agree_on(self) -> None:
        session = self.sessions["ann"]
        stands = [dict(answers) for answers in self.said.values()]
        expected = {}
        for position in {p for answers in stands for p in answers}:
            named = {answers[position] for answers in stands if answers.get(position)}
            if len(named) == 1:
                expected[position] = session.classes.index(named.pop())
        gold = read_annotations(session.workspace, session.windows, session.task).values
        assert {int(p): int(gold[p]) for p in np.flatnonzero(gold >= 0)} == expected
        assert {by: s.answered() for by, s in self.sessions.items()} == {by: len(a) for by, a in self.said.items()}

    def _answer(self, by: str, position: int, value: str) -> None:
        self.sessions[by].answer(position, value)
        self.said[by].append((position, value))


TestAnswering = Answering.TestCase
TestAnswering.settings = settings(max_examples=20, stateful_step_count=15, deadline=None)


@functools.cache
def _shared() -> tuple[Workspace, Windows, LabelSet]:
    return by_hand.workspace(Path(tempfile.mkdtemp()))


def cli(*arguments: object) -> Result:
    result = CliRunner().invoke(app, ["labels", *map(str, arguments)])
    if result.exception:
        raise result.exception
    return result


@pytest.fixture
def filled(tmp_path: Path) -> tuple[Workspace, Windows, Path]:
    """A workspace, and beside it a file with three annotations."""
    made, windows, _ = by_hand.workspace(tmp_path)
    file = tmp_path / "some.csv"
    lines = [by_hand.segment(windows, n, value) for n, value in ((0, "high"), (1, ""), (9, "low"))]
    file.write_text("device_id,start,end,task,value,by,at\n" + "".join(lines))
    return made, windows, file


def test_import_and_export_are_inverse_and_a_second_import_adds_nothing(
    filled: tuple[Workspace, Windows, Path], tmp_path: Path
) -> None:
    made, _, file = filled
    assert "added 3" in cli("import", file, made.root).stdout
    assert "added 0 annotations; 3 stood" in cli("import", file, made.root).stdout
    cli("export", tmp_path / "out.csv", made.root)
    assert (tmp_path / "out.csv").read_bytes() == made.path("annotations.csv").read_bytes()
    assert len(AnnotationFile.of(made).read()) == 3


def test_an_import_may_say_that_windows_were_drawn_at_random(filled: tuple[Workspace, Windows, Path]) -> None:
    """Also of answers that stand already; saying nothing takes it from none."""
    made, _, file = filled
    plain = file.read_text()
    cli("import", file, made.root)
    file.write_text(plain.replace(",at\n", ",at,drawn\n").replace("00Z\n", "00Z,random\n"))
    assert "added 3" in cli("import", file, made.root).stdout
    assert "added 0" in cli("import", file, made.root).stdout
    file.write_text(plain)
    assert "added 0" in cli("import", file, made.root).stdout
    assert [a.drawn for a in AnnotationFile.of(made).read()] == ["", "", "", "random", "random", "random"]


def test_a_file_without_names_and_times_is_imported_once(filled: tuple[Workspace, Windows, Path]) -> None:
    made, _, file = filled
    file.write_text("\n".join(",".join(line.split(",")[:5]) for line in file.read_text().splitlines()))
    with pytest.raises(InputError, match="line 1: no column by"):
        cli("import", file, made.root)
    assert "added 3" in cli("import", file, made.root, "--by", "bob").stdout
    assert "added 0" in cli("import", file, made.root, "--by", "bob").stdout
    assert {a.by for a in AnnotationFile.of(made).read()} == {"bob"}


WRONG = {
    "an unknown device": (r"^d0", "pump-9", "line 2: no device 'pump-9'"),
    "an unknown task": (r",state,high", ",wear,high", "line 2: no task 'wear' learns from annotations"),
    "an unknown class": (r"low", "broken", "line 4: 'broken' is no class"),
    "a time without a zone": (r"\+00:00,state,high", ",state,high", "line 2: end .* has no zone"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_bad_line_is_named_and_nothing_is_half_imported(filled: tuple[Workspace, Windows, Path], case: str) -> None:
    made, _, file = filled
    pattern, wrong, message = WRONG[case]
    file.write_text(re.sub(pattern, wrong, file.read_text(), count=1, flags=re.MULTILINE))
    with pytest.raises(InputError, match=message):
        cli("import", file, made.root)
    assert not made.path("annotations.csv").exists()


def test_segments_that_contradict_each_other_are_refused_but_windows_may_overlap(
    filled: tuple[Workspace, Windows, Path],
) -> None:
    made, _, file = filled
    head, first, *_ = file.read_text().splitlines(keepends=True)
    line = "d0,2026-03-01T00:{:02}:00Z,2026-03-01T01:{:02}:00Z,state,{},ann,2026-04-01T00:00:00Z\n"
    file.write_text(head + line.format(0, 0, "high") + line.format(30, 30, "low"))
    with pytest.raises(InputError, match="line 3: overlaps line 2 and says 'low' where that says 'high'"):
        cli("import", file, made.root)
    file.write_text(head + line.format(0, 0, "low") + first)
    assert "added 2" in cli("import", file, made.root).stdout
