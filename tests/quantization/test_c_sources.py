"""The generated C does what the Python of components/runtime does, bit for bit."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.quantization.targets.c99 import arena, emit
from components.quantization.targets.c99.network import network_body
from components.runtime import interpreter
from components.runtime.conditions import MISSING_RAW
from components.runtime.integers import Layer, Sum
from components.runtime.scaling import Scaling

from . import forge

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
pytestmark = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")


@pytest.fixture(scope="module")
def network():
    return forge.graph()


@pytest.fixture(scope="module")
def artefact(network):
    return forge.artefact(network)


@pytest.fixture(scope="module")
def device(artefact, tmp_path_factory):
    return forge.build(tmp_path_factory.mktemp("c"), artefact, COMPILERS[0])


samples = st.one_of(st.integers(-32768, 32767), st.sampled_from([MISSING_RAW, -32767, 32767, 0]))


@st.composite
def raw_windows(draw):
    """Windows of any int16, rich in missing values and extremes, some of one value throughout."""
    seed, spread = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 10, 1000, 40000]))
    rng = np.random.default_rng(seed)
    raw = np.clip(rng.normal(draw(samples), spread, (16, 3)), -32768, 32767).astype(np.int16)
    raw[rng.random(raw.shape) < draw(st.sampled_from([0.0, 0.1, 1.0]))] = MISSING_RAW
    return raw


@st.composite
def scalings(draw):
    numbers = st.integers(-32768, 32767), st.integers(0, 2**30)
    return Scaling(*(tuple(draw(n) for _ in range(3)) for n in numbers))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=raw_windows(), scaling=scalings())
def test_any_window_gets_the_surprise_and_classes_of_python(raw, scaling, device, artefact, network):
    device.reset()
    device.scaling = scaling
    surprise, _, classes = device.run(raw)
    codes = scaling.codes(raw[None])
    wanted = artefact.scoring.verdict(codes, interpreter.engine(network)(codes))
    assert (surprise, classes) == (wanted.surprise[0], [c[0] for c in wanted.classes.values()])


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("optional", [(0,), (1, 2), (0, 1, 2)])
def test_what_a_device_lacks_is_read_as_python_reads_it(optional, wide, tmp_path):
    """Whole channels and single samples are missing, of optional channels and of others."""
    made = forge.graph(seed=7, optional=len(optional))
    lacking = forge.artefact(made, optional=optional, wide=wide)
    device = forge.build(tmp_path, lacking, COMPILERS[0])
    assert device.self_test() == 0
    rng = np.random.default_rng(3)
    raw = np.clip(rng.normal(0, 9000, (60, 16, 3)), -32767, 32767).astype(np.int16)
    raw[rng.random(raw.shape) < 0.1] = MISSING_RAW
    raw[np.broadcast_to(rng.random((60, 1, 3)) < 0.4, raw.shape)] = MISSING_RAW
    device.scaling = Scaling((0,) * 3, (900,) * 3)
    codes = device.scaling.codes(raw)
    wanted = lacking.scoring.verdict(codes, interpreter.engine(made, optional)(codes))
    blind = lacking.scoring.verdict(codes, interpreter.engine(made, optional)(np.where(codes == -128, 0, codes).astype(np.int8)))
    assert (wanted.surprise != blind.surprise).any()
    for i, window in enumerate(raw):
        surprise, _, classes = device.run(window)
        assert (surprise, classes) == (wanted.surprise[i], [c[i] for c in wanted.classes.values()])


@pytest.fixture(scope="module", params=COMPILERS)
def with_wide_parts(request, tmp_path_factory):
    """(graph, artefact, device) with a wide part beside each of two heads."""
    made = forge.graph(heads=2)
    artefact = forge.artefact(made, wide=True)
    return made, artefact, forge.build(tmp_path_factory.mktemp("wide"), artefact, request.param, "-pedantic")


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=raw_windows(), scaling=scalings())
def test_any_window_gets_the_classes_that_python_sums_up_from_both_parts(raw, scaling, with_wide_parts):
    made, artefact, device = with_wide_parts
    device.reset()
    device.scaling = scaling
    surprise, _, classes = device.run(raw)
    codes = scaling.codes(raw[None])
    wanted = artefact.scoring.verdict(codes, interpreter.engine(made)(codes))
    assert (surprise, classes) == (wanted.surprise[0], [c[0] for c in wanted.classes.values()])


def test_wide_parts_decide_other_classes_than_the_network_alone(with_wide_parts):
    """What the comparison with C would not notice: parts that are not heard at all."""
    made, artefact, _ = with_wide_parts
    codes = np.random.default_rng(1).normal(0, 40, (64, 16, 3)).astype(np.int8)
    outputs = interpreter.engine(made)(codes)
    both, alone = artefact.scoring.verdict(codes, outputs), replace(artefact.scoring, wide={}).verdict(codes, outputs)
    wide = {task: one.wide.logits(codes).argmax(axis=1) for task, one in artefact.scoring.wide.items()}
    for task, classes in both.classes.items():
        assert (classes != alone.classes[task]).any() and (classes != wide[task]).any()


def test_another_bias_of_a_wide_part_fails_the_self_test(with_wide_parts, tmp_path):
    _, artefact, _ = with_wide_parts
    source = artefact.members["model.c"].decode()
    first = re.search(r"WIDE_BIAS1\[\d+\] = \{-?\d+, (-?\d+)", source)
    changed = source[: first.start(1)] + str(1 << 29) + source[first.end(1) :]
    broken = {**artefact.members, "model.c": changed.encode()}
    assert forge.build(tmp_path, replace(artefact, members=broken)).self_test() > 0


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.3, 0.9, 1.0]), spread=st.sampled_from([0, 5, 3000, 60000]))
def test_a_device_learns_the_scaling_that_python_learns(seed, missing, spread, device, artefact):
    """Streaming, sample by sample, and it asks for exactly as many samples as both phases take."""
    rng = np.random.default_rng(seed)
    raw = np.clip(rng.normal(rng.integers(-30000, 30000), spread, (45, 3)), -32768, 32767).astype(np.int16)
    raw[rng.random(raw.shape) < missing] = MISSING_RAW
    device.reset()
    wants = [device.calibrate(sample) for sample in raw]
    assert wants == [1] * 39 + [0] * 6
    assert device.scaling == artefact.calibration.learn(raw)


def test_until_calibration_ends_the_fleet_scaling_serves(device, artefact):
    device.reset()
    device.calibrate(np.array([1000, -1000, 5], np.int16))
    assert device.scaling == artefact.calibration.fallback


@pytest.mark.parametrize("stride", [1, 5, 16, 21])
def test_a_stream_is_judged_as_its_windows_are(stride, network, tmp_path):
    """Windows that overlap, touch and leave samples out; of the samples that teach the scaling only the last is judged."""
    made = replace(forge.artefact(network, calibration_steps=10), stride=stride)
    made = replace(made, members=emit.sources(made, network_body(made.scoring, network)))
    stream, windows = forge.build(tmp_path, made), forge.build(tmp_path, made)
    samples = np.random.default_rng(stride).integers(-3000, 3000, (200, 3)).astype(np.int16)
    judged = [found for sample in samples if (found := stream.push(sample)) is not None]
    taught = 2 * made.calibration.steps
    for sample in samples[:taught]:
        windows.calibrate(sample)
    starts = range(taught - 1, len(samples) - made.steps + 1, stride)
    assert judged == [windows.run(samples[at : at + made.steps])[:2] for at in starts]


def test_alarms_follow_the_hysteresis_of_python(device, artefact):
    """Calm and wild windows in every order of up to eight."""
    rng = np.random.default_rng(4)
    calm, wild = np.zeros((16, 3), np.int16), rng.choice(np.array([-32767, 32767], np.int16), (16, 3))
    scaling = Scaling((0,) * 3, (900,) * 3)
    heat = {}
    for hot, raw in ((0, calm), (1, wild)):
        device.scaling = scaling
        heat[hot] = device.run(raw)[0]
    assert heat[0] < artefact.scoring.threshold <= heat[1]
    for pattern in range(256):
        bits = [(pattern >> i) & 1 for i in range(8)]
        device.reset()
        device.scaling = scaling
        alarms = [device.run(wild if bit else calm)[1] for bit in bits]
        wanted = artefact.scoring.alarms(np.asarray([heat[b] for b in bits], np.int32))
        assert alarms == wanted.astype(int).tolist()


@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(
    "shape",
    [
        {"width": 1, "channels": 1, "heads": 0},
        {"width": 5, "channels": 2, "kernel": 4, "steps": 9},
        {"width": 12, "channels": 7, "kernel": 15, "steps": 8, "heads": 2},
        {"width": 33, "channels": 1, "kernel": 3, "steps": 64},
    ],
    ids=["smallest", "even kernel", "kernel wider than window", "odd width"],
)
def test_every_shape_compiles_without_a_warning_and_passes_its_self_test(compiler, shape, tmp_path):
    made = forge.artefact(forge.graph(**shape), calibration_steps=0 if shape["width"] == 1 else 20)
    assert forge.build(tmp_path, made, compiler, "-pedantic").self_test() == 0


def test_a_flipped_weight_fails_the_self_test(artefact, tmp_path):
    source = artefact.members["model.c"].decode()
    first = re.search(r"W0\[\d+\] = \{(-?\d+)", source)
    changed = source[: first.start(1)] + str(-int(first[1]) or 99) + source[first.end(1) :]
    broken = {**artefact.members, "model.c": changed.encode()}
    assert forge.build(tmp_path, replace(artefact, members=broken)).self_test() > 0


@pytest.mark.parametrize("wide", [False, True])
def test_sanitizers_find_nothing(network, wide, tmp_path):
    """No undefined behaviour on extreme windows: overflow, shifts, indices, alignment."""
    flags = ("-fsanitize=undefined", "-fno-sanitize-recover=undefined")
    device = forge.build(tmp_path, forge.artefact(network, wide=wide), "gcc", *flags)
    for value in (-32768, -32767, 0, 32767):
        for multiplier in (0, 900, 2**30):
            device.scaling = Scaling((-32768, 0, 32767), (multiplier,) * 3)
            device.run(np.full((16, 3), value, np.int16))
    assert device.self_test() == 0


def test_the_sources_use_no_heap_no_floating_point_and_only_two_library_functions(artefact):
    code = re.sub(
        r"/\*.*?\*/", "", b"".join(artefact.members[n] for n in ("model.h", "model.c", "model_selftest.c")).decode(), flags=re.S
    )
    assert not re.search(r"\b(float|double|malloc|calloc|free|printf)\b", code)
    assert set(re.findall(r"#include <(.+?)>", code)) == {"stdint.h", "string.h", "arm_acle.h"}
    assert set(re.findall(r"\b(mem\w+|str\w+)\(", code)) <= {"memcpy", "memset"}


def test_only_the_kernels_in_use_are_written(artefact, network):
    addition = next(o for o in network.operations if isinstance(o, Sum))
    layers = [o for o in network.operations if isinstance(o, Layer)]
    bypassed = tuple(replace(o, source=addition.sources[1]) if o.source == addition.target else o for o in layers)
    without = network_body(artefact.scoring, replace(network, operations=bypassed)).code
    assert "addition" in artefact.members["model.c"].decode()
    assert "addition" not in without


@pytest.mark.parametrize("seed", range(5))
def test_tensors_that_live_together_do_not_overlap(seed):
    made = forge.graph(width=4 + 3 * seed, steps=8 + seed, heads=2)
    plan, lives = arena.plan(made), arena.lifetimes(made)
    for a in lives:
        for b in lives:
            together = a != b and lives[a][0] <= lives[b][1] and lives[b][0] <= lives[a][1]
            if together:
                first, second = sorted((a, b), key=lambda t: plan.offsets[t])
                assert plan.offsets[first] + made.tensors[first].size <= plan.offsets[second]
    assert plan.size >= max(plan.offsets[t] + made.tensors[t].size for t in lives)
