"""Boosted trees from elsewhere: read without trust, the same decisions in integers, the same integers in C."""

from __future__ import annotations

import copy
import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.quantization.imported.boosted.grid import random_rows, sampling_for
from components.quantization.imported.boosted.integers import integer_trees, limits
from components.quantization.imported.boosted.xgboost_file import MOST_DEPTH, read_ensemble
from components.quantization.targets.c99.rows import row_sources
from components.quantization.targets.c99.text import kernel
from components.quantization.targets.onnx_ensemble import ensemble_graph
from components.runtime.ensemble import labels
from components.runtime.sampling import Sampling, missing_sample
from components.runtime.scaling import Converter
from components.workspace.errors import InputError

from . import boosters

COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
needs_compiler = pytest.mark.skipif(not COMPILERS, reason="no C compiler (Debian: gcc libc6-dev)")
EVERY_SAMPLE = np.arange(-32768, 32768).astype(np.int16)[:, None]


def sampling(features, bits=16):
    return Sampling(Converter((1.0,) * features, (0.0,) * features), bits, exact=True)


def read(document) -> object:
    return read_ensemble(json.dumps(document).encode())


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("kind", boosters.OBJECTIVES)
def test_margins_and_classes_are_those_of_xgboost(kind, missing):
    model, (x, _) = boosters.booster(kind, missing), boosters.data(missing)
    ensemble, wanted = read_ensemble(bytes(model.save_raw("json"))), boosters.margins(model, x)
    assert ensemble.margins(x) == pytest.approx(wanted, abs=1e-5)
    if kind in {"forest a round", "hinge"}:
        import xgboost as xgb

        assert np.array_equal(labels(ensemble.kind, ensemble.margins(x)), model.predict(xgb.DMatrix(x)))


@pytest.mark.parametrize("kind", ["softprob", "logistic", "hinge", "squared error"])
def test_onnx_runtime_says_what_xgboost_says(kind):
    import onnxruntime
    import xgboost as xgb

    model, (x, _) = boosters.booster(kind, 0.2), boosters.data(0.2)
    session = onnxruntime.InferenceSession(ensemble_graph(read_ensemble(bytes(model.save_raw("json")))))
    said = dict(zip([o.name for o in session.get_outputs()], session.run(None, {"features": x}), strict=True))
    wanted = boosters.margins(model, x)
    assert said["margins"] == pytest.approx(wanted, abs=1e-5)
    if kind == "softprob":
        assert said["probabilities"] == pytest.approx(model.predict(xgb.DMatrix(x)), abs=1e-6)
        assert np.array_equal(said["label"], wanted.argmax(axis=1))
    if kind == "logistic":
        assert said["probabilities"][:, 1] == pytest.approx(model.predict(xgb.DMatrix(x)), abs=1e-6)
    assert (
        set(said)
        == {
            "softprob": {"margins", "label", "probabilities"},
            "logistic": {"margins", "label", "probabilities"},
            "hinge": {"margins", "label"},
            "squared error": {"margins"},
        }[kind]
    )


@settings(max_examples=40, deadline=None)
@given(
    lsb=st.floats(1e-6, 1e3),
    offset=st.floats(-1e4, 1e4),
    places=st.lists(st.integers(-33_000, 33_000), min_size=1, max_size=6),
    nudge=st.sampled_from([0.0, 0.5, 1e-7, -0.25]),
    missing_left=st.booleans(),
)
def test_every_sample_of_a_converter_is_decided_as_in_float(lsb, offset, places, nudge, missing_left):
    """On and between the numbers that the converter can give, beyond its ends, and for a missing sample."""
    ensemble = boosters.ensemble([(place + nudge) * lsb + offset for place in places], missing_left=missing_left)
    given_steps = sampling_for(ensemble, (lsb,), (offset,), None)
    trees = integer_trees(ensemble, given_steps)
    got, wanted = trees.margins(EVERY_SAMPLE), ensemble.margins(given_steps.numbers(EVERY_SAMPLE))
    assert np.array_equal(np.ldexp(got.astype(float), -trees.bits), wanted)


def test_numbers_on_a_decimal_grid_are_not_rounded():
    """Also where a threshold is one of the numbers, as XGBoost's are."""
    model, (x, _) = boosters.booster("softprob", 0.1), boosters.data(0.1)
    ensemble = read_ensemble(bytes(model.save_raw("json")))
    derived = sampling_for(ensemble, (), (), x)
    assert set(derived.converter.lsb) == {0.01}
    trees = integer_trees(ensemble, derived)
    got = trees.margins(derived.raw(x))
    assert np.ldexp(got.astype(float), -trees.bits) == pytest.approx(ensemble.margins(x), abs=1e-3)
    assert np.array_equal(labels(trees.kind, got), labels(trees.kind, ensemble.margins(x)))


