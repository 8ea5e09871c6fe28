"""Firmware that is built once takes new models: what fits is run to the byte, all else is refused with its reason."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
import subprocess
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.models.ranges import ranges
from components.models.selection import range_windows
from components.models.simulation import simulate_within
from components.quantization.boards import BOARDS
from components.quantization.package.image import attach_image
from components.quantization.package.texts import verifier
from components.quantization.quantize import quantize
from components.quantization.recipes.search import Search
from components.quantization.recipes.write import write
from components.quantization.targets import c99
from components.quantization.targets.c99.blob import FILE, HEADER
from components.quantization.targets.c99.image import harness
from components.runtime.conditions import Conditions
from components.values import Artefact, ImageRecord
from components.values.recipe import Recipe
from components.workspace.errors import GateFailed, InputError, VerificationFailed
from muster.commands import artefact as command
from registry.contract.envelope import Kind
from registry.images import ENVELOPE
from tests.registry.workspaces import make_workspace

from . import boosted, forge, images, loaders, packages, plant
from .test_package_library import needs

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
COMPILED = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
ROOM = "-DMODEL_ARENA=8192"
BOARD = "mps2-an386"
CONDITIONS = Conditions((2,), (40_000,), ((-3000,), (3000,)), ((5, -7, 0), (11, 3, 0)), ((60_000, 70_000, 65536),) * 2)
FORMS = {
    "plain": {},
    "wide": {"wide": True},
    "optional": {"optional": (1,)},
    "conditions": {"conditions": CONDITIONS},
}


def form(name: str, seed: int = 1, **shape: int):
    options = FORMS[name]
    made = forge.graph(heads=2, numbers=1, seed=seed, optional=len(options.get("optional", ())), **shape)
    return loaders.loadable_artefact(made, seed=seed + 1, **options)


@pytest.fixture(scope="module")
def model_a():
    return form("plain")


@pytest.fixture(scope="module")
def model_b():
    """Other weights, another kernel, more channels within: of the same shape outside."""
    return form("plain", seed=9, kernel=3, width=13)


@pytest.fixture(scope="module")
def firmware(model_a, tmp_path_factory):
    return loaders.build(tmp_path_factory.mktemp("firmware"), model_a, COMPILERS[0], ROOM)


def windows(count: int = 40, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    raw = np.clip(rng.normal(0, 9000, (count, 16, 3)), -32767, 32767).astype(np.int16)
    raw[rng.random(raw.shape) < 0.05] = -32768
    return raw


def verdicts(device: forge.Device, raw: np.ndarray) -> list[tuple[int, list[int], list[int]]]:
    found = []
    for window in raw:
        device.reset()
        surprise, _, classes = device.run(window)
        found.append((surprise, classes, device.values(window)))
    return found


@pytest.mark.slow
@COMPILED
@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("compiler", COMPILERS)
def test_firmware_of_one_model_runs_another_to_the_byte(compiler, name, tmp_path):
    """Its own at first, then the other one's answers, scaling and self-test, then its own again."""
    first, second = form(name), form(name, seed=9, kernel=3, width=13)
    made = loaders.build(tmp_path / "firmware", first, compiler, ROOM)
    apart = []
    for artefact in (first, second):
        folder = tmp_path / artefact.sha256
        folder.mkdir()
        apart.append(verdicts(forge.build(folder, artefact), windows()))
    assert apart[0] != apart[1]
    assert made.verdicts(windows()) == apart[0]
    assert made.load(second.members[FILE]) == ""
    assert made.verdicts(windows()) == apart[1]
    assert (made.self_test(), made.vectors) == (0, len(second.self_test.raw))
    made.reset()
    raw = windows(3)[:, :, :].reshape(-1, 3)
    for sample in raw:
        made.calibrate(sample)
    assert made.scaling == second.calibration.learn(second.calibration.read(raw))
    assert made.load(first.members[FILE]) == ""
    assert made.verdicts(windows()) == apart[0]


