"""What all sections of a workspace's files share: strict and frozen, unknown keys refused."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field


def _inside(text: str) -> str:
    if PurePosixPath(text).is_absolute() or ".." in PurePosixPath(text).parts:
        raise ValueError(f"'{text}' leaves the workspace; give a path relative to muster.yaml")
    return text


def _source(text: str) -> str:
    return text if "://" in text else _inside(text)


Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
LocalPath = Annotated[str, AfterValidator(_inside)]
Source = Annotated[str, AfterValidator(_source)]
"""A file of the workspace, or the address of a database."""


class Section(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid", allow_inf_nan=False)
