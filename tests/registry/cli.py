"""The command line as tests call it."""

from __future__ import annotations

from collections.abc import Callable

Run = Callable[..., tuple[int, str, str]]
"""Arguments of `muster` -> exit code, standard output, standard error; in this process."""