def test_samples_of_32_bits_tell_numbers_apart_that_those_of_16_do_not():
    """Thresholds close together, and one far away."""
    thresholds = [float(np.float32(1 + i / 4096)) for i in range(20)] + [1e4]
    ensemble = boosters.ensemble(thresholds)
    x = np.repeat(np.asarray(thresholds, np.float32), 2)[:, None]
    x[1::2] = np.nextafter(x[1::2], np.float32(0))
    away = []
    for bits in (16, 32):
        found = sampling_for(ensemble, (), (), None, bits)
        trees = integer_trees(ensemble, found)
        got = np.ldexp(trees.margins(found.raw(x)).astype(float), -trees.bits)
        away.append(np.abs(got - ensemble.margins(x)).max())
    assert away[0] > 1
    assert away[1] <= 1


@pytest.mark.parametrize("bits", [16, 32])
def test_a_converter_of_either_width_is_followed_to_its_ends(bits):
    ensemble = boosters.ensemble([-(2.0**40), 0.5, 2.0**40], missing_left=False)
    own = sampling(1, bits)
    trees = integer_trees(ensemble, own)
    samples = np.asarray([[own.missing], [-own.highest], [0], [1], [own.highest]], f"i{bits // 8}")
    assert len(trees.limit) == 2
    assert np.ldexp(trees.margins(samples)[:, 0].astype(float), -trees.bits).tolist() == [3, 1, 1, 2, 2]


@pytest.mark.parametrize("exact", [True, False])
def test_random_rows_go_both_ways_at_the_root_of_every_tree(exact):
    ensemble = read_ensemble(bytes(boosters.booster("softprob").save_raw("json")))
    own = sampling_for(ensemble, (0.01,) if exact else (), (), None)
    rows, limit = random_rows(ensemble, own), limits(ensemble, own)
    assert np.array_equal(rows, random_rows(ensemble, own), equal_nan=True)
    for root in ensemble.roots[ensemble.inner[ensemble.roots]]:
        samples = own.raw(rows)[:, ensemble.feature[root]]
        right = samples[samples != own.missing] > limit[root]
        assert right.any() and not right.all()


@pytest.mark.parametrize(("lsb", "left"), [((), 3), ((1e-3,), 2)])
def test_questions_that_no_sample_answers_otherwise_are_left_out(lsb, left):
    """Where missing samples go left all the same: what lies above all samples is no question."""
    ensemble = boosters.ensemble([-1e6, 0.0, 1e6])
    assert len(integer_trees(ensemble, sampling_for(ensemble, lsb, (), None)).limit) == left


SHAPES = {
    "one feature": (1, 60, 3, "left", 30_000, False),
    "few features": (20, 30, 7, "right", 30_000, False),
    "many features": (200, 60, 30, "mixed", 30_000, False),
    "more features than a byte numbers": (900, 80, 100, "mixed", 100, False),
    "large trees": (4096, 4, 16_000, "mixed", 100, False),
    "no question": (3, 5, 0, "left", 30_000, False),
    "equal leaves": (4, 200, 15, "right", 3, False),
    "a table of questions": (200, 60, 30, "right", 30_000, True),
}


@pytest.mark.slow
@needs_compiler
@pytest.mark.parametrize("bits", [16, 32])
@pytest.mark.parametrize("shape", SHAPES)
def test_c_repeats_every_margin_in_every_layout(shape, bits, tmp_path):
    features, count, nodes, missing, leaves, uneven = SHAPES[shape]
    trees = boosters.integer(len(shape), features, count, nodes, missing=missing, leaves=leaves, bits=bits, uneven=uneven)
    rng = np.random.default_rng(1)
    lowest = missing_sample(bits)
    ends = [lowest, lowest + 1, -lowest - 1, 0]
    raw = rng.choice([*np.unique(trees.limit), *ends], (300, features)).astype(f"i{bits // 8}")
    sources = row_sources(trees, "t", "0", sampling(features, bits), (), (), raw[:4])
    for name, text in (sources | {"host.c": kernel("rows_host.c").encode()}).items():
        (tmp_path / name).write_bytes(text)
    for compiler in COMPILERS:
        strict = ["-std=c99", "-O2", "-Wall", "-Wextra", "-Werror", "-pedantic", "-Wshadow"]
        checked = ["-fsanitize=address,undefined", "-fno-sanitize-recover"] if compiler == "gcc" else []
        command = [compiler, *strict, *checked, "model.c", "model_selftest.c", "host.c", "-o", "host"]
        subprocess.run(command, cwd=tmp_path, check=True)
        done = subprocess.run([tmp_path / "host"], input=raw.tobytes(), capture_output=True, check=True)
        assert np.array_equal(np.frombuffer(done.stdout, np.int32).reshape(len(raw), -1), trees.margins(raw))


