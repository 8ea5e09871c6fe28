"""Trees are the same integers everywhere: in Python, in ONNX Runtime and in C."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from components.quantization.targets.trees import compile_trees
from components.runtime.conditions import MISSING_RAW
from components.runtime.scaling import MISSING_CODE, Scaling
from components.runtime.window_features import window_features

from . import boosted, forge, plant

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
SHAPES = [(8, 1), (9, 2), (32, 5), (60, 3), (100, 2), (512, 1)]
FLAT = Scaling((0,) * 8, (65536,) * 8)


@pytest.fixture(scope="module", params=SHAPES, ids=[f"{steps}x{channels}" for steps, channels in SHAPES])
def made(request):
    return boosted.model(*request.param, tasks=2)


def python(model, codes):
    features = window_features(codes)
    return {task: trees.logits(features) for task, trees in model.trees.items()}


@pytest.mark.parametrize("seed", range(4))
def test_onnx_runtime_finds_the_integers_of_python(made, seed):
    engine = compile_trees(plant.profile("onnxruntime"), made).engine
    codes = boosted.codes(60, made.steps, len(made.channels), seed)
    got, wanted = engine(codes).logits, python(made, codes)
    assert got.keys() == wanted.keys()
    for task, logits in wanted.items():
        assert got[task].dtype == np.int32
        assert np.array_equal(got[task], logits)


@needs_compiler
@pytest.mark.parametrize("compiler", COMPILERS)
def test_c_finds_the_verdicts_of_python(made, compiler, tmp_path):
    artefact = boosted.artefact(made)
    device = forge.build(tmp_path, artefact, compiler, "-pedantic")
    assert device.self_test() == 0
    codes = boosted.codes(200, made.steps, len(made.channels), 7)
    raw = np.where(codes == MISSING_CODE, MISSING_RAW, codes.astype(np.int16)).astype(np.int16)
    wanted = artefact.scoring.verdict(codes, boosted_outputs(made, codes))
    device.scaling = Scaling((0,) * len(made.channels), (65536,) * len(made.channels))
    for i, window in enumerate(raw):
        surprise, _, classes = device.run(window)
        assert (surprise, classes) == (wanted.surprise[i], [wanted.classes[t][i] for t in sorted(wanted.classes)])


def boosted_outputs(model, codes):
    from components.runtime.surprise import Outputs

    return Outputs.of_trees(python(model, codes))