@pytest.mark.slow
@COMPILED
@pytest.mark.parametrize("precision", ["int8", "int16x8"])
def test_a_searched_network_is_loaded(precision, workspace, windows, model, cache, tmp_path):
    """As the pipeline makes it: artefacts in C carry their blob."""
    pytest.importorskip("tensorflow")
    profile = plant.profile("c99")
    built = []
    for seed in (5, 6):
        trained = plant.model(windows, seed=seed)
        written = write(trained, Recipe(precision, "minmax"), range_windows(windows), 127)
        network = c99.compile_network(profile, written, cache)
        built.append(quantize(workspace, profile, trained, windows, f"{seed}" * 64, Search(network, Recipe(precision))))
    made = loaders.build(tmp_path / "firmware", built[0], COMPILERS[0], "-DMODEL_ARENA=65536")
    assert made.self_test() == 0
    assert made.load(built[1].members[FILE]) == ""
    assert (made.self_test(), made.digest) == (0, "6" * 64)


def resealed(data: bytes) -> bytes:
    """With the digest that its bytes have now: what somebody would do who makes a blob to do harm."""
    digest = hashlib.sha256(data[:32] + data[64:]).digest()
    return data[:32] + digest + data[64:]


def changed(data: bytes, at: int, value: bytes) -> bytes:
    return resealed(data[:at] + value + data[at + len(value) :])


def with_equal_knots(blob: bytes) -> bytes:
    """A score's table without a slope: what would be divided by is 0."""
    (at,) = struct.unpack_from("<I", blob, HEADER + 4 * 9)
    return changed(blob, at + 8, blob[at : at + 4])


@COMPILED
def test_a_refused_blob_says_why_and_leaves_the_running_model(firmware, model_a, model_b):
    blob = model_b.members[FILE]
    assert firmware.load(model_a.members[FILE]) == ""
    before = firmware.verdicts(windows(5))
    reasons = {
        "size": [b"", blob[:50], blob[:-4], blob + bytes(4), changed(blob, 12, struct.pack("<I", 2**31))],
        "magic": [changed(blob, 0, b"MUSTERIM"), changed(blob, 16, struct.pack(">I", 0x01020304))],
        "version": [changed(blob, 8, b"\2\0")],
        "interface": [changed(blob, 10, b"\2\0")],
        "digest": [blob[:-1] + bytes([blob[-1] ^ 1]), blob[:32] + bytes(32) + blob[64:]],
        "shape": [changed(blob, 24, bytes(8)), form("wide").members[FILE], form("plain", steps=8).members[FILE]],
        "kernels": [changed(blob, 20, struct.pack("<I", 1 << 5))],
        "arena": [changed(blob, HEADER, struct.pack("<I", n)) for n in (0, 8196, 2**31, 2**32 - 4)],
        "tables": [
            with_equal_knots(blob),
            *(changed(blob, HEADER + 4 * n, struct.pack("<I", v)) for n in (9, 14, 22, 31) for v in (0, 2, len(blob), 2**32 - 4)),
        ],
        "graph": [changed(blob, HEADER + 12, struct.pack("<I", v)) for v in (0, len(blob) - 4, 2**32 - 4)],
    }
    for reason, blobs in reasons.items():
        assert [firmware.load(one) for one in blobs] == [reason] * len(blobs)
    assert firmware.load(blob, shift=2) == "alignment"
    assert firmware.verdicts(windows(5)) == before
    assert firmware.digest == model_a.model_digest


@COMPILED
def test_every_flipped_byte_is_refused(firmware, model_b):
    blob = model_b.members[FILE]
    for at in range(len(blob)):
        assert firmware.load(blob[:at] + bytes([blob[at] ^ (1 << at % 8)]) + blob[at + 1 :]), at


HOST = """
#include "model_load.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
int main(void)
{
    uint32_t size;
    while (fread(&size, 4, 1, stdin) == 1) {
        uint8_t *blob = malloc(size ? size : 1);
        static model_state state;
        static int16_t raw[MODEL_STEPS][MODEL_CHANNELS];
        model_result result;
        int reason;
        if (size && fread(blob, size, 1, stdin) != 1) return 2;
        reason = model_load(blob, size);
        if (!reason) {
            model_selftest();
            for (int i = 0; i < 4; i++) {
                memset(raw, i * 77, sizeof raw);
                model_init(&state);
                model_run(&state, (const int16_t(*)[MODEL_CHANNELS])raw, &result);
                for (int n = 0; n < 64; n++) model_calibrate(&state, raw[n % MODEL_STEPS]);
                model_run(&state, (const int16_t(*)[MODEL_CHANNELS])raw, &result);
            }
            if (model_load(model_blob, MODEL_BLOB_BYTES)) return 3; /* before the other one goes */
        }
        free(blob);
        printf("%d\\n", reason);
    }
    return 0;
}
"""


