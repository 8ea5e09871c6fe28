"""The same harness on every emulated processor: sound sources pass with the same answers, damaged ones do not."""

from __future__ import annotations

import platform
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.quantization.boards import BOARDS, Region, host_board
from components.quantization.levels import host_compiler
from components.quantization.targets.c99 import image
from components.quantization.targets.c99.trial import WITH_STACK, WITHOUT_STACK, try_c, unpack
from components.runtime.conditions import Conditions
from components.workspace.errors import GateFailed

from . import boosted, forge, plant
from .test_levels import on_board

HOST = host_board("gcc", "x86-64")
pytestmark = pytest.mark.skipif(host_compiler() is None, reason="no C compiler (Debian: gcc libc6-dev)")


def needs(on):
    lacking = [tool for tool in on.tools if not tool.here]
    return pytest.mark.skipif(bool(lacking), reason=f"no {' '.join(t.packages for t in lacking)} (Debian)")


EVERY = [pytest.param(on, marks=needs(on), id=on.machine) for on in (*BOARDS, HOST)]
ARM = next(on for on in BOARDS if on.machine == "mps2-an386")
SMALL = next(on for on in BOARDS if on.machine == "microbit")
REGIMES = Conditions(
    (0,), (900,), ((-8000,), (0,), (8000,)), ((0, -700, 10), (0, 20, 0), (0, 900, -40)), ((65536, 70000, 50000),) * 3
)
KINDS = {
    "wide and optional": lambda: forge.artefact(forge.graph(seed=7, optional=2), optional=(1, 2), wide=True),
    "regimes": lambda: forge.artefact(forge.graph(), conditions=REGIMES),
    "trees": lambda: boosted.artefact(boosted.model()),
}


@pytest.fixture(scope="module")
def made():
    return forge.artefact(forge.graph(steps=32, channels=5))


def ran(on, artefact, folder):
    unpack(artefact, folder)
    cpu = on.cpus[-1] if on.cpus else "any"
    return image.compiled(on, cpu, folder), image.self_test(on, cpu, folder)


@pytest.mark.slow
@pytest.mark.parametrize("on", EVERY)
def test_every_board_answers_every_vector_as_said(on, made, tmp_path):
    sections, run = ran(on, made, tmp_path)
    assert run.mismatches == 0
    assert 1000 < sections.flash < 16384
    assert 0 < sections.static < 4096
    assert 64 < run.stack < 4096
    assert (run.instructions is not None) == on.counts
    if run.instructions is not None:
        assert 10_000 < run.instructions < 1_000_000


@pytest.mark.slow
@pytest.mark.parametrize("on", EVERY)
def test_one_changed_weight_is_found_on_every_board(on, made, tmp_path):
    damaged = replace(made, members=made.members | {"model.c": one_weight_changed(made.members["model.c"])})
    _, run = ran(on, damaged, tmp_path)
    assert run.mismatches > 0


@pytest.mark.slow
@needs(ARM)
def test_instructions_are_repeatable(made, tmp_path):
    assert ran(ARM, made, tmp_path)[1] == ran(ARM, made, tmp_path)[1]


@pytest.mark.slow
@pytest.mark.parametrize("on", EVERY)
@pytest.mark.parametrize("kind", ["wide and optional", "regimes", "trees"])
def test_every_kind_of_model_answers_alike_on_every_board(kind, on, tmp_path):
    assert ran(on, KINDS[kind](), tmp_path)[1].mismatches == 0


@pytest.mark.slow
@pytest.mark.parametrize("on", EVERY)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.integers(5, 40),
    channels=st.integers(1, 6),
    width=st.sampled_from([4, 8, 12]),
    kernel=st.sampled_from([3, 5, 7]),
    seed=st.integers(0, 999),
)
def test_networks_of_any_shape_answer_alike_on_every_board(on, tmp_path_factory, steps, channels, width, kernel, seed):
    shape = forge.graph(steps=steps, channels=channels, width=width, kernel=kernel, seed=seed, heads=2, numbers=1)
    assert ran(on, forge.artefact(shape), tmp_path_factory.mktemp("shape"))[1].mismatches == 0


@pytest.mark.slow
@pytest.mark.parametrize("on", [pytest.param(b, marks=needs(b), id=b.machine) for b in BOARDS if b.counts])
def test_a_loop_of_a_million_rounds_adds_two_million_instructions(on, made, tmp_path):
    arm, riscv = ".syntax unified\\n1: subs %0, #1\\n bne 1b", "1: addi %0, %0, -1\\n bnez %0, 1b"
    step = arm if "cortex_m.c" in on.toolchain.port else riscv
    loop = f'static void turn(void) {{ int n = 1000000; __asm__ volatile("{step}" : "+r"(n) : : "cc"); }}\n'
    text = made.members["model.c"].decode().replace("void model_run(", loop + "void model_run(", 1)
    text = re.sub(r"(void model_run\([^)]*\)\s*\{)", r"\1 turn();", text, count=1)
    longer = replace(made, members=made.members | {"model.c": text.encode()})
    before = ran(on, made, tmp_path)[1].instructions
    assert ran(on, longer, tmp_path)[1].instructions - before == pytest.approx(2_000_000, rel=1e-3)


