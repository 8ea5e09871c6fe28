from __future__ import annotations

import shutil

import pytest

from components.quantization.quantize import quantize

from . import plant


@pytest.fixture(scope="session")
def workspace(tmp_path_factory):
    return plant.workspace(tmp_path_factory.mktemp("plant"))


@pytest.fixture(scope="session")
def windows():
    return plant.windows()


@pytest.fixture(scope="session")
def model(windows):
    return plant.model(windows)


@pytest.fixture(scope="session")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def build(workspace, windows, model, cache):
    """Runtime -> its artefact, each built once."""
    made = {}

    def of(runtime):
        if runtime not in made:
            made[runtime] = quantize(workspace, plant.profile(runtime), model, windows, "d" * 64, cache)
        return made[runtime]

    return of


@pytest.fixture
def only(tmp_path, monkeypatch):
    """PATH with nothing but the named tools; returns its folder."""

    def tools(*names):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        for name in names:
            found = shutil.which(name)
            if found is None:
                pytest.skip(f"no {name} here")
            (folder / name).symlink_to(found)
        monkeypatch.setenv("PATH", str(folder))
        return folder

    return tools
