"""Programs of torch.export: copied without what could run code, then ONNX."""

from __future__ import annotations

import json
import pickle
import zipfile

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from components.quantization.imported.exported_programs.archive import copy_plain
from components.quantization.imported.exported_programs.program import plain_program
from components.workspace.errors import InputError
from muster.commands import artefact, model


def run(app, *arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


class Harm:
    def __init__(self, place):
        self.place = place

    def __reduce__(self):
        return (self.place.touch, ())


def program(**changes):
    """The smallest program, as `torch.export.save` writes one."""
    node = {
        "target": "torch.ops.aten.relu.default",
        "inputs": [],
        "outputs": [],
        "metadata": {"stack_trace": "/home/someone/net.py"},
    }
    spec = json.dumps([1, {"type": "builtins.tuple", "context": "null", "children_spec": []}])
    graph = {"nodes": [node | changes.pop("node", {})], "custom_obj_values": {}, "sizes": changes.pop("sizes", [])}
    call = [{"fqn": "", "signature": {"in_spec": changes.pop("spec", spec), "out_spec": spec}}]
    module = {"graph": graph | changes.pop("graph", {}), "module_call_graph": call, "treespec_namedtuple_fields": {}}
    return json.dumps({"graph_module": module, "guards_code": ["harm()"]} | changes).encode()


def archive(place, inside=None, config=None, more=(), compression=zipfile.ZIP_STORED):
    told = {"path_name": "weight_0", "is_param": True, "use_pickle": False, "tensor_meta": {}}
    with zipfile.ZipFile(place, "w", compression) as made:
        for name in ("archive_format", "archive_version", "byteorder", ".data/version"):
            made.writestr(f"net/{name}", "pt2")
        made.writestr("net/models/model.json", program() if inside is None else inside)
        made.writestr("net/data/sample_inputs/model.pt", pickle.dumps(Harm(place.parent / "harm")))
        made.writestr("net/data/weights/model_weights_config.json", json.dumps({"config": {"w": told | (config or {})}}))
        made.writestr("net/data/weights/weight_0", b"1234")
        made.writestr("net/data/constants/model_constants_config.json", json.dumps({"config": {}}))
        for name in more:
            made.writestr(name, b"{}")
    return place


def test_the_copy_holds_no_pickle_and_no_trace_of_where_it_was_written(tmp_path):
    copy_plain(archive(tmp_path / "m.pt2", more=("net/extra/code.py",)), tmp_path / "copy.pt2")
    with zipfile.ZipFile(tmp_path / "copy.pt2") as made:
        assert made.read("net/data/sample_inputs/model.pt") == b""
        assert made.read("net/data/weights/weight_0") == b"1234"
        assert "net/extra/code.py" not in made.namelist()
        kept = json.loads(made.read("net/models/model.json"))
    assert kept["guards_code"] == []
    assert "someone" not in json.dumps(kept)


SYMBOL = "Symbol('s77', positive=True, integer=True)"


@pytest.mark.parametrize("expression", [SYMBOL, f"Mul(Integer(4), {SYMBOL})", "12", "Symbol('u0', integer=True)"])
def test_sizes_that_depend_on_the_batch_are_taken(expression):
    assert plain_program(program(sizes=[{"as_expr": {"expr_str": expression}}]))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"node": {"target": "torch.hub.load"}}, r"operator torch\.hub"),
        ({"node": {"target": "torch.ops.evil.run.default"}}, "operator"),
        ({"node": {"target": "torch.ops.aten.from_file.default"}}, "operator"),
        ({"node": {"target": "torch.ops.higher_order.cond"}}, "operator"),
        ({"node": {"target": "_operator.methodcaller"}}, "operator"),
        ({"node": {"inputs": [{"arg": {"as_operator": "torch.load"}}]}}, "argument of kind operator"),
        ({"node": {"inputs": [{"arg": {"as_graph": {}}}]}}, "argument of kind graph"),
        ({"graph": {"custom_obj_values": {"x": {}}}}, "objects"),
        ({"sizes": [{"expr_str": "__import__('os').system('true')"}]}, "expression"),
        ({"sizes": [{"expr_str": "Pow(Integer(9), Integer(999999999))"}]}, "expression"),
        (
            {"spec": json.dumps([1, {"type": "collections.defaultdict", "context": "[]", "children_spec": []}])},
            "arguments of type",
        ),
        ({"graph_module": None}, "no exported program"),
    ],
)
def test_programs_that_reach_further_than_arithmetic_are_refused(changes, says, tmp_path):
    with pytest.raises(InputError, match=says) as error:
        copy_plain(archive(tmp_path / "m.pt2", program(**changes)), tmp_path / "copy.pt2")
    assert error.value.hint


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ({"config": {"use_pickle": True}}, "pickled"),
        ({"config": {"path_name": "../../etc/passwd"}}, "in a file"),
        ({"config": {"path_name": "weight_9"}}, "no exported program"),
        ({"more": ("net/models/second.json",)}, "2 programs"),
        ({"compression": zipfile.ZIP_DEFLATED}, "compressed"),
        ({"inside": b"[" * 100_000}, "no exported program"),
    ],
)
def test_archives_that_hold_more_than_plain_tensors_are_refused(kind, says, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((8, 3), np.float32))
    place = archive(tmp_path / "m.pt2", **kind)
    with pytest.raises(InputError, match=says) as error:
        run(model.app, "import", place, "--name", "m", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy")
    assert str(place) in error.value.message
    assert not (tmp_path / "harm").exists()
    assert not (tmp_path / "kept").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("damaged")
    archive(place / "whole.pt2")
    return place


@settings(max_examples=100, deadline=None)
@given(draw=st.data())
def test_any_damage_is_refused_or_harmless(folder, draw):
    whole = bytearray((folder / "whole.pt2").read_bytes())
    whole[draw.draw(st.integers(0, len(whole) - 1))] ^= draw.draw(st.integers(1, 255))
    (folder / "m.pt2").write_bytes(whole[: draw.draw(st.integers(len(whole) // 2, len(whole)))])
    try:
        copy_plain(folder / "m.pt2", folder / "copy.pt2")
    except InputError as error:
        assert error.hint
    assert not (folder / "harm").exists()


def test_pickled_modules_are_pointed_to_the_export(tmp_path):
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as made:
        made.writestr("m/data.pkl", pickle.dumps(Harm(tmp_path / "harm")))
    (tmp_path / "m.pth").write_bytes(pickle.dumps(Harm(tmp_path / "harm")))
    for name in ("m.pt", "m.pth"):
        with pytest.raises(InputError, match="pickle") as error:
            run(model.app, "import", tmp_path / name, "--name", "m", "--out", tmp_path / "kept")
        assert "torch.export.save" in str(error.value)
    assert not (tmp_path / "harm").exists()


@pytest.mark.slow
@pytest.mark.parametrize("batch", ["fixed", "open"])
def test_an_exported_program_is_taken_in_and_proven(batch, tmp_path):
    import torch
    from torch import nn

    torch.manual_seed(0)
    layers = (nn.Conv1d(3, 8, 5, padding=2), nn.BatchNorm1d(8), nn.ReLU(), nn.AvgPool1d(4), nn.Flatten(), nn.Linear(64, 3))
    net, rows = nn.Sequential(*layers).eval(), np.random.default_rng(0).normal(0, 1, (40, 3, 32)).astype(np.float32)
    size = {"fixed": 1, "open": 2}[batch]
    shapes = {"input": {0: torch.export.Dim("batch")}} if batch == "open" else None
    exported = torch.export.export(net, (torch.zeros(size, 3, 32),), dynamic_shapes=shapes)
    torch.export.save(exported, tmp_path / "net.pt2")
    np.save(tmp_path / "x.npy", rows)
    (tmp_path / "gateway.yaml").write_text(
        yaml.safe_dump(
            {
                "name": "gateway",
                "description": "a gateway",
                "arch": {"family": "x86-64", "cpu": "any"},
                "memory": {"model_flash_kib": 64, "model_ram_kib": 200_000},
                "runtime": {"name": "onnxruntime", "minimal": "1.20"},
                "numeric": {"max_value_shift": 0.1},
            }
        )
    )
    about = ("--name", "net", "--out", tmp_path / "kept", "--examples", tmp_path / "x.npy", "--json")
    found = json.loads(run(model.app, "import", tmp_path / "net.pt2", *about).stdout)["data"]
    assert found["input"]["shape"] == [1, 3, 32]
    assert found["origin"]["file"] == "net.pt2"
    run(artefact.app, "build", tmp_path / "kept", "--profile", tmp_path / "gateway.yaml", "--out", tmp_path / "made")
    wanted = np.load(tmp_path / "made" / "golden_wanted.npy")
    golden = torch.from_numpy(np.load(tmp_path / "made" / "golden_inputs.npy").reshape(-1, 3, 32))
    assert np.abs(net(golden).detach().numpy() - wanted).max() < 1e-5
    assert json.loads(run(artefact.app, "prove", tmp_path / "made", "--profile", tmp_path / "gateway.yaml", "--json").stdout)[
        "data"
    ]["passed"]