def in_16_bits() -> Artefact:
    """A network of int16 activations, as the recipe makes it."""
    windows_ = plant.windows()
    model = plant.model(windows_, width=5, blocks=1, kernel=3)
    spans = ranges(model.architecture, model.weights, np.asarray(windows_.codes))
    spans |= {"input": (-128 * model.architecture.input_scale, 127 * model.architecture.input_scale)}
    made = simulate_within(model.architecture, model.weights, spans, precision="int16x8")
    return loaders.loadable_artefact(made.graph)


@pytest.fixture(scope="module", params=["plain", "wide", "conditions", "int16"])
def sanitized(request, tmp_path_factory):
    """(artefact, function blobs -> reasons): a program under the sanitizers of addresses and of undefined behaviour."""
    folder, made = tmp_path_factory.mktemp("sanitized"), in_16_bits() if request.param == "int16" else form(request.param)
    (folder / "host.c").write_text(HOST)
    flags = ["-std=c99", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    size = f"-DMODEL_BLOB_BYTES={len(made.members[FILE])}"
    subprocess.run(["gcc", *flags, ROOM, size, "host.c", *loaders.write(folder, made), "-o", "host"], cwd=folder, check=True)

    def judge(blobs):
        given_ = b"".join(struct.pack("<I", len(one)) + one for one in blobs)
        done = subprocess.run([folder / "host"], input=given_, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()[-3000:]
        return [loaders.REASONS[int(line)] for line in done.stdout.split()]

    return made, judge


@pytest.mark.slow
@needs("gcc")
def test_no_lie_of_a_blob_leads_outside(sanitized):
    """Every word of directory and records made extreme, under a digest that is right."""
    made, judge = sanitized
    blob = made.members[FILE]
    count, at = struct.unpack_from("<II", blob, HEADER + 8)
    words = [*range(HEADER, HEADER + 4 * 35, 4), *range(at, at + 128 * count, 4)]
    values = (0, 1, 3, 4, 127, 255, 32767, 65536, 2**24, 2**30, 2**31 - 4, 2**31, 2**32 - 4, 2**32 - 1)
    blobs = [changed(blob, word, struct.pack("<I", value)) for word in words for value in values]
    found = judge([blob, *blobs])
    assert found[0] == ""
    assert {"arena", "tables", "graph"} <= set(found)


@pytest.mark.slow
@needs("gcc")
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1))
def test_blobs_with_random_damage_under_a_right_digest_do_no_harm(seed, sanitized):
    made, judge = sanitized
    rng, blob = np.random.default_rng(seed), made.members[FILE]
    blobs = []
    for _ in range(200):
        data = np.frombuffer(blob, np.uint8).copy()
        start = int(rng.integers(HEADER, len(data)))
        places = rng.integers(start, min(len(data), start + int(rng.choice([4, 200, len(data)]))), int(rng.integers(1, 12)))
        data[places] = rng.integers(0, 256, len(places))
        cut = int(rng.integers(0, len(data))) if rng.random() < 0.1 else len(data)
        short = bytes(data[:12]) + struct.pack("<I", cut) + bytes(data[16:cut]) if cut > 200 else bytes(data[:cut])
        blobs.append(resealed(short) if cut > 200 else short)
    judge(blobs)


def run(*arguments):
    return CliRunner().invoke(command.app, [str(a) for a in arguments], catch_exceptions=False)


def test_the_command_line_writes_what_a_firmware_takes(model_a, model_b, tmp_path):
    (tmp_path / "a.zip").write_bytes(packages.package(model_a).data)
    new = model_b.save(tmp_path)
    with pytest.raises(GateFailed, match=r"arena of [\d,]+ bytes, the firmware has"):
        run("blob", new, "--firmware", tmp_path / "a.zip", "--out", tmp_path / "b.blob")
    assert not (tmp_path / "b.blob").exists()
    said = run("blob", new, "--firmware", tmp_path / "a.zip", "--arena", 8192, "--out", tmp_path / "b.blob", "--json")
    facts = json.loads(said.stdout)["data"]
    assert (tmp_path / "b.blob").read_bytes() == model_b.members[FILE]
    assert facts["sha256"] == hashlib.sha256(model_b.members[FILE]).hexdigest()
    assert facts["checked"] is True
    assert "give --firmware" in run("blob", new, "--out", tmp_path / "c.blob").stdout
    (tmp_path / "w").mkdir()
    other = form("wide").save(tmp_path / "w")
    with pytest.raises(GateFailed, match="other windows, channels"):
        run("blob", other, "--firmware", tmp_path / "a.zip", "--out", tmp_path / "d.blob")


