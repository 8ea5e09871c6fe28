"""Generated C under what finds undefined behaviour: two compilers' sanitizers while it runs, three analysers that read it."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache

import numpy as np
import pytest

from components.quantization.imported.boosted.building import build_trees
from components.quantization.imported.boosted.importing import import_trees
from components.quantization.imported.building import build_imported
from components.quantization.imported.importing import in_codes
from components.quantization.package.texts import text, verifier
from components.quantization.targets.c99.text import kernel
from components.runtime.conditions import MISSING_RAW

from . import boosted, boosters, forge, networks, plant
from .test_boards import REGIMES

pytestmark = pytest.mark.slow

SANITIZED = ("-std=c99", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
READ = ("model.c", "model_selftest.c")
LIBRARIES = {"gcc": "gcc libc6-dev", "clang": "clang libclang-rt-dev"}
MODELS = ("network", "network with regimes", "trees", "imported network", "imported trees")


def needs(*tools):
    lacking = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed: {', '.join(lacking)}")


def sanitizes(compiler):
    """Whether the run-time libraries of its sanitizers are here: of clang, a Debian package of their own."""
    if shutil.which(compiler) is None:
        return False
    command = (compiler, "-x", "c", "-", *SANITIZED, "-o", "/dev/null")
    return not subprocess.run(command, input=b"int main(void){return 0;}", capture_output=True, check=False).returncode


SANITIZERS = [
    pytest.param(c, marks=pytest.mark.skipif(not sanitizes(c), reason=f"no sanitizers of {c} (Debian: {LIBRARIES[c]})"))
    for c in LIBRARIES
]


@cache
def trees_file():
    return bytes(boosters.booster("softprob", 0.1).save_raw("json"))


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Model -> (its C sources, the program that reads inputs, inputs)."""
    made = {}

    def of(name):
        if name not in made:
            made[name] = _made(name, tmp_path_factory.mktemp("sources"))
        return made[name]

    return of


def _made(name, folder):
    rng = np.random.default_rng(5)
    if name == "imported network":
        (folder / "m.tflite").write_bytes(networks.classifier())
        model = in_codes(networks.classifier(), folder / "m.tflite", "m", networks.CLASSES, None)
        return build_imported(model, plant.profile("c99")).members, "tensors_host.c", model.examples.tobytes()
    if name == "imported trees":
        (folder / "m.json").write_bytes(trees_file())
        made = build_trees(import_trees(folder / "m.json", "m"), plant.profile("c99"))
        return made.members, "rows_host.c", made.golden.inputs.tobytes()
    if name == "trees":
        artefact = boosted.artefact(boosted.model(tasks=2))
    elif name == "network":
        artefact = forge.artefact(forge.graph(heads=2, numbers=1, optional=2), optional=(0, 2), wide=True)
    else:
        artefact = forge.artefact(forge.graph(), conditions=REGIMES)
    return artefact.members, "host.c", _windows(artefact, rng)


def _windows(artefact, rng):
    """Two devices: one whose scaling saturates, one with gaps, extremes and calm."""
    steps, channels = artefact.steps, len(artefact.channels)
    parts = []
    for multiplier in (2**30, 655):
        raw = rng.integers(-32768, 32768, (40, steps, channels)).astype(np.int16)
        raw[rng.random(raw.shape) < 0.2] = MISSING_RAW
        raw[0], raw[1] = MISSING_RAW, 32767
        head = np.asarray([len(raw), *rng.integers(-32768, 32768, channels), *[multiplier] * channels], np.int32)
        parts += [head.tobytes(), raw.tobytes()]
    return b"".join(parts)


def unpacked(members, folder):
    for name, content in members.items():
        (folder / name).write_bytes(content)


def quiet(command, folder, **options):
    done = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=300, **options)
    said = done.stdout[-2000:].decode(errors="replace") + done.stderr[-4000:].decode(errors="replace")
    assert done.returncode == 0, said
    return done


@pytest.mark.parametrize("compiler", SANITIZERS)
@pytest.mark.parametrize("name", MODELS)
def test_inputs_and_self_test_run_clean_under_the_sanitizers(name, compiler, sources, tmp_path):
    """Every byte that it reads is its own, nothing overflows, no shift is undefined; and the answers are those without."""
    members, program, inputs = sources(name)
    unpacked(members, tmp_path)
    (tmp_path / "inputs.c").write_text(kernel(program))
    (tmp_path / "selftest.c").write_text(text("selftest.c"))
    for main in ("inputs.c", "selftest.c"):
        quiet((compiler, *SANITIZED, *READ, main, "-o", main.removesuffix(".c")), tmp_path)
    quiet((compiler, "-std=c99", "-O2", *READ, "inputs.c", "-o", "plain"), tmp_path)
    quiet((tmp_path / "selftest",), tmp_path)
    checked, plain = (quiet((tmp_path / made,), tmp_path, input=inputs).stdout for made in ("inputs", "plain"))
    assert checked == plain
    assert checked


ANALYSERS = {
    "gcc": ("gcc", "-std=c99", "-O1", "-fanalyzer", "-Werror", "-c"),
    "clang": ("clang", "--analyze", "-std=c99", "-Xclang", "-analyzer-werror", "-Xclang", "-analyzer-output=text"),
    "cppcheck": (
        "cppcheck", "--std=c99", "--enable=warning,performance,portability", "--error-exitcode=1", "--quiet", "--force",
        "--suppress=shiftTooManyBitsSigned",  # right shifts of negative numbers are arithmetic in every compiler it is for
    ),
}  # fmt: skip


@pytest.mark.parametrize("analyser", [pytest.param(tool, marks=needs(tool)) for tool in ANALYSERS])
@pytest.mark.parametrize("name", MODELS)
def test_analysers_have_nothing_to_say(name, analyser, sources, tmp_path):
    unpacked(sources(name)[0], tmp_path)
    quiet((*ANALYSERS[analyser], *READ), tmp_path)


@pytest.mark.parametrize("analyser", [pytest.param(tool, marks=needs(tool)) for tool in ANALYSERS])
def test_analysers_have_nothing_to_say_of_the_verifier(analyser, tmp_path):
    unpacked(verifier(), tmp_path)
    quiet((*ANALYSERS[analyser], *sorted(name for name in verifier() if name.endswith(".c"))), tmp_path)


@pytest.mark.parametrize("analyser", [pytest.param(tool, marks=needs(tool)) for tool in ANALYSERS])
def test_an_analyser_finds_what_is_broken(analyser, tmp_path):
    (tmp_path / "broken.c").write_text("int at(int place) { int *nothing = 0; return place == 4 ? *nothing : 0; }\n")
    done = subprocess.run((*ANALYSERS[analyser], "broken.c"), cwd=tmp_path, capture_output=True, check=False, timeout=60)
    assert done.returncode


@pytest.mark.parametrize("compiler", SANITIZERS)
@pytest.mark.parametrize("broken", ["return table[count + 3]", "return (1 << 30) * (count + 2)", "return 1 << (count + 32)"])
def test_the_sanitizers_find_what_is_broken(broken, compiler, tmp_path):
    code = f"int main(int count, char **words) {{ int table[4] = {{0}}; (void)words; (void)table; {broken}; }}\n"
    (tmp_path / "broken.c").write_text(code)
    quiet((compiler, *SANITIZED, "broken.c", "-o", "broken"), tmp_path)
    done = subprocess.run((tmp_path / "broken",), capture_output=True, check=False, timeout=60)
    assert done.returncode
    assert b"runtime error" in done.stderr
