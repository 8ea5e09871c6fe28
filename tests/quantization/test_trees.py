"""Trees are the same integers everywhere: in Python, in ONNX Runtime and in C."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components.quantization.selftest import mismatches
from components.quantization.targets.trees import compile_trees
from components.runtime.conditions import MISSING_RAW
from components.runtime.engines import open_engine
from components.runtime.scaling import MISSING_CODE, Scaling
from components.runtime.trees import tree_outputs
from components.values import Artefact, TrainedModel
from components.workspace.errors import InputError

from . import boosted, forge, plant

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
SHAPES = [(8, 1), (9, 2), (32, 5), (60, 14), (100, 2), (512, 1)]


@pytest.fixture(scope="module", params=SHAPES, ids=[f"{steps}x{channels}" for steps, channels in SHAPES])
def made(request):
    return boosted.model(*request.param, tasks=2)


@pytest.fixture(scope="module")
def engine(made):
    return compile_trees(plant.profile("onnxruntime"), made).engine


@pytest.fixture(scope="module")
def small():
    return boosted.model()


@pytest.fixture(scope="module")
def artefact(small):
    return boosted.artefact(small)


@pytest.fixture(scope="module")
def device(artefact, tmp_path_factory):
    return forge.build(tmp_path_factory.mktemp("c"), artefact, COMPILERS[0])


def said(device, codes):
    """(surprise, classes, values) of each window as the C code has them, for a sensor whose raw samples are codes."""
    raw = np.where(codes == MISSING_CODE, np.int16(MISSING_RAW), codes.astype(np.int16))
    return said_of(device, raw, Scaling((0,) * codes.shape[2], (65536,) * codes.shape[2]))


def said_of(device, raw, scaling):
    device.reset()
    device.scaling = scaling
    found = []
    for window in raw:
        surprise, _, classes = device.run(window)
        found.append((surprise, classes, device.values(window)))
    return found


def wanted(model, artefact, codes):
    verdict = artefact.scoring.verdict(codes, tree_outputs(model.trees, codes))
    classes, values = ([found[task] for task in sorted(found)] for found in (verdict.classes, verdict.values))
    return [(verdict.surprise[i], [c[i] for c in classes], [v[i] for v in values]) for i in range(len(codes))]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.1, 0.6]))
def test_onnx_runtime_puts_out_the_integers_of_python(seed, missing, made, engine):
    codes = boosted.codes(30, made.steps, len(made.channels), seed, missing)
    got, right = engine(codes), tree_outputs(made.trees, codes)
    assert {task: a.tolist() for task, a in got.logits.items()} == {task: a.tolist() for task, a in right.logits.items()}
    assert {task: a.tolist() for task, a in got.numbers.items()} == {task: a.tolist() for task, a in right.numbers.items()}


@needs_compiler
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32 - 1), missing=st.sampled_from([0.0, 0.1, 0.6]), multiplier=st.integers(0, 2**20))
def test_c_gives_the_verdicts_of_python_on_any_window(seed, missing, multiplier, small, artefact, device):
    shape = 20, small.steps, len(small.channels)
    raw = boosted.codes(*shape, seed, missing).astype(np.int16) * 30
    raw = np.where(raw == 30 * MISSING_CODE, np.int16(MISSING_RAW), raw + np.int16(seed % 99))
    scaling = Scaling((5, -300, 1000), (multiplier, 2200, 65536))
    assert said_of(device, raw, scaling) == wanted(small, artefact, scaling.codes(raw))


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_of_every_shape_compiles_without_a_warning_and_agrees(compiler, made, tmp_path):
    artefact = boosted.artefact(made)
    device = forge.build(tmp_path, artefact, compiler, "-pedantic")
    assert device.self_test() == 0
    codes = boosted.codes(100, made.steps, len(made.channels), 7)
    assert said(device, codes) == wanted(made, artefact, codes)


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
@pytest.mark.parametrize(("tasks", "number"), [(0, True), (1, False)], ids=["numbers only", "classes only"])
def test_a_model_of_one_kind_of_task_leaves_the_code_of_the_other_out(compiler, tasks, number, tmp_path):
    model = boosted.model(tasks=tasks, number=number)
    artefact = boosted.artefact(model)
    device = forge.build(tmp_path, artefact, compiler, "-pedantic")
    codes = boosted.codes(50, model.steps, len(model.channels), 3)
    assert said(device, codes) == wanted(model, artefact, codes)
    assert (b"log_odds" in artefact.members["model.c"]) == (tasks > 0)
    assert (b"value_of" in artefact.members["model.c"]) == number


@needs_compiler
def test_sanitizers_find_nothing(artefact, tmp_path):
    """No undefined behaviour on extreme windows: overflow, shifts, indices, alignment."""
    device = forge.build(tmp_path, artefact, "gcc", "-fsanitize=undefined", "-fno-sanitize-recover=undefined")
    for value in (-32768, -32767, 0, 32767):
        for multiplier in (0, 900, 2**30):
            device.scaling = Scaling((-32768, 0, 32767), (multiplier,) * 3)
            device.run(np.full((16, 3), value, np.int16))
    assert device.self_test() == 0


@needs_compiler
@pytest.mark.parametrize("table", ["FEATURE0", "THRESHOLD0", "LEAF0", "BIAS0"])
def test_changed_numbers_of_the_trees_fail_the_self_test(table, artefact, tmp_path):
    source = artefact.members["model.c"].decode()
    values = re.search(rf"{table}\[\d+\] = \{{([^}}]*)", source)
    changed = re.sub(r"-?\d+", lambda m: str((int(m[0]) + 7) % 20 if table == "FEATURE0" else -int(m[0]) - 999), values[1])
    source = source[: values.start(1)] + changed + source[values.end(1) :]
    broken = replace(artefact, members={**artefact.members, "model.c": source.encode()})
    assert forge.build(tmp_path, broken).self_test() > 0


def test_the_sources_use_no_heap_no_floating_point_and_only_two_library_functions(artefact):
    code = re.sub(r"/\*.*?\*/", "", b"".join(artefact.members[n] for n in ("model.h", "model.c")).decode(), flags=re.S)
    assert not re.search(r"\b(float|double|malloc|calloc|free|printf)\b", code)
    assert set(re.findall(r"#include <(.+?)>", code)) == {"stdint.h", "string.h"}
    assert set(re.findall(r"\b(mem\w+|str\w+)\(", code)) <= {"memcpy", "memset"}


def test_levels_that_decide_nothing_are_not_written(small, artefact):
    """The first tree of a task is one leaf, the second has no use for its last level."""
    depths = re.search(r"DEPTH1\[\d+\] = \{([\d, \n]*)\}", artefact.members["model.c"].decode())
    assert sorted(small.trees) == ["anomaly", "task0", "wear"]
    assert [int(v) for v in depths[1].split(",")].count(0) == 1
    assert [int(v) for v in depths[1].split(",")].count(2) == 1


def test_an_artefact_of_trees_survives_its_file_and_passes_its_self_test(small, tmp_path):
    artefact = boosted.artefact(small, "onnxruntime")
    again = Artefact.load(artefact.save(tmp_path))
    assert (again.scoring, again.to_bytes()) == (artefact.scoring, artefact.to_bytes())
    assert again.self_test.tolerance == 0
    engine = open_engine(again.runtime, again.members, again.tensors)
    assert mismatches(again, engine) == 0
    bent = replace(again, self_test=replace(again.self_test, surprise=again.self_test.surprise + 1))
    assert mismatches(bent, engine) == len(bent.self_test.surprise)


def test_a_model_of_trees_survives_its_file(small, tmp_path):
    small.save(tmp_path)
    again = TrainedModel.load(tmp_path)
    assert (again.heads, again.steps, again.kind) == (small.heads, small.steps, "gradient_boosting")
    codes = boosted.codes(20, small.steps, len(small.channels), 5)
    before, after = tree_outputs(small.trees, codes), tree_outputs(again.trees, codes)
    assert all(np.array_equal(after.logits[task], logits) for task, logits in before.logits.items())
    assert np.array_equal(after.numbers["wear"], before.numbers["wear"])


def test_a_runtime_without_trees_is_refused_by_name(small):
    with pytest.raises(InputError, match="LiteRT has no trees"):
        compile_trees(plant.profile("litert"), small)
