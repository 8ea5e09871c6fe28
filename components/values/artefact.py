"""One model compiled for one hardware profile: a single file that a device fetches.

The file is an uncompressed ZIP with fixed time stamps, so equal contents are equal bytes. It holds
`artefact.json` (this module's `Artefact` without the digest), the runtime's own files (`model.onnx`,
`model.tflite`, or the C sources), and `selftest.npz` (see `SelfTest`).
"""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from components.runtime.scaling import Calibration, Converter, Scaling
from components.runtime.scoring import Quantized, Scoring
from components.runtime.surprise import Calibrated, Verdict
from components.runtime.trees import TreeScoring
from components.values.deliverable import interface_of
from components.workspace.errors import VerificationFailed
from components.workspace.files import sha256_bytes, write_bytes

DESCRIPTION = "artefact.json"
SELF_TEST = "selftest.npz"
MAX_MEMBER = 256 << 20
_SCORINGS: dict[str, type[Calibrated]] = {scoring.kind: scoring for scoring in (Scoring, TreeScoring)}
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class SelfTest:
    """Vectors that a device runs before it trusts an artefact.

    ``raw``: (vectors, steps, channels) int16, under the scaling in ``scaling``; ``surprise``: (vectors,) int32 and
    ``classes``: task -> (vectors,) int8 are what the device must put out, surprise to within ``tolerance``; so are
    ``values``: regression task -> (vectors,) int32, to within ``value_tolerance``.
    """

    raw: NDArray[np.int16]
    scaling: Scaling
    surprise: NDArray[np.int32]
    classes: dict[str, NDArray[np.int8]]
    tolerance: int
    values: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    value_tolerance: dict[str, int] = field(default_factory=dict)

    def wrong(self, verdict: Verdict) -> NDArray[np.bool_]:
        """(vectors,) whether a vector came out wrong."""
        wrong = np.abs(verdict.surprise.astype(np.int64) - self.surprise) > self.tolerance
        for task, classes in self.classes.items():
            wrong |= verdict.classes[task] != classes
        for task, values in self.values.items():
            wrong |= np.abs(verdict.values[task].astype(np.int64) - values) > self.value_tolerance[task]
        return wrong


