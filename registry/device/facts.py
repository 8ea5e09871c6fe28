"""What a device knows of itself, from its image and its own boot, never from the network."""

from __future__ import annotations

from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from packaging.version import InvalidVersion, Version
from pydantic import Field, TypeAdapter, ValidationError, field_validator

from components.workspace.errors import InputError, NotFound
from registry.contract.manifest import Name, Part, Sha256, Stamp
from registry.contract.report import DeviceId, FirmwareVersion

_PACKAGES = {"onnxruntime": "onnxruntime", "openvino": "openvino", "litert": "ai-edge-litert"}
_FIRMWARE_VERSION: TypeAdapter[str] = TypeAdapter(FirmwareVersion)


class Facts(Part):
    """``firmware_variant`` is written into the firmware's image; a manifest whose range does not fit is refused.

    ``runtime_version``: absent, the installed runtime is asked. ``running_sha256``: of the artefact in the image, as long as
    none was installed. ``via``: the gateway that checks for this device. ``latency_budget_us``: what one window may take, in
    microseconds. ``floor_sequence`` and ``floor_time``: what was published when the image was built; nothing older is taken,
    even by a device that has seen nothing yet; ``floor_firmware_sequence`` is that of the firmware's manifest.

    ``install_firmware``: a program and its first arguments (installer.py), without which the device takes no firmware;
    ``install_seconds``: how long it may take.
    """

    device_id: DeviceId
    fleet: Name
    firmware_variant: Name
    hardware_profile: Name
    hardware_revision: str = Field("", max_length=64)
    firmware_version: str
    runtime: Name
    runtime_version: str | None = None
    running_sha256: Sha256 | None = None
    timezone: str = Field("UTC", max_length=64, description="IANA name, for windows in local time")
    via: str = ""
    latency_budget_us: int | None = Field(None, gt=0)
    floor_sequence: int = Field(0, ge=0)
    floor_firmware_sequence: int = Field(0, ge=0)
    floor_time: Stamp = "1970-01-01T00:00:00Z"
    install_firmware: tuple[str, ...] = Field((), strict=False)
    install_seconds: int = Field(900, ge=1, le=86_400)

    @field_validator("timezone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError):
            raise ValueError(f"'{name}' is no time zone such as Europe/Vienna") from None
        return name

    @property
    def reportable_firmware(self) -> str | None:
        """None for a version that is none (PEP 440): no report could carry it."""
        try:
            return _FIRMWARE_VERSION.validate_python(self.firmware_version)
        except ValidationError:
            return None

    def has_firmware(self, version: str) -> bool:
        """Whether it is the version that the device has, however either is written."""
        try:
            return Version(self.firmware_version) == Version(version)
        except InvalidVersion:
            return self.firmware_version == version

    def local(self, time: datetime) -> datetime:
        return time.astimezone(ZoneInfo(self.timezone))

    def version_of_runtime(self) -> str | None:
        """None when the device has no such runtime."""
        if self.runtime_version is not None:
            return self.runtime_version
        try:
            return version(_PACKAGES[self.runtime])
        except (KeyError, PackageNotFoundError):
            return None


def read_facts(file: Path) -> Facts:
    """Read `device.json`.

    Raises:
        NotFound: no such file.
        InputError: it is no JSON, or a fact is missing or wrong; the message names it.
    """
    if not file.is_file():
        raise NotFound(f"no facts of a device in {file}", hint="see docs/device-contract.md for what the file holds")
    try:
        facts = Facts.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "(top)"
        raise InputError(f"{file}, key {key}: {first['msg']}", hint="see docs/device-contract.md") from None
    return facts.model_copy(update={"install_firmware": _beside(file, facts.install_firmware)})


def _beside(file: Path, command: tuple[str, ...]) -> tuple[str, ...]:
    """A program with a slash is a path from the folder of ``file``, wherever the client runs; one without is found in PATH."""
    if not command or "/" not in command[0]:
        return command
    return str(file.parent.absolute() / command[0]), *command[1:]