def test_what_has_no_blob_says_so(tmp_path):
    trees = boosted.artefact(boosted.model())
    file = trees.save(tmp_path)
    with pytest.raises(InputError, match=r"holds no model\.blob"):
        run("blob", file, "--out", tmp_path / "t.blob")
    assert not any(name.startswith("loader/") for name in packages.package(trees).files)
    with pytest.raises(InputError, match="--arena without --firmware"):
        run("blob", file, "--arena", 100, "--out", tmp_path / "t.blob")
    (tmp_path / "x").write_bytes(b"hello")
    with pytest.raises(VerificationFailed):
        run("blob", tmp_path / "x", "--out", tmp_path / "t.blob")


def test_firmware_with_the_loader_holds_the_model_it_was_packaged_with(model_a, tmp_path):
    """The tables that attach-image looks for in an image lie in the blob too."""
    made = attach_image(model_a, b"boot" + model_a.members[FILE] + _constants(model_a), "fw.bin")
    assert (made.record.kind, made.record.level) == ("firmware", "model-inside")


def _constants(artefact) -> bytes:
    """What the kernels bring along."""
    from components.runtime.surprise import LOG2_TABLE

    return bytes(LOG2_TABLE)


@needs("cmake", "gcc")
@pytest.mark.slow
def test_cmake_builds_the_loader_from_a_package(model_a, tmp_path):
    folder = packages.unpacked(packages.package(model_a), tmp_path / "package")
    assert (folder / "model" / FILE).read_bytes() == model_a.members[FILE]
    strict = "-DCMAKE_C_FLAGS=-Wall -Wextra -Werror -pedantic"
    subprocess.run(["cmake", "-S", ".", "-B", "build", strict], cwd=folder, check=True, capture_output=True)
    subprocess.run(["cmake", "--build", "build", "--target", "muster_loader"], cwd=folder, check=True, capture_output=True)
    assert (folder / "build/libmuster_loader.a").is_file()


CHAIN = """
#include "model_load.h"
#include "muster_image.h"
#include "port.h"
#include "delivered.h"

void print_number(const char *name, uint32_t value);

static uint32_t deliver(const uint32_t *image, uint32_t bytes)
{
    static const uint8_t keys[][32] = KEYS;
    static const uint8_t profile[32] = PROFILE;
    const muster_trust trust = {keys, sizeof keys / 32, profile, MUSTER_KIND_MODEL, 1, 7};
    const uint8_t *whole = (const uint8_t *)image;
    const muster_reason reason = muster_image_verify(whole, bytes, &trust);
    return reason ? 100u + (uint32_t)reason : (uint32_t)model_load(whole + MUSTER_HEADER, bytes - MUSTER_HEADER);
}

int prove(void)
{
    static model_state state;
    model_result result;
    int wrong = model_selftest();
    print_number("own", (uint32_t)wrong);
    print_number("refused", deliver(TAMPERED, sizeof TAMPERED));
    print_number("loaded", deliver(DELIVERED, DELIVERED_BYTES));
    wrong += model_selftest();
    print_number("mismatches", (uint32_t)wrong);
    for (int i = 0; i < WINDOWS; i++) {
        model_init(&state);
        model_run(&state, RAW[i], &result);
        print_number("surprise", (uint32_t)result.surprise);
        for (int task = 0; task < MODEL_TASKS; task++) print_number("class", (uint32_t)result.classes[task]);
        print_number("value", (uint32_t)result.values[0]);
    }
    return wrong;
}
"""