@dataclass(frozen=True)
class Artefact:
    """``members``: file name -> bytes, without description and self-test. ``sha256`` and ``size`` are of the whole file.

    ``tasks``: task -> its classes, none for the anomaly task. ``units``: regression task -> the unit of its value.
    ``optional``: positions of the channels that devices may lack (`runtime.presence`). ``recipe``: the name of
    `values.recipe.Recipe`. ``shape``: which of several networks that compete for a profile it is. ``stride``: samples from one
    window to the next, 0: as many as a window has.
    """

    name: str
    profile: str
    runtime: str
    runtime_minimal: str
    channels: tuple[str, ...]
    steps: int
    tasks: dict[str, tuple[str, ...]]
    converter: Converter
    calibration: Calibration
    scoring: Calibrated
    tensors: dict[str, Quantized]
    members: dict[str, bytes]
    self_test: SelfTest
    model_digest: str
    sha256: str = ""
    size: int = 0
    units: dict[str, str] = field(default_factory=dict)
    optional: tuple[int, ...] = ()
    recipe: str = ""
    stride: int = 0
    shape: str = ""

    @property
    def file_name(self) -> str:
        return f"{self.profile}.artefact"

    @property
    def self_test_codes(self) -> NDArray[np.int8]:
        """(vectors, steps, channels) what the model reads in its self-test."""
        return self.self_test.scaling.codes(self.calibration.read(self.self_test.raw))

    @property
    def interface(self) -> str | None:
        return interface_of(self.members)

    def sealed(self) -> Artefact:
        """The same artefact with ``sha256`` and ``size`` of its bytes."""
        data = self.to_bytes()
        return replace(self, sha256=sha256_bytes(data), size=len(data))

    def save(self, folder: Path) -> Path:
        file = folder / self.file_name
        write_bytes(file, self.to_bytes())
        return file

    def to_bytes(self) -> bytes:
        buffer = io.BytesIO()
        members = {DESCRIPTION: self._description(), SELF_TEST: _pack(self.self_test)} | self.members
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            for name in sorted(members):
                archive.writestr(zipfile.ZipInfo(name, _EPOCH), members[name])
        return buffer.getvalue()

    @classmethod
    def load(cls, file: Path) -> Artefact:
        return cls.from_bytes(file.read_bytes())

    @classmethod
    def from_bytes(cls, data: bytes) -> Artefact:
        """Parse an artefact file without trusting it.

        Raises:
            VerificationFailed: no ZIP, a member with a path or of absurd size, or a description that does not parse.
        """
        try:
            members = _members(data)
            meta: dict[str, Any] = json.loads(members.pop(DESCRIPTION))
            test = _unpack(members.pop(SELF_TEST), meta["self_test"])
            return cls(
                name=meta["name"],
                profile=meta["profile"],
                runtime=meta["runtime"],
                runtime_minimal=meta["runtime_minimal"],
                channels=tuple(meta["channels"]),
                steps=int(meta["steps"]),
                tasks={t: tuple(c) for t, c in meta["tasks"].items()},
                converter=Converter(tuple(meta["converter"]["lsb"]), tuple(meta["converter"]["offset"])),
                calibration=Calibration.from_json(meta["calibration"]),
                scoring=_SCORINGS[meta.get("kind", Scoring.kind)].from_json(meta["scoring"]),
                tensors={n: Quantized(float(q["scale"]), int(q["zero"])) for n, q in meta["tensors"].items()},
                members=members,
                self_test=test,
                model_digest=meta["model_digest"],
                sha256=sha256_bytes(data),
                size=len(data),
                units=dict(meta.get("units", {})),
                optional=tuple(int(c) for c in meta.get("optional", ())),
                recipe=str(meta.get("recipe", "")),
                stride=int(meta.get("stride", 0)),
                shape=str(meta.get("shape", "")),
            )
        except (KeyError, TypeError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise VerificationFailed(
                f"not an artefact: {type(error).__name__}: {error}", hint="fetch it again; if it persists, build it again"
            ) from None

    def _description(self) -> bytes:
        value = {
            "schema_version": 1,
            "kind": self.scoring.kind,
            "name": self.name,
            "profile": self.profile,
            "runtime": self.runtime,
            "runtime_minimal": self.runtime_minimal,
            "channels": list(self.channels),
            "steps": self.steps,
            "tasks": {t: list(c) for t, c in self.tasks.items()},
            "units": self.units,
            "optional": list(self.optional),
            "recipe": self.recipe,
            "stride": self.stride,
            "shape": self.shape,
            "converter": {"lsb": list(self.converter.lsb), "offset": list(self.converter.offset)},
            "calibration": self.calibration.to_json(),
            "scoring": self.scoring.to_json(),
            "tensors": {n: {"scale": q.scale, "zero": q.zero} for n, q in self.tensors.items()},
            "self_test": {
                "scaling": self.self_test.scaling.to_json(),
                "tolerance": self.self_test.tolerance,
                "value_tolerance": self.self_test.value_tolerance,
            },
            "model_digest": self.model_digest,
        }
        return json.dumps(value, indent=1, sort_keys=True, allow_nan=False).encode()


def _members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {}
        for info in archive.infolist():
            if "/" in info.filename or "\\" in info.filename or info.filename.startswith("."):
                raise ValueError(f"member '{info.filename}' has a path")
            if info.compress_type != zipfile.ZIP_STORED or info.file_size > MAX_MEMBER:
                raise ValueError(f"member '{info.filename}' is compressed or too large")
            members[info.filename] = archive.read(info)
    return members


def _pack(test: SelfTest) -> bytes:
    arrays: dict[str, NDArray[Any]] = {"raw": test.raw, "surprise": test.surprise}
    arrays |= {f"class.{t}": c for t, c in test.classes.items()} | {f"value.{t}": v for t, v in test.values.items()}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(arrays):
            stream = io.BytesIO()
            np.lib.format.write_array(stream, np.ascontiguousarray(arrays[name]), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy", _EPOCH), stream.getvalue())
    return buffer.getvalue()


def _unpack(data: bytes, meta: dict[str, Any]) -> SelfTest:
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return SelfTest(
            raw=arrays["raw"].astype(np.int16),
            scaling=Scaling(tuple(meta["scaling"]["center"]), tuple(meta["scaling"]["multiplier"])),
            surprise=arrays["surprise"].astype(np.int32),
            classes={n.removeprefix("class."): arrays[n].astype(np.int8) for n in arrays.files if n.startswith("class.")},
            tolerance=int(meta["tolerance"]),
            values={n.removeprefix("value."): arrays[n].astype(np.int32) for n in arrays.files if n.startswith("value.")},
            value_tolerance={task: int(v) for task, v in meta.get("value_tolerance", {}).items()},
        )
