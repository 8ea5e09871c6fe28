"""Notes of a runtime's own are not for the user; its errors are."""

from __future__ import annotations

import os

import pytest

from components.runtime.quiet import without_notes


def test_notes_are_dropped_and_all_else_comes_out(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no model"), without_notes():
        os.write(2, b"INFO: made a delegate\nERROR: node 3 failed\nINFO: more\n")
        raise ValueError("no model")
    os.write(2, b"INFO: by the program\n")
    assert capfd.readouterr().err == "ERROR: node 3 failed\nINFO: by the program\n"