@pytest.mark.parametrize(
    ("features", "limit_count", "uneven", "layout"),
    [(8, 5, False, "RANK"), (8, 10_000, False, "LIMIT_BITS"), (200, 200, True, "QUESTION")],
)
def test_the_smallest_layout_is_taken(features, limit_count, uneven, layout):
    """Thresholds of a feature are shared, none is, or whole questions are."""
    made = boosters.integer(5, features, 200, 15, limit_count=limit_count, uneven=uneven)
    sources = row_sources(made, "t", "0", sampling(features), (), (), np.zeros((2, features), np.int16))
    found = {name for name in ("RANK", "LIMIT_BITS", "QUESTION") if f"#define {name}(" in sources["model.c"].decode()}
    assert found == {layout}


def damage(change):
    def made(document):
        change(document["learner"], document["learner"]["gradient_booster"]["model"]["trees"][0])

    return made


def setting(key, value):
    return damage(lambda learner, tree: tree.__setitem__(key, value(tree[key]) if callable(value) else value))


def first(value):
    return lambda old: [value, *old[1:]]


DAMAGE = {
    "child beyond the end": setting("left_children", first(10_000)),
    "child before the root": setting("right_children", first(-2)),
    "a cycle": setting("left_children", first(0)),
    "two parents": damage(lambda _, tree: tree["left_children"].__setitem__(0, tree["right_children"][0])),
    "one child": setting("left_children", first(-1)),
    "a short table": setting("split_conditions", lambda old: old[:-1]),
    "a nested table": setting("split_conditions", lambda old: [[v] for v in old]),
    "words": setting("split_conditions", lambda old: ["1.0"] * len(old)),
    "an infinite threshold": setting("split_conditions", first(1e300)),
    "a feature beyond the model's": setting("split_indices", first(boosters.FEATURES)),
    "a huge number": setting("split_indices", first(10**40)),
    "a lying count": damage(lambda _, tree: tree["tree_param"].__setitem__("num_nodes", "3")),
    "categories": setting("split_type", first(1)),
    "vectors at leaves": damage(lambda _, tree: tree["tree_param"].__setitem__("size_leaf_vector", "3")),
    "a class beyond the model's": damage(lambda of, _: of["gradient_booster"]["model"]["tree_info"].__setitem__(0, 7)),
    "no trees": damage(lambda of, _: of["gradient_booster"]["model"].__setitem__("trees", [])),
    "no features": damage(lambda of, _: of["learner_model_param"].__setitem__("num_feature", "0")),
    "too many features": damage(lambda of, _: of["learner_model_param"].__setitem__("num_feature", "100000000")),
    "a score that is none": damage(lambda of, _: of["learner_model_param"].__setitem__("base_score", "[1,2]")),
    "another booster": damage(lambda of, _: of["gradient_booster"].__setitem__("name", "gblinear")),
    "another objective": damage(lambda of, _: of["objective"].__setitem__("name", "count:poisson")),
}


@pytest.fixture(scope="module")
def document():
    return boosters.document()


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_or_uncovered_model_is_refused(kind, document):
    changed = copy.deepcopy(document)
    DAMAGE[kind](changed)
    with pytest.raises(InputError) as error:
        read(changed)
    assert error.value.hint


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"learner": 3}', b"\xff\xfe", b"[" * 100_000, b'{"learner": NaN}', b"9" * 5000]
)
def test_what_is_no_model_is_refused(data):
    with pytest.raises(InputError):
        read_ensemble(data)


def test_a_tree_that_is_too_deep_is_refused(document):
    changed, depth = copy.deepcopy(document), MOST_DEPTH + 1
    tree, size = changed["learner"]["gradient_booster"]["model"]["trees"][0], 2 * depth + 1
    tree["left_children"] = [i + 1 if i % 2 == 0 and i < size - 1 else -1 for i in range(size)]
    tree["right_children"] = [i + 2 if i % 2 == 0 and i < size - 1 else -1 for i in range(size)]
    tree["tree_param"]["num_nodes"] = str(size)
    with pytest.raises(InputError, match="deeper"):
        read(changed)


_ANY = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(draw=st.data())
def test_a_file_with_anything_in_one_place_is_read_or_refused(draw, document):
    changed = copy.deepcopy(document)
    at = changed
    while True:
        keys = sorted(at) if isinstance(at, dict) else range(len(at))
        key = draw.draw(st.sampled_from(keys))
        if not isinstance(at[key], dict | list) or not at[key] or draw.draw(st.integers(0, 5)) == 0:
            break
        at = at[key]
    at[key] = draw.draw(_ANY)
    try:
        found = read(changed)
    except InputError:
        return
    assert found.margins(np.zeros((2, found.features), np.float32)).shape == (2, len(found.bias))


def test_names_of_features_cannot_end_a_comment(document):
    trees = boosters.integer(1, 2, 3, 3)
    sources = row_sources(trees, "*/ int x;", "0", sampling(2), ("a*/", "b\n#error"), (), np.zeros((2, 2), np.int16))
    text = sources["model.h"].decode()
    assert "a__" in text
    assert not re.search(r"\*/ int x|^#error", text, re.M)
