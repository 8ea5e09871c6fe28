"""A firmware image is bound to the model in it, signed by two persons, and taken by the C that devices run."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.quantization.package import elf
from components.quantization.package.build import build_package
from components.quantization.package.image import attach_image, model_parts
from components.quantization.targets.c99.emit import INTERFACE
from components.values import ImageRecord
from components.workspace.errors import Conflict, GateFailed, InputError, MusterError, NotFound, VerificationFailed
from muster.commands import artefact as command
from muster.commands import keys
from registry.contract.envelope import HEADER
from registry.images import sign_image
from registry.keys import init_keys
from tests.registry.workspaces import make_workspace

from . import boosted, forge, images, packages, verifier
from .test_package_library import needs

BOARD = "mps2-an386"


@pytest.fixture(scope="module")
def c99():
    return packages.c_artefact()


@pytest.fixture(scope="module")
def firmware(c99):
    """What a linker could make of the model, in no particular order."""
    return b"start-up" + b"pad".join(reversed(list(model_parts(c99).values()))) + b"drivers"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    return make_workspace(tmp_path_factory.mktemp("signers") / "w", people=("ana", "ben", "cat"))


def run(*arguments):
    return CliRunner().invoke(command.app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.fixture
def attached(c99, firmware, tmp_path):
    """The folder that attach-image wrote for a package and a raw .bin."""
    (tmp_path / "p.zip").write_bytes(packages.package(c99).data)
    (tmp_path / "fw.bin").write_bytes(firmware)
    run("attach-image", tmp_path / "p.zip", "--image", tmp_path / "fw.bin", "--out", tmp_path / "image")
    return tmp_path / "image"


@pytest.mark.parametrize("flags", [("-O2",), ("-Os", "-ffunction-sections", "-fdata-sections"), ("-O3", "-funroll-loops")])
@pytest.mark.parametrize("compiler", [pytest.param(c, marks=needs(c)) for c in ("gcc", "clang")])
def test_what_a_compiler_makes_of_the_model_is_found(compiler, flags, c99, tmp_path):
    for name, data in c99.members.items():
        (tmp_path / name).write_bytes(data)
    linked = [compiler, "-std=c99", *flags, "model.c", "model_selftest.c", "-shared", "-fPIC", "-o", "model.so"]
    subprocess.run(linked, cwd=tmp_path, check=True)
    made = attach_image(c99, b"raw" + (tmp_path / "model.so").read_bytes(), "model.bin")
    assert made.record.level == "model-inside"
    other = forge.artefact(forge.graph(seed=9, heads=2, numbers=1))
    with pytest.raises(GateFailed, match="does not hold this model"):
        attach_image(other, b"raw" + (tmp_path / "model.so").read_bytes(), "model.bin")


def test_trees_have_tables_too(tmp_path):
    trees = boosted.artefact(boosted.model())
    parts = model_parts(trees)
    assert {"THRESHOLD0", "LEAF0"} <= parts.keys()
    assert attach_image(trees, b"".join(parts.values()), "trees.bin").record.level == "model-inside"


def test_one_changed_byte_of_the_model_is_another_model(c99, firmware):
    place = firmware.index(max(model_parts(c99).values(), key=len)) + 5
    touched = firmware[:place] + bytes([firmware[place] ^ 1]) + firmware[place + 1 :]
    with pytest.raises(GateFailed, match=r"1 of .* tables are not in it"):
        attach_image(c99, touched, "fw.bin")


def test_the_record_says_what_was_bound(c99, firmware, attached):
    record = ImageRecord.load(attached)
    assert (record.kind, record.profile, record.artefact_sha256) == ("firmware", "node", c99.sha256)
    assert (record.interface, record.payload_bytes, record.source_name) == (INTERFACE, len(firmware), "fw.bin")
    assert (attached / "payload.bin").read_bytes() == firmware
    assert "on an emulated board" in record.missing


def test_a_model_file_is_attached_as_it_is():
    onnx = packages.onnx_artefact()
    for content in (onnx.to_bytes(), onnx.members["model.onnx"]):
        made = attach_image(onnx, content, "model")
        assert (made.record.kind, made.record.level, made.record.interface) == ("model", "identical", "1.0")
    assert attach_image(onnx, b"app" + onnx.members["model.onnx"], "app.bin").record.kind == "firmware"
    with pytest.raises(GateFailed, match=r"model\.onnx"):
        attach_image(onnx, b"app", "app.bin")


def test_an_unproven_package_is_not_attached(c99, firmware, tmp_path):
    (tmp_path / "fw.bin").write_bytes(firmware)
    (tmp_path / "u.zip").write_bytes(build_package(c99.to_bytes(), None, unproven=True).data)
    with pytest.raises(GateFailed, match="unproven"):
        run("attach-image", tmp_path / "u.zip", "--image", tmp_path / "fw.bin", "--out", tmp_path / "image")
    assert not (tmp_path / "image").exists()


def test_signatures_of_another_firmware_do_not_come_to_stand_beside_an_image(c99, firmware, attached, tmp_path):
    (attached / "image.muster").write_bytes(bytes(HEADER) + firmware)
    again = ("attach-image", tmp_path / "p.zip", "--out", attached, "--image")
    run(*again, tmp_path / "fw.bin")
    (tmp_path / "next.bin").write_bytes(b"next" + firmware)
    with pytest.raises(Conflict, match=r"image\.muster is the signed image of another firmware"):
        run(*again, tmp_path / "next.bin")
    assert (attached / "payload.bin").read_bytes() == firmware


def test_a_board_runs_elves_only(c99, firmware):
    with pytest.raises(InputError, match="no ELF"):
        attach_image(c99, firmware, "fw.bin", BOARD)
    with pytest.raises(InputError, match="no emulated board toaster"):
        attach_image(c99, elf_of(firmware), "fw.elf", "toaster")


def elf_of(content: bytes, address: int = 0x8000, *more: tuple[int, bytes]) -> bytes:
    """A 32-bit ELF whose segments load ``content`` at ``address``, and ``more``."""
    segments = [(address, content), *more]
    start = 52 + 32 * len(segments)
    head = elf.MAGIC + b"\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0, 52, 0, 0, 52, 32, len(segments), 0, 0, 0)
    table, at = b"", start
    for where, data in segments:
        table += struct.pack("<IIIIIIII", 1, at, 0x2000_0000, where, len(data), len(data), 5, 4)
        at += len(data)
    return head + table + b"".join(data for _, data in segments)


def test_the_bytes_of_an_elf_lie_at_their_load_addresses():
    assert elf.flash_bytes(elf_of(b"text", 0x100, (0x106, b"data"))) == b"text\0\0data"
    with pytest.raises(InputError, match="loads 4,"):
        elf.flash_bytes(elf_of(b"low", 0, (0xFFFF_0000, b"high")))
    with pytest.raises(InputError, match="cut off"):
        elf.flash_bytes(elf_of(b"text")[:-1])
    with pytest.raises(InputError, match="loads nothing"):
        elf.flash_bytes(elf_of(b""))
    with pytest.raises(InputError, match="32-bit"):
        elf.flash_bytes(elf.MAGIC + b"\2\1" + bytes(60))


@given(st.data())
def test_a_broken_elf_is_refused_and_nothing_worse(data):
    made = bytearray(elf_of(b"text", 0x100, (0x106, b"data")))
    for _ in range(data.draw(st.integers(1, 4))):
        made[data.draw(st.integers(6, len(made) - 1))] = data.draw(st.integers(0, 255))
    with suppress(MusterError):
        elf.flash_bytes(bytes(made[: data.draw(st.integers(6, len(made)))]))


@pytest.fixture(scope="module")
def board_elf(c99, tmp_path_factory):
    """Built by the package's README for the emulated board; `with_vectors` may change the self-test's file first."""
    package = packages.package(c99)

    def build(change=lambda text: text):
        folder = packages.unpacked(package, tmp_path_factory.mktemp("board"))
        test = folder / "src/model_selftest.c"
        test.write_text(change(test.read_text()))
        lines = (folder / "README.txt").read_text().replace("\\\n", "").splitlines()
        command = next(line for line in lines if line.startswith("  arm-none-eabi"))
        subprocess.run(["bash", "-c", command], cwd=folder, check=True)
        return folder / "board.elf"

    return build


@pytest.mark.slow
@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_an_elf_for_the_emulated_board_proves_itself(c99, board_elf, tmp_path):
    made = board_elf()
    artefact = c99.save(tmp_path)
    said = run("attach-image", artefact, "--image", made, "--board", BOARD, "--out", tmp_path / "image", "--json")
    record = json.loads(said.stdout)["data"]
    assert (record["level"], record["missing"]) == ("emulated", "")
    if shutil.which("arm-none-eabi-objcopy"):
        subprocess.run(["arm-none-eabi-objcopy", "-O", "binary", made, tmp_path / "board.bin"], check=True)
        assert (tmp_path / "image/payload.bin").read_bytes() == (tmp_path / "board.bin").read_bytes()


@pytest.mark.slow
@needs("arm-none-eabi-gcc", "qemu-system-arm")
def test_an_elf_whose_self_test_fails_is_refused(c99, board_elf):
    made = board_elf(lambda text: text.replace("wrong = result.surprise != ", "wrong = result.surprise + 1 != "))
    with pytest.raises(GateFailed, match="self-test failed on mps2-an386, exit code 1: mismatches 6"):
        attach_image(c99, made.read_bytes(), "board.elf", BOARD)
    with pytest.raises(GateFailed, match="does not hold this model"):
        attach_image(forge.artefact(forge.graph(seed=9, heads=2, numbers=1)), made.read_bytes(), "board.elf", BOARD)


@pytest.mark.slow
@needs("qemu-system-arm")
def test_an_elf_that_says_nothing_is_refused(c99, firmware):
    vectors = struct.pack("<II", 0x2000_8000, 0x101) + bytes(0xF8)
    exits_at_once = bytes.fromhex("1820 0149 abbe fee7".replace(" ", "")) + struct.pack("<I", 0x20026)
    with pytest.raises(GateFailed, match="nothing printed"):
        attach_image(c99, elf_of(vectors + exits_at_once + firmware, 0), "fw.elf", BOARD)


def test_without_the_emulator_the_level_says_what_is_missing(c99, firmware, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    made = attach_image(c99, elf_of(firmware), "fw.elf", BOARD)
    assert (made.record.level, made.record.missing) == ("model-inside", "Debian package qemu-system-arm")


@pytest.mark.skipif(not verifier.COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
def test_two_persons_sign_and_python_and_c_take_it(attached, workspace, tmp_path):
    root = workspace.root
    begun = run("sign-image", attached, root, "--person", "ana", "--sequence", "5")
    assert "a second person has to sign" in begun.stdout
    with pytest.raises(VerificationFailed, match=r"\[bad_signature\]"):
        run("verify-image", attached / "image.muster", "--profile", "node", "--workspace", root)
    done = json.loads(run("sign-image", attached, root, "--person", "ben", "--json").stdout)["data"]
    assert (done["sequence"], done["missing"]) == (5, 0)
    envelope = attached / "image.muster"
    taken = json.loads(run("verify-image", envelope, "--profile", "node", "--workspace", root, "--json").stdout)["data"]
    assert (taken["sequence"], taken["kind"], len(taken["signers"])) == (5, "firmware", 2)
    shown = json.loads(CliRunner().invoke(keys.app, ["show", str(root), "--json"]).stdout)["data"]
    trusted = [holder["public"] for holder in shown if holder["role"] == "releases"]
    named = [option for key in trusted for option in ("--key", key)]
    assert "sequence 5" in run("verify-image", envelope, "--profile", "node", "--floor", "4", *named).stdout
    device = images.trust(keys=tuple(map(bytes.fromhex, trusted)), profile="node", floor=4)
    c = verifier.build(tmp_path)
    assert c.refusal(envelope.read_bytes(), device) is None
    assert c.refusal(envelope.read_bytes(), replace(device, floor=5)) == "sequence_rollback"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--profile", "gateway"), "wrong_hardware"),
        (("--profile", "node", "--floor", "5"), "sequence_rollback"),
        (("--profile", "node", "--model"), "wrong_kind"),
    ],
)
def test_a_refusal_gives_the_devices_reason(options, reason, attached, workspace):
    for person in ("ana", "ben"):
        sign_image(workspace, attached, person, 5)
    with pytest.raises(VerificationFailed, match=rf"\[{reason}\]"):
        run("verify-image", attached / "image.muster", "--workspace", workspace.root, *options)


def test_signing_is_refused_where_it_would_mean_something_else(attached, workspace):
    with pytest.raises(InputError, match="the first signature sets the sequence number"):
        sign_image(workspace, attached, "ana")
    with pytest.raises(InputError, match="sequence number 0"):
        sign_image(workspace, attached, "ana", 0)
    with pytest.raises(NotFound, match="private key of 'people/eve'"):
        sign_image(workspace, attached, "eve", 5)
    sign_image(workspace, attached, "ana", 5)
    with pytest.raises(Conflict, match="ana has signed it already"):
        sign_image(workspace, attached, "ana")
    with pytest.raises(Conflict, match="under sequence number 5"):
        sign_image(workspace, attached, "ben", 6)
    sign_image(workspace, attached, "ben", 5)
    with pytest.raises(Conflict, match="two persons have signed it already"):
        sign_image(workspace, attached, "cat")


def test_an_envelope_of_another_image_is_left_alone(c99, firmware, attached, workspace):
    sign_image(workspace, attached, "ana", 5)
    other = attach_image(c99, firmware + b"!", "fw.bin")
    (attached / "payload.bin").write_bytes(other.payload)
    with pytest.raises(VerificationFailed, match="is not what"):
        sign_image(workspace, attached, "ben")
    other.record.save(attached)
    with pytest.raises(Conflict, match="the envelope of another image"):
        sign_image(workspace, attached, "ben")
    (attached / "image.muster").write_bytes(b"hello")
    with pytest.raises(InputError, match="is no envelope"):
        sign_image(workspace, attached, "ben")


def test_a_key_that_may_not_release_does_not_sign(attached, workspace, tmp_path):
    stranger = make_workspace(tmp_path / "w", people=())
    init_keys(stranger, ["eve", "mal"])
    keys_of = Path(stranger.state / "keys/people/eve.key")
    shutil.copy(keys_of, workspace.state / "keys/people/eve.key")
    try:
        with pytest.raises(VerificationFailed, match="may release"):
            sign_image(workspace, attached, "eve", 5)
    finally:
        (workspace.state / "keys/people/eve.key").unlink()


def test_what_is_missing_or_damaged_is_named(attached, workspace, tmp_path):
    with pytest.raises(NotFound, match="attach-image makes it"):
        sign_image(workspace, tmp_path / "nothing", "ana", 5)
    record = json.loads((attached / "image.json").read_text())
    for damage in ({"interface": "70000.0"}, {"interface": 1}, {"profile": None}, {"kind": "toaster"}, {"schema_version": 2}):
        (attached / "image.json").write_text(json.dumps(record | damage))
        with pytest.raises(InputError, match="does not parse"):
            sign_image(workspace, attached, "ana", 5)
    with pytest.raises(InputError, match="no trusted keys"):
        run("verify-image", attached / "image.muster", "--profile", "node")
    (tmp_path / "key.pem").write_text("hello")
    with pytest.raises(InputError, match="is no public key"):
        run("verify-image", attached / "image.muster", "--profile", "node", "--key", tmp_path / "key.pem")
    with pytest.raises(VerificationFailed):
        run("attach-image", tmp_path / "fw.bin", "--image", tmp_path / "fw.bin", "--out", tmp_path / "o")
