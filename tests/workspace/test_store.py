"""Results are complete or absent, equal keys mean equal bytes, and nothing runs twice."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from components.workspace.files import new_folder, sha256_tree, write_bytes, write_json
from components.workspace.store import StepStore, digest_of


def _write_two(folder: Path) -> None:
    (folder / "a").write_text("1")
    (folder / "sub").mkdir()
    (folder / "sub" / "b").write_text("2")


def test_a_result_is_made_once_and_put_out_again(tmp_path: Path) -> None:
    store = StepStore(tmp_path / "store")
    first = store.run("step", "key", _write_two)
    second = store.run("step", "key", lambda folder: pytest.fail("ran twice"))
    assert not first.reused
    assert second.reused
    assert first.digest == second.digest
    store.materialise("step", "key", tmp_path / "out")
    assert (tmp_path / "out" / "sub" / "b").read_text() == "2"
    assert digest_of(tmp_path / "out") == first.digest


def test_a_body_that_fails_leaves_nothing(tmp_path: Path) -> None:
    store = StepStore(tmp_path / "store")

    def half(folder: Path) -> None:
        (folder / "a").write_text("1")
        raise RuntimeError("disk full")

    with pytest.raises(RuntimeError):
        store.run("step", "key", half)
    assert store.digest("step", "key") is None
    assert [p.name for p in (tmp_path / "store" / "step").iterdir()] == ["key.lock"]


def test_a_killed_body_leaves_nothing_that_a_reader_sees_and_the_next_run_cleans_up(tmp_path: Path) -> None:
    def killed() -> None:
        def body(folder: Path) -> None:
            (folder / "a").write_text("1")
            os.kill(os.getpid(), signal.SIGKILL)

        StepStore(tmp_path / "store").run("step", "key", body)

    process = multiprocessing.get_context("fork").Process(target=killed)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    store = StepStore(tmp_path / "store")
    assert store.digest("step", "key") is None
    store.run("step", "key", _write_two)
    assert sorted(p.name for p in (tmp_path / "store" / "step").iterdir()) == ["key", "key.lock"]


@pytest.mark.parametrize("harm", ["change", "delete", "add"])
def test_an_output_that_was_touched_is_put_out_whole_again(tmp_path: Path, harm: str) -> None:
    store, out = StepStore(tmp_path / "store"), tmp_path / "out"
    store.run("step", "key", _write_two)
    store.materialise("step", "key", out)
    if harm == "change":
        (out / "a").write_text("tampered")
    elif harm == "delete":
        (out / "a").unlink()
    else:
        (out / "more").write_text("x")
    store.materialise("step", "key", out)
    assert sorted(p.name for p in out.rglob("*")) == ["a", "b", "sub"]
    assert (out / "a").read_text() == "1"


def test_two_processes_with_one_key_make_one_result(tmp_path: Path) -> None:
    def work(log: Path) -> None:
        def body(folder: Path) -> None:
            with log.open("a") as stream:
                stream.write("ran\n")
            _write_two(folder)

        StepStore(tmp_path / "store").run("step", "key", body)

    log = tmp_path / "log"
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=work, args=(log,)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert log.read_text() == "ran\n"


def test_a_file_that_cannot_be_finished_keeps_its_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f"
    write_bytes(file, b"old")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_bytes(file, b"new")
    assert file.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["f"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    for text in ("one", "two"):
        with new_folder(tmp_path / "d") as folder:
            (folder / text).write_text(text)
    assert [p.name for p in (tmp_path / "d").iterdir()] == ["two"]
    assert [p.name for p in tmp_path.iterdir()] == ["d"]


def test_digests_see_names_and_contents(tmp_path: Path) -> None:
    write_json(tmp_path / "d" / "a", {"x": 1})
    before = sha256_tree(tmp_path / "d")
    (tmp_path / "d" / "a").rename(tmp_path / "d" / "b")
    assert sha256_tree(tmp_path / "d") != before


def test_a_damaged_listing_is_no_result_and_is_made_again(tmp_path: Path) -> None:
    store = StepStore(tmp_path / "store")
    first = store.run("step", "key", _write_two)
    (first.folder.parent / "listing.json").write_text("junk")
    assert store.digest("step", "key") is None
    assert store.run("step", "key", _write_two).digest == first.digest
