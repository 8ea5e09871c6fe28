"""Every shipped profile is valid, and a copy of it is at once a profile of the workspace."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import pytest

from components.workspace.errors import Conflict, InputError, NotFound
from components.workspace.profile_library import library, library_profile, new_profile
from components.workspace.profiles import Architecture, Profile
from components.workspace.workspace import read_yaml

NAMES = [p.name for p in library()]


def test_the_library_has_a_profile_for_every_family_that_can_be_proven() -> None:
    families = set(get_args(Architecture.model_fields["family"].annotation))
    assert {p.arch.family for p in library()} == families - {"armv8-m", "xtensa"}  # an older name, and nothing to prove on
    assert {p.runtime.name for p in library()} == {"onnxruntime", "litert", "c99"}
    assert library_profile("mcu-esp32-c3").arch.cpu == "esp32-c3"


@pytest.mark.parametrize("name", NAMES)
def test_a_copy_is_valid_and_differs_in_its_name_alone(name: str, tmp_path: Path) -> None:
    copy = read_yaml(new_profile(tmp_path, "mine", name), Profile)
    assert copy == library_profile(name).model_copy(update={"name": "mine"})


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    file = new_profile(tmp_path, "mine", "mcu-cortex-m3")
    file.write_text("my own")
    with pytest.raises(Conflict, match="is there already"):
        new_profile(tmp_path, "mine", "mcu-cortex-m4")
    assert file.read_text() == "my own"


@pytest.mark.parametrize("name", ["4711", "true", "null", "1e3", "0x1f"])
def test_a_name_that_yaml_reads_as_something_else_stays_a_name(name: str, tmp_path: Path) -> None:
    assert read_yaml(new_profile(tmp_path, name, "mcu-cortex-m3"), Profile).name == name


@pytest.mark.parametrize("name", ["Mine", "../mine", "", "a b", "a: b", "\\1"])
def test_a_name_that_is_none_writes_nothing(name: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name"):
        new_profile(tmp_path, name, "mcu-cortex-m3")
    assert list(tmp_path.rglob("*.yaml")) == []


@pytest.mark.parametrize("name", ["toaster", "../library/mcu-cortex-m3", "", "."])
def test_what_the_library_lacks_is_not_found(name: str, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not in the library"):
        new_profile(tmp_path, "mine", name)
