"""A package for C99 builds where firmware engineers build: CMake, C++, a sketch, ESP-IDF's rules, an emulated board."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from components.quantization.targets.c99.emit import INTERFACE

from . import packages

STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-O1"]


def needs(*tools):
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")


@pytest.fixture(scope="module")
def artefact():
    return packages.c_artefact()


@pytest.fixture(scope="module")
def package(artefact):
    return packages.package(artefact)


@pytest.fixture
def folder(package, tmp_path):
    return packages.unpacked(package, tmp_path / "package")


def call(*command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.slow
@needs("cmake")
@pytest.mark.parametrize("compiler", [pytest.param(c, marks=needs(c)) for c in ("gcc", "clang")])
def test_cmake_builds_the_library_and_runs_its_self_test(compiler, folder, artefact):
    flags = f"-DCMAKE_C_FLAGS={' '.join(STRICT)}"
    call("cmake", "-S", ".", "-B", "build", f"-DCMAKE_C_COMPILER={compiler}", flags, "-DMUSTER_EXAMPLE=ON", folder=folder)
    call("cmake", "--build", "build", folder=folder)
    call("ctest", "--test-dir", "build", folder=folder)
    assert call("build/selftest", folder=folder) == f"mismatches 0 of 6, model {artefact.model_digest}\n"
    assert (folder / "build/libmuster_model.a").is_file()


@needs("cmake")
def test_esp_idf_is_given_sources_and_includes(folder, tmp_path):
    """ESP-IDF's own function in its place: what it would be told."""
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.13)\nproject(firmware NONE)\nset(ESP_PLATFORM 1)\n"
        'function(idf_component_register)\n  message(STATUS "told ${ARGN}")\nendfunction()\nadd_subdirectory(package)\n'
    )
    said = call("cmake", "-S", ".", "-B", "build", folder=tmp_path)
    told = re.search(r"told (\S+)", said)[1].split(";")
    assert told[0] == "SRCS"
    assert told[-2:] == ["INCLUDE_DIRS", "src"]
    assert {folder / name for name in told[1:-2]} == set((folder / "src").glob("*.c"))


@needs("g++", "gcc")
def test_a_sketch_and_cpp_call_it(folder):
    """Arduino compiles sketches as C++ and `src/` as C; its `Serial` is made here."""
    arduino = "struct { void begin(long) {} void print(const char *) {} void println(int n) { wrong = n; } int wrong; } Serial;\n"
    (folder / "arduino.h").write_text(arduino)
    (folder / "main.cpp").write_text(
        '#include "arduino.h"\n#include "examples/SelfTest/SelfTest.ino"\n#include <muster_image.h>\n'
        "int main() { setup(); loop(); return Serial.wrong || muster_image_verify(0, 0, 0) != MUSTER_WRONG_SIZE; }\n"
    )
    sources = sorted(str(file) for file in (folder / "src").glob("*.c"))
    call("gcc", "-std=c99", *STRICT, "-c", *sources, folder=folder)
    objects = [file.name for file in folder.glob("*.o")]
    call("g++", "-std=c++11", *STRICT, "-Isrc", "main.cpp", *objects, "-o", "sketch", folder=folder)
    call("./sketch", folder=folder)


def test_library_managers_find_what_they_ask_for(package, artefact):
    lines = package.files["library.properties"].decode().splitlines()
    about = dict(line.split("=", 1) for line in lines)
    assert about.keys() >= {
        "name",
        "version",
        "author",
        "maintainer",
        "sentence",
        "paragraph",
        "category",
        "url",
        "architectures",
    }
    assert about["name"] == "Muster_forged_node"
    platformio = json.loads(package.files["library.json"])
    assert platformio["version"] == about["version"] == f"{INTERFACE}.0+{artefact.sha256[:12]}"
    assert {f"src/{header}" for header in platformio["headers"]} <= package.files.keys()


@pytest.mark.slow
@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_the_readme_leads_onto_an_emulated_board(folder):
    text = (folder / "README.txt").read_text().replace("\\\n", "")
    commands = [line.strip() for line in text.splitlines() if line.startswith(("  arm-none-eabi", "  qemu-system"))]
    assert len(commands) == 2
    for command in commands:
        done = subprocess.run(["bash", "-c", command], cwd=folder, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stderr
    assert "mismatches 0" in done.stdout + done.stderr
