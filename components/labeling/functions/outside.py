"""What labelling functions read beside telemetry, each file once and only when a function asks for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.features.records import Records, read_records
from components.labeling.functions.networks import Network
from components.workspace.errors import InputError

if TYPE_CHECKING:
    from components.workspace import Workspace


@dataclass(frozen=True)
class Outside:
    """``record_files`` and ``model_files``: name -> file. Threads may share it."""

    record_files: Mapping[str, Path]
    model_files: Mapping[str, Path]
    _open: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False, compare=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False, compare=False)

    @classmethod
    def of(cls, workspace: Workspace) -> Outside:
        settings = workspace.settings
        return cls(
            {name: workspace.path(file) for name, file in settings.records.items()},
            {name: workspace.path(file) for name, file in settings.labeling.models.items()},
        )

    def records(self, name: str) -> Records:
        """What `records:` calls ``name``.

        Raises:
            MusterError: `records:` does not declare ``name``, or its file cannot be read.
        """
        return self._opened("records", name, self.record_files, read_records)

    def model(self, name: str) -> Network:
        """What `labeling.models` calls ``name``.

        Raises:
            MusterError: `labeling.models` does not declare ``name``, or its file cannot be read.
        """
        return self._opened("labeling.models", name, self.model_files, Network)

    def _opened(self, key: str, name: str, files: Mapping[str, Path], read: Callable[[Path], Any]) -> Any:
        if name not in files:
            raise InputError(f"no '{name}' under {key}: in muster.yaml", hint=f"it has {', '.join(files) or 'none'}")
        with self._lock:
            if (key, name) not in self._open:
                self._open[key, name] = read(files[name])
            return self._open[key, name]