@pytest.mark.slow
@needs(ARM)
def test_a_window_too_long_to_count_is_no_small_number(made, tmp_path):
    """SysTick has 24 bits; past them it starts again."""
    endless = b"static void wait(void) { for (volatile int i = 0; i < 200000000; i++) {} }\nvoid model_run("
    text = made.members["model.c"].replace(b"void model_run(", endless, 1)
    slow = re.sub(rb"(void model_run\([^)]*\)\s*\{)", rb"\1 wait();", text, count=1)
    with pytest.raises(GateFailed, match="too long for the 24 bits of SysTick"):
        ran(ARM, replace(made, members=made.members | {"model.c": slow}), tmp_path)


@pytest.mark.slow
@needs(SMALL)
def test_a_model_larger_than_the_emulated_board_is_proven_on_the_host_and_says_so():
    wide = forge.artefact(forge.graph(steps=64, channels=5, width=96))
    profile = on_board(SMALL)
    windows = plant.windows(devices=3, per_device=4, steps=64)
    trial = try_c(profile, wide, windows, np.arange(4))
    assert trial.level == "host-compiled"
    assert "more RAM than microbit: the image does not fit its 16 KiB of RAM by" in trial.missing
    assert trial.note == WITHOUT_STACK
    assert trial.ram is not None
    assert trial.ram > 12000


@needs(ARM)
def test_code_that_does_not_fit_the_board_is_told_from_code_that_does_not_compile(made, tmp_path):
    tight = replace(ARM, code=Region(0, 4096))
    with pytest.raises(image.TooSmall, match="more flash than mps2-an386: the image does not fit its 4 KiB of flash by"):
        ran(tight, made, tmp_path)


@needs(ARM)
def test_a_stack_that_meets_the_models_memory_is_no_proof(made, tmp_path):
    """The harness paints what is left for the stack; all of it used means that more may have been."""
    unpack(made, tmp_path)
    static = image.compiled(ARM, "cortex-m4", tmp_path).static
    eager = b"static int deep(void) { volatile char a[1470]; for (int i = 0; i < 1470; i++) a[i] = 1; return a[7]; }\n"
    text = made.members["model.c"].replace(b"void model_run(", eager + b"void model_run(", 1)
    deep = re.sub(rb"(void model_run\([^)]*\)\s*\{)", rb"\1 if (!deep()) return;", text, count=1)
    tight = replace(ARM, data=Region(0x20000000, static + 1024 + 512))
    with pytest.raises(image.TooSmall, match="the stack does not fit beside the model"):
        ran(tight, replace(made, members=made.members | {"model.c": deep}), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("on", [pytest.param(b, marks=needs(b), id=b.machine) for b in BOARDS if not b.bare])
def test_a_linux_processor_judges_the_held_out_windows_as_this_machine_does(on, made):
    windows = plant.windows(devices=3, per_device=20)
    trials = [try_c(profile, made, windows, np.arange(60)) for profile in (on_board(on), plant.profile("c99", proof={}))]
    there, here = trials
    assert there.level == "emulated"
    assert here.level == "host-compiled"
    assert there.machine.startswith(on.machine)
    assert there.note == WITH_STACK
    assert np.array_equal(there.verdict.surprise, here.verdict.surprise)
    assert all(np.array_equal(there.verdict.classes[task], got) for task, got in here.verdict.classes.items())


@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="the profile's processor is x86-64")
def test_c_on_its_own_processor_is_proven_natively_with_its_stack(made):
    profile = plant.profile("c99", arch={"family": "x86-64", "cpu": "any"}, proof={})
    windows = plant.windows(devices=3, per_device=4)
    trial = try_c(profile, made, windows, np.arange(4))
    assert (trial.level, trial.self_test_mismatches, trial.note) == ("native", 0, WITH_STACK)
    assert "not counted" in trial.missing
    assert trial.latency_ms is not None
    assert 0 < trial.latency_ms < 1000


def one_weight_changed(source: bytes) -> bytes:
    """The first weight of the first layer with its high bit flipped."""
    table = re.search(rb"\bint8_t W0\[[^=]*=\s*\{\s*(-?\d+)", source)
    assert table is not None
    flipped = b"%d" % (int(table[1]) ^ 64)
    return source[: table.start(1)] + flipped + source[table.end(1) :]