@pytest.mark.slow
@needs("arm-none-eabi-gcc", "qemu-system-arm", "gcc")
def test_an_emulated_board_takes_a_signed_blob_and_answers_as_its_model(model_a, model_b, tmp_path):
    """From the command line to the core: firmware of model A, a blob of model B that two persons signed; B's answers."""
    workspace = make_workspace(tmp_path / "w", people=("ana", "ben"))
    (tmp_path / "a.zip").write_bytes(packages.package(model_a).data)
    (tmp_path / "b.zip").write_bytes(packages.package(model_b).data)
    made = tmp_path / "b.blob"
    run("blob", tmp_path / "b.zip", "--firmware", tmp_path / "a.zip", "--arena", 8192, "--out", made)
    run("attach-image", tmp_path / "b.zip", "--image", made, "--out", tmp_path / "image")
    record = ImageRecord.load(tmp_path / "image")
    assert (record.kind, record.level) == ("model", "identical")
    run("sign-image", tmp_path / "image", workspace.root, "--person", "ana", "--sequence", "8")
    run("sign-image", tmp_path / "image", workspace.root, "--person", "ben")
    about = ("--profile", model_b.profile, "--workspace", workspace.root, "--floor", "7", "--model")
    assert "sequence 8" in run("verify-image", tmp_path / "image" / ENVELOPE, *about).stdout

    folder = packages.unpacked(packages.package(model_a), tmp_path / "firmware")
    envelope = (tmp_path / "image" / ENVELOPE).read_bytes()
    (folder / "delivered.h").write_text(_delivered(envelope, model_b.profile, workspace, windows(6)))
    (folder / "chain.c").write_text(CHAIN)
    board = next(one for one in BOARDS if one.machine == BOARD)
    for name, text in harness(board).items():
        if name != "harness.c":
            (folder / name).write_text(text)
    (folder / "print.c").write_text(harness(board)["harness.c"].split("static void paint_stack")[0])
    flags = [
        "-mcpu=cortex-m4",
        "-mthumb",
        "-O2",
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Werror",
        "-ffunction-sections",
        "-fdata-sections",
    ]
    sources = ["chain.c", "print.c", *board.toolchain.port, *(f"loader/{n}" for n in ("model_loader.c", "model_blob.c"))]
    sources += [f"src/{name}" for name in verifier() if name.endswith(".c")]
    link = ["-nostartfiles", "-nostdlib", "-Wl,--gc-sections", "-T", "board.ld", ROOM, "-I.", "-Isrc", "-Iloader"]
    subprocess.run(["arm-none-eabi-gcc", *flags, *link, *sources, "-lc", "-lgcc", "-o", "board.elf"], cwd=folder, check=True)
    done = subprocess.run([*board.command, folder / "board.elf"], capture_output=True, text=True, check=False, timeout=120)
    said = [
        (line.split()[0], int(line.split()[1])) for line in (done.stdout + done.stderr).splitlines() if len(line.split()) == 2
    ]
    assert said[:4] == [("own", 0), ("refused", 109), ("loaded", 0), ("mismatches", 0)]
    (tmp_path / "b").mkdir()
    wanted = verdicts(forge.build(tmp_path / "b", model_b), windows(6))
    flat = [n for surprise, classes, values in wanted for n in (surprise, *classes, *values)]
    assert [number - (number >> 31 << 32) for _, number in said[4:]] == flat


def _delivered(envelope: bytes, profile: str, workspace, raw: np.ndarray) -> str:
    from registry.contract.envelope import profile_digest
    from registry.images import release_keys

    def words(name: str, data: bytes) -> str:
        values = np.frombuffer(data + bytes(-len(data) % 4), "<u4").tolist()
        return f"static const uint32_t {name}[] = {{{', '.join(f'{v}u' for v in values)}}};\n"

    def braces(values) -> str:
        return "{" + ", ".join(map(str, values)) + "}"

    keys = braces(braces(key) for key in release_keys(workspace))
    rows = braces(braces(braces(sample) for sample in window.tolist()) for window in raw)
    return (
        words("DELIVERED", envelope)
        + words("TAMPERED", envelope[:-1] + bytes([envelope[-1] ^ 1]))
        + f"#define DELIVERED_BYTES {len(envelope)}u\n#define KEYS {keys}\n#define PROFILE {braces(profile_digest(profile))}\n"
        + f"#define WINDOWS {len(raw)}\nstatic const int16_t RAW[][MODEL_STEPS][MODEL_CHANNELS] = {rows};\n"
    )


def test_an_envelope_of_a_model_is_no_firmware(model_b):
    trust = images.trust(kind=Kind.FIRMWARE)
    from registry.contract.envelope import refusal

    assert refusal(images.image(model_b.members[FILE], kind=Kind.MODEL), trust) == "wrong_kind"


def test_equal_artefacts_have_equal_blobs(model_a):
    assert form("plain").members[FILE] == model_a.members[FILE]
    assert replace(model_a).sealed().sha256 == model_a.sha256
