"""Where the registry keeps what it knows and what it publishes, and how long what it signs counts."""

from __future__ import annotations

from pydantic import Field

from components.workspace.section import Section


class Reports(Section):
    """How health reports are taken in."""

    require_signatures: bool = Field(True, description="false: anybody is whoever they say they are; on loopback only")
    broker: str | None = Field(
        None,
        pattern=r"^mqtts?://[^/@\s]+$",
        description="mqtt://host:port or mqtts://host:port that muster up takes reports from; MUSTER_BROKER_USER and"
        " MUSTER_BROKER_PASSWORD log in",
    )
    late_days: int = Field(
        90,
        ge=1,
        le=3650,
        description="reports of a release that ended so many days ago count no more, and their keys are dropped",
    )


class ValidDays(Section):
    """For how long signatures of the online keys count: how long devices go on when nobody signs any more."""

    timestamp: int = Field(1, ge=1, le=30)
    snapshot: int = Field(7, ge=1, le=90)
    fleet: int = Field(7, ge=1, le=90)


class Registry(Section):
    """Backends; null means inside the workspace. Environment variables MUSTER_TRACKING_URI and MUSTER_DATABASE_URL win."""

    tracking_uri: str | None = None
    database: str | None = None
    repository: str | None = Field(None, description="folder or s3://bucket/prefix the TUF repository is published to")
    mirrors: tuple[str, ...] = Field(
        (), strict=False, description="folders or s3://bucket/prefix that get the same bytes with every publication"
    )
    signers: dict[str, str] = Field(
        {}, description="role -> URI of a signer that is no file here, e.g. timestamp: 'awskms:<key id>' (docs/releases.md)"
    )
    reports: Reports = Reports()
    valid_days: ValidDays = ValidDays()
