"""`package.json`: what a package holds and what it was made of. Its JSON schema: `muster schema --package`."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from packaging.specifiers import InvalidSpecifier, SpecifierSet
from pydantic import AfterValidator, Field

from components.values import Artefact, Proof
from components.workspace.files import sha256_json
from components.workspace.profiles import Profile
from components.workspace.section import Section

FILE = "package.json"
_OPERATORS = {">=": "ge", "<=": "le", "==": "eq", "!=": "ne", "~=": "like", ">": "gt", "<": "lt"}


def _range(text: str) -> str:
    try:
        SpecifierSet(text)
    except InvalidSpecifier as error:
        raise ValueError(str(error)) from None
    return text


Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
FirmwareRange = Annotated[str, AfterValidator(_range), Field(max_length=128, description="PEP 440 range")]


class ArtefactFile(Section):
    file: str
    sha256: Sha256
    bytes: int = Field(gt=0)
    model_digest: str = Field(description="of the trained model that it was compiled from")
    interface: str | None = Field(description="of c99: version of the C interface, as model.h declares it")


class ProfileIdentity(Section):
    """``sha256`` of the profile's values, defaults included; null where the package was made without its file."""

    name: str
    sha256: Sha256 | None = None


class RuntimeNeeded(Section):
    name: Literal["onnxruntime", "openvino", "litert", "c99"]
    minimal: str = Field(description="oldest version that the profile asks for; of c99: that of the C interface")


class Channel(Section):
    """``physical = raw * lsb + offset``; ``optional``: a device may lack it."""

    name: str
    lsb: float
    offset: float
    optional: bool


class Alarm(Section):
    """``threshold`` in 1/256 bits of surprise."""

    threshold: int
    raise_after: int
    clear_after: int


class CheckRecord(Section):
    name: str
    value: float
    limit: float | None
    passed: bool
    unit: str


class ProofRecord(Section):
    level: str
    machine: str
    passed: bool
    checks: tuple[CheckRecord, ...]
    missing: str = Field(description="what would raise the level")


class GoldenVectors(Section):
    file: str
    count: int
    surprise_tolerance: int = Field(description="in 1/256 bits; 0: every bit must be the same")


class PackageDescription(Section):
    """``proven`` is false in a package that was made with --unproven: nothing then vouches for the artefact."""

    schema_version: Literal[1] = 1
    name: str
    artefact: ArtefactFile
    profile: ProfileIdentity
    firmware: FirmwareRange | None = Field(description="firmware versions it is meant for; null: not said")
    runtime: RuntimeNeeded
    recipe: str = Field(description="how the numbers of the network are written; empty where it is made of integers")
    steps: int = Field(description="samples in a window")
    stride: int = Field(description="samples from one window to the next")
    channels: tuple[Channel, ...]
    calibration: dict[str, Any] = Field(description="how a device learns its scaling: components/runtime/scaling.py")
    preprocessing_sha256: Sha256 = Field(description="of channels, calibration and steps")
    tasks: dict[str, tuple[str, ...]] = Field(description="task -> its classes; the anomaly task and regressions have none")
    units: dict[str, str] = Field(description="regression -> unit of its value")
    alarm: Alarm
    proven: bool
    proof: ProofRecord | None
    golden_vectors: GoldenVectors
    toolchain: dict[str, str] = Field(description="versions on the machine that made the package")
    files: dict[str, Sha256] = Field(description="every file but this one and SHA256SUMS")

    @property
    def file_name(self) -> str:
        """Of the archive: one a profile and firmware variant."""
        return archive_name(self.name, self.profile.name, self.firmware)


def archive_name(name: str, profile: str, firmware: str | None) -> str:
    told = re.sub(r"[<>=!~]=?", lambda sign: _OPERATORS.get(sign[0], ""), firmware or "").replace(",", "-")
    return re.sub(r"[^\w.-]", "", "-".join(filter(None, [name, profile, told])) + ".zip").lstrip(".")


def describe(
    artefact: Artefact,
    proof: Proof | None,
    profile: Profile | None,
    firmware: str | None,
    toolchain: dict[str, str],
    files: dict[str, str],
    vectors_file: str,
) -> PackageDescription:
    """``proof`` is the artefact's own or None; ``files``: name -> sha256."""
    scoring, rows = artefact.scoring, zip(artefact.channels, artefact.converter.lsb, artefact.converter.offset, strict=True)
    channels = tuple(
        Channel(name=name, lsb=lsb, offset=offset, optional=i in artefact.optional) for i, (name, lsb, offset) in enumerate(rows)
    )
    calibration = artefact.calibration.to_json()
    reads = {"channels": [c.model_dump() for c in channels], "calibration": calibration, "steps": artefact.steps}
    test = artefact.self_test
    return PackageDescription(
        name=artefact.name,
        artefact=ArtefactFile(
            file=f"artefact/{artefact.file_name}",
            sha256=artefact.sha256,
            bytes=artefact.size,
            model_digest=artefact.model_digest,
            interface=artefact.interface,
        ),
        profile=ProfileIdentity(
            name=artefact.profile, sha256=None if profile is None else sha256_json(profile.model_dump(mode="json"))
        ),
        firmware=firmware,
        runtime=RuntimeNeeded.model_validate({"name": artefact.runtime, "minimal": artefact.runtime_minimal}),
        recipe=artefact.recipe,
        steps=artefact.steps,
        stride=artefact.stride or artefact.steps,
        channels=channels,
        calibration=calibration,
        preprocessing_sha256=sha256_json(reads),
        tasks=artefact.tasks | dict.fromkeys(scoring.gauges, ()),
        units=artefact.units,
        alarm=Alarm(threshold=scoring.threshold, raise_after=scoring.raise_after, clear_after=scoring.clear_after),
        proven=proof is not None and proof.passed,
        proof=None if proof is None else proof_record(proof),
        golden_vectors=GoldenVectors(file=vectors_file, count=len(test.raw), surprise_tolerance=test.tolerance),
        toolchain=toolchain,
        files=files,
    )


def proof_record(proof: Proof) -> ProofRecord:
    checks = tuple(CheckRecord(name=c.name, value=c.value, limit=c.limit, passed=c.passed, unit=c.unit) for c in proof.checks)
    return ProofRecord(level=proof.level, machine=proof.machine, passed=proof.passed, checks=checks, missing=proof.missing)
