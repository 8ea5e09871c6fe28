"""A signed image is taken or refused, for the same reason, by Python and by the C that devices run."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from hypothesis import example, given, settings
from hypothesis import strategies as st

from components.quantization.boards import BOARDS
from components.quantization.package.texts import verifier as sources
from components.quantization.targets.c99.image import harness
from registry.contract.envelope import C_REASONS, HEADER, SIGNED, Header, ImageTrust, Kind, is_signature, profile_digest, refusal
from registry.contract.reasons import Reason
from tests.quantization.images import PROFILE, header, image, private, public, signed, trust
from tests.quantization.verifier import COMPILERS, Verifier, build

pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")

ORDER = 2**252 + 27742317777372353535851937790883648493
PRIME = 2**255 - 19
GOLDEN = json.loads(Path(__file__).with_name("image_vectors.json").read_text())
RFC_8032 = [  # section 7.1: public key, message, signature
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
    ),
    (
        "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf",
        hashlib.sha512(b"abc").hexdigest(),
        "dc2a4459e7369633a52b1bf277839a00201009a3efbf3ecb69bea2186c26b58909351fc9ac90b3ecfdfbc7c66431e0303dca179c138ac17ad9bef1177331a704",
    ),
]


@pytest.fixture(scope="module", params=COMPILERS)
def c(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Verifier:
    return build(tmp_path_factory.mktemp("verifier"), request.param)


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_signatures_of_rfc_8032_are_good(c: Verifier, key: str, message: str, signature: str) -> None:
    values = bytes.fromhex(signature), bytes.fromhex(message), bytes.fromhex(key)
    assert c.is_signature(*values)
    assert is_signature(*values)


@given(st.lists(st.binary(max_size=200), max_size=4))
def test_digests_are_those_of_the_standard_library(c: Verifier, pieces: list[bytes]) -> None:
    whole = b"".join(pieces)
    assert c.digest(256, pieces) == hashlib.sha256(whole).digest()
    assert c.digest(512, pieces) == hashlib.sha512(whole).digest()


@settings(max_examples=150, deadline=None)
@given(name=st.text("abc", max_size=4), message=st.binary(max_size=300), part=st.integers(0, 3), bit=st.integers(0, 10**6))
def test_a_flipped_bit_is_judged_as_openssl_judges_it(c: Verifier, name: str, message: bytes, part: int, bit: int) -> None:
    """In the signature, the message, the key, or nowhere."""
    parts = [private(name).sign(message), message, public(name)]
    if part < 3 and parts[part]:
        changed = bytearray(parts[part])
        changed[bit // 8 % len(changed)] ^= 1 << bit % 8
        parts[part] = bytes(changed)
    signature, told, key = parts
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, told)
        good = True
    except InvalidSignature:
        good = False
    assert c.is_signature(signature, told, key) == good == is_signature(signature, told, key)


@settings(deadline=None)
@given(st.binary(max_size=40), st.integers(1, 15))
def test_a_signature_has_one_form_only(c: Verifier, message: bytes, times: int) -> None:
    """S + n times the order of the group solves the same equation, and is refused."""
    signature, key = private("ana").sign(message), public("ana")
    other = int.from_bytes(signature[32:], "little") + times * ORDER
    forged = signature[:32] + (other % 2**256).to_bytes(32, "little")
    assert c.is_signature(signature, message, key)
    assert not c.is_signature(forged, message, key)
    assert not is_signature(forged, message, key)


def small_keys() -> list[bytes]:
    """Every encoding of a point whose order divides 8, canonical or not."""
    eight = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
    heights = [0, 1, PRIME - 1, eight, PRIME - eight, PRIME, PRIME + 1]
    return [(y | sign << 255).to_bytes(32, "little") for y in heights for sign in (0, 1)]


@pytest.mark.parametrize("key", small_keys(), ids=lambda key: key.hex()[:8] + key.hex()[-2:])
def test_keys_that_sign_anything_sign_nothing(c: Verifier, key: bytes) -> None:
    """With R the neutral point and S zero, the equation holds for one message in eight or more."""
    signature = (1).to_bytes(32, "little") + bytes(32)
    openssl = []
    for i in range(64):
        message = bytes([i])
        assert not c.is_signature(signature, message, key)
        assert not is_signature(signature, message, key)
        try:
            Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
            openssl.append(i)
        except InvalidSignature:
            pass
    assert openssl or key[31] >> 7, "the attack works without the check"


@given(st.integers(0, 18), st.booleans())
def test_a_key_is_written_in_one_form_only(c: Verifier, beyond: int, sign: bool) -> None:
    key = (PRIME + beyond | int(sign) << 255).to_bytes(32, "little")
    assert not c.is_signature(private("ana").sign(b"m"), b"m", key)
    assert not is_signature(private("ana").sign(b"m"), b"m", key)


CASES = {
    "accepted": (image(), trust(), None),
    "accepted, third person": (image(people=("cat", "ana")), trust(), None),
    "accepted, model": (image(kind=Kind.MODEL), trust(kind=Kind.MODEL), None),
    "accepted, empty": (image(b""), trust(), None),
    "accepted, highest sequence": (image(sequence=2**64 - 1), trust(floor=2**64 - 2), None),
    "shorter than a header": (image()[: HEADER - 1], trust(), Reason.WRONG_SIZE),
    "cut off": (image()[:-1], trust(), Reason.WRONG_SIZE),
    "something behind it": (image() + b"x", trust(), Reason.WRONG_SIZE),
    "other magic": (b"m" + image()[1:], trust(), Reason.BAD_MAGIC),
    "later format": (image()[:8] + b"\2" + image()[9:], trust(), Reason.UNKNOWN_VERSION),
    "unknown kind": (image()[:10] + b"\3" + image()[11:], trust(), Reason.UNKNOWN_VERSION),
    "unknown field": (image()[:28] + b"\1" + image()[29:], trust(), Reason.UNKNOWN_VERSION),
    "model where firmware is taken": (image(kind=Kind.MODEL), trust(), Reason.WRONG_KIND),
    "model of another interface": (image(kind=Kind.MODEL, interface=(2, 0)), trust(kind=Kind.MODEL), Reason.WRONG_INTERFACE),
    "another profile": (image(), trust(profile="node"), Reason.WRONG_HARDWARE),
    "not signed": (image(people=()), trust(), Reason.BAD_SIGNATURE),
    "one signature": (image(people=("ana",)), trust(), Reason.BAD_SIGNATURE),
    "one person twice": (image(people=("ana", "ana")), trust(), Reason.BAD_SIGNATURE),
    "a stranger": (image(people=("ana", "eve")), trust(), Reason.BAD_SIGNATURE),
    "nobody trusted": (image(), trust(keys=()), Reason.BAD_SIGNATURE),
    "the same again": (image(sequence=7), trust(), Reason.SEQUENCE_ROLLBACK),
    "older": (image(sequence=6), trust(), Reason.SEQUENCE_ROLLBACK),
    "other payload": (image()[:-1] + b"x", trust(), Reason.WRONG_DIGEST),
}


@pytest.mark.parametrize("name", CASES)
def test_each_rule_has_its_reason(c: Verifier, name: str) -> None:
    made, known, reason = CASES[name]
    assert refusal(made, known) == reason
    assert c.refusal(made, known) == reason
    if len(made) >= HEADER:
        assert c.refusal_in_pieces(made, known, 7) == reason


def test_the_first_rule_that_is_broken_counts(c: Verifier) -> None:
    """An image against which everything speaks, mended one rule after the other."""
    payload, known = b"payload", trust(kind=Kind.MODEL)
    wrong = {"kind": Kind.FIRMWARE, "interface": (9, 0), "profile_sha256": bytes(32), "sequence": 1, "payload_sha256": bytes(32)}
    good = {"kind": Kind.MODEL, "interface": (1, 0), "profile_sha256": profile_digest(PROFILE), "sequence": 9}
    met = []
    for mended in range(len(wrong) + 1):
        fields = {k: good.get(k, v) if i < mended else v for i, (k, v) in enumerate(wrong.items())}
        if mended == len(wrong):
            fields["payload_sha256"] = hashlib.sha256(payload).digest()
        for people in ((), ("ana", "ben")):
            made = signed(header(payload, **fields), *people).to_bytes() + payload
            met.append(refusal(made, known))
            assert c.refusal(made, known) == met[-1]
    order = [C_REASONS.index(reason) for reason in met[::2] if reason] + [C_REASONS.index(Reason.WRONG_DIGEST)]
    assert order == sorted(order)
    assert met[-1] is None


@st.composite
def mutated(draw: st.DrawFn) -> tuple[bytes, ImageTrust]:
    """Envelopes near the rules: any fields, signed or not, then bytes changed, cut or added."""
    payload = draw(st.binary(max_size=40))
    fields = {
        "kind": draw(st.sampled_from(Kind)),
        "interface": (draw(st.integers(0, 2)), draw(st.integers(0, 3))),
        "sequence": draw(st.sampled_from([0, 6, 7, 8, 2**63, 2**64 - 1])),
        "profile_sha256": draw(st.sampled_from([profile_digest(PROFILE), profile_digest("node"), bytes(32)])),
    }
    people = draw(st.lists(st.sampled_from(["ana", "ben", "cat", "eve"]), max_size=2))
    made = bytearray(image(payload, tuple(people), **fields))
    for _ in range(draw(st.integers(0, 2))):
        made[draw(st.integers(0, len(made) - 1))] ^= draw(st.integers(1, 255))
    size = draw(st.sampled_from([len(made), len(made), len(made) - 1, len(made) + 1, SIGNED, 0]))
    known = trust(
        kind=draw(st.sampled_from(Kind)),
        floor=draw(st.sampled_from([0, 7, 2**63])),
        keys=tuple(public(p) for p in draw(st.lists(st.sampled_from(["ana", "ben", "cat"]), max_size=4))),
    )
    return bytes(made[:size]).ljust(size, b"\0"), known


@settings(max_examples=250, deadline=None)
@given(mutated())
@example((image(), trust()))
def test_python_and_c_agree_on_any_envelope(c: Verifier, case: tuple[bytes, ImageTrust]) -> None:
    made, known = case
    assert c.refusal(made, known) == refusal(made, known)


@given(st.binary(max_size=400))
def test_any_bytes_are_refused_without_harm(c: Verifier, data: bytes) -> None:
    assert refusal(data, trust()) is not None
    assert c.refusal(data, trust()) == refusal(data, trust())


@given(mutated())
def test_a_header_that_parses_is_written_as_it_was(case: tuple[bytes, ImageTrust]) -> None:
    try:
        parsed = Header.from_bytes(case[0])
    except ValueError:
        return
    assert parsed.to_bytes()[:SIGNED] == case[0][:SIGNED]


def known_of(vector: dict[str, object]) -> tuple[bytes, ImageTrust, Reason | None]:
    about = dict(vector["trust"])  # type: ignore[call-overload]
    keys = tuple(bytes.fromhex(key) for key in about.pop("keys"))
    reason = vector["reason"]
    return bytes.fromhex(str(vector["image"])), ImageTrust(keys=keys, **about), Reason(str(reason)) if reason else None


@pytest.mark.parametrize("vector", GOLDEN, ids=lambda v: v["name"])
def test_images_of_format_1_are_judged_as_ever(c: Verifier, vector: dict[str, object]) -> None:
    made, known, reason = known_of(vector)
    assert refusal(made, known) == reason
    assert c.refusal(made, known) == reason


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc, whose sanitizers come with it (Debian: gcc)")
def test_sanitizers_find_nothing_in_the_c(tmp_path: Path) -> None:
    """In golden images, each in an array of its own size: no undefined behaviour, no stray access."""
    for name, data in sources().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "model.h").write_text("int model_selftest_vector(int vector);\n")
    (tmp_path / "golden.c").write_text(board_source([known_of(vector) for vector in GOLDEN]))
    loop = f"int wrong = 0; for (int v = 0; v < {len(GOLDEN)}; v++) wrong += model_selftest_vector(v);"
    (tmp_path / "main.c").write_text(f'#include "model.h"\nint main(void) {{ {loop} return wrong; }}\n')
    compiled = sorted(name for name in sources() if name.endswith(".c"))
    checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1"]
    call("gcc", "-std=c99", *checked, *compiled, "golden.c", "main.c", "-o", "golden", folder=tmp_path)
    call("./golden", folder=tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(
    not (shutil.which("arm-none-eabi-gcc") and shutil.which("qemu-system-arm")),
    reason="no Arm compiler or emulator (Debian: gcc-arm-none-eabi libnewlib-arm-none-eabi qemu-system-arm)",
)
def test_an_emulated_cortex_m4_judges_every_golden_image(tmp_path: Path) -> None:
    """On the board that proves models, with golden images in place of its vectors; size, stack and instructions are bounded."""
    for name, data in sources().items():
        (tmp_path / name).write_bytes(data)
    (tmp_path / "model.h").write_text(
        f"#include <stdint.h>\n#define MODEL_VECTORS {len(GOLDEN)}\nint model_selftest_vector(int vector);\n"
    )
    (tmp_path / "golden.c").write_text(board_source([known_of(vector) for vector in GOLDEN]))
    board = next(known for known in BOARDS if known.machine == "mps2-an386")
    for name, content in harness(board).items():
        (tmp_path / name).write_text(content)
    cpu = ["-mcpu=cortex-m4", "-mthumb", "-std=c99", "-Os", "-Wall", "-Wextra", "-Werror", "-ffunction-sections"]
    compiled = sorted(name for name in sources() if name.endswith(".c"))
    call("arm-none-eabi-gcc", *cpu, "-pedantic", "-c", *compiled, folder=tmp_path)
    objects = [str(Path(name).with_suffix(".o")) for name in compiled]
    text, data, bss = map(int, call("arm-none-eabi-size", "-t", *objects, folder=tmp_path).splitlines()[-1].split()[:3])
    assert text + data < 6000
    assert bss == 0
    link = [
        "-nostartfiles",
        "-nostdlib",
        "-Wl,--gc-sections",
        "-T",
        "board.ld",
        "harness.c",
        *board.toolchain.port,
        "golden.c",
        *objects,
    ]
    call("arm-none-eabi-gcc", *cpu, *link, "-lc", "-lgcc", "-o", "board.elf", folder=tmp_path)
    emulator = ["qemu-system-arm", "-M", "mps2-an386", "-nographic", "-semihosting-config", "enable=on,target=native"]
    said = dict(
        line.split() for line in call(*emulator, "-icount", "shift=0", "-kernel", "board.elf", folder=tmp_path).splitlines()
    )
    assert said["mismatches"] == "0"
    assert int(said["stack"]) < 3000
    assert int(said["instructions"]) < 30_000_000


def board_source(cases: list[tuple[bytes, ImageTrust, Reason | None]]) -> str:
    def listed(data: bytes) -> str:
        return "{" + ",".join(str(byte) for byte in data or b"\0") + "}"

    lines = ['#include "muster_image.h"', '#include "model.h"']
    table = []
    for i, (made, known, reason) in enumerate(cases):
        keys = "{" + ",".join(listed(key) for key in known.keys or (bytes(32),)) + "}"
        lines += [f"static const uint8_t IMAGE{i}[] = {listed(made)}, PROFILE{i}[] = {listed(profile_digest(known.profile))};"]
        lines += [f"static const uint8_t KEYS{i}[][32] = {keys};"]
        about = f"{{KEYS{i}, {len(known.keys)}, PROFILE{i}, {int(known.kind)}, {known.interface_major}, UINT64_C({known.floor})}}"
        table.append(f"{{IMAGE{i}, {len(made)}, {about}, {C_REASONS.index(reason)}}}")
    lines += ["static const struct { const uint8_t *image; uint32_t size; muster_trust trust; muster_reason reason; } CASE[] = {"]
    lines += [",\n".join(table), "};", "int model_selftest_vector(int v)", "{"]
    lines += ["    for (volatile int wait = 0; wait < 100; wait++) {}"]  # SysTick says nothing of less than one of its ticks
    lines += ["    return muster_image_verify(CASE[v].image, CASE[v].size, &CASE[v].trust) != CASE[v].reason;", "}", ""]
    return "\n".join(lines)


def call(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
