"""Learning curves: what the loop records, what its file keeps, and what TensorBoard reads."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from components.models.telemetry_electra import Encoder
from components.training.checkpoint import Checkpoints
from components.training.device import placed_on, precision, training_device
from components.training.events import FILE, write_events
from components.training.loop import RECORD_EVERY, Engine, Losses, Phase, run_phase
from components.training.train import train
from components.values import Architecture, Head, Windows
from components.values.curves import Point, load_curves, save_curves
from components.workspace.errors import InputError
from tests.training.quick import labels_of, quick_windows, quick_workspace, statistics_of


def _engine(curve: list[Point] | None = None) -> Engine:
    return Engine(torch.device("cpu"), lambda *_: None, Checkpoints(), curve if curve is not None else [])


def _line() -> tuple[torch.nn.ModuleDict, torch.nn.Linear]:
    torch.manual_seed(1)
    line = torch.nn.Linear(1, 1)
    return torch.nn.ModuleDict({"line": line}), line


def test_a_phase_lowers_its_losses_and_records_both_parts_to_the_last_step() -> None:
    modules, line = _line()

    def losses(random: torch.Generator) -> Losses:
        x = torch.rand((16, 1), generator=random)
        return {"fit": ((line(x) - 3 * x) ** 2).mean(), "size": 1e-3 * line.weight.abs().sum()}

    engine = _engine()
    run_phase(engine, Phase("learn", 3 * RECORD_EVERY + 7, 0.1, 5), modules, losses, lambda r: {"validation": losses(r)})
    trained = [p for p in engine.curve if p.part == "train"]
    held = [p for p in engine.curve if p.part == "validation"]
    assert [p.step for p in trained] == [25, 50, 75, 82]
    assert held[-1].step == 82
    assert held[-1].losses["fit"] < held[0].losses["fit"]
    assert set(trained[0].losses) == {"fit", "size"}
    assert trained[0].total == pytest.approx(sum(trained[0].losses.values()))


def test_validation_changes_neither_weights_nor_modes_nor_random_numbers() -> None:
    def trained(validation: bool) -> torch.Tensor:
        torch.manual_seed(1)
        norm = torch.nn.BatchNorm1d(1)
        modules = torch.nn.ModuleDict({"norm": norm, "line": torch.nn.Linear(1, 1)})

        def losses(random: torch.Generator) -> Losses:
            assert norm.training == torch.is_grad_enabled()
            return {"fit": (modules["line"](norm(torch.rand((16, 1), generator=random))) ** 2).mean()}

        def watch(random: torch.Generator) -> dict[str, Losses]:
            return {"validation": losses(random)} if validation else {}

        run_phase(_engine(), Phase("learn", 60, 0.1, 5), modules, losses, watch)
        return torch.cat([p.flatten() for p in [*modules.parameters(), *modules.buffers()]])

    assert torch.equal(trained(True), trained(False))


def test_losses_beyond_all_bounds_are_an_input_error_with_a_way_out() -> None:
    modules, line = _line()
    with pytest.raises(InputError, match="diverged in learn before step 25") as error:
        run_phase(
            _engine(), Phase("learn", 50, 0.1, 5), modules, lambda _: {"fit": line.weight.sum() * float("nan")}, lambda _: {}
        )
    assert "learning_rate" in error.value.hint


def test_no_steps_leave_the_network_as_it_was_drawn() -> None:
    modules, line = _line()
    before, engine = line.weight.clone(), _engine()
    run_phase(engine, Phase("learn", 0, 0.1, 5), modules, lambda _: {"fit": line.weight.sum()}, lambda _: {})
    assert torch.equal(before, line.weight)
    assert engine.curve == []


def test_a_trained_model_carries_the_losses_of_both_phases(tmp_path: Path) -> None:
    windows: Windows = quick_windows()
    model = train(quick_workspace(tmp_path), windows, [labels_of(windows)], statistics_of(windows))
    parts = {"pre-train": ("train", "validation"), "fine-tune": ("train", "validation", "int8")}
    assert {(p.phase, p.part) for p in model.curves} == {(phase, part) for phase, found in parts.items() for part in found}
    assert {"generator", "detection", "restoring", "repeating"} == set(model.curves[0].losses)
    assert set(model.curves[-1].losses) == {"fault"}, "only what decides is known in integers"
    model.save(tmp_path)
    assert load_curves(tmp_path) == model.curves


def test_training_without_pretraining_has_a_curve_of_fine_tuning_alone(tmp_path: Path) -> None:
    windows: Windows = quick_windows()
    workspace = quick_workspace(tmp_path, pretrain_steps=0)
    model = train(workspace, windows, [labels_of(windows)], statistics_of(windows))
    assert {p.phase for p in model.curves} == {"fine-tune"}


names = st.text("abcdefgh-", min_size=1, max_size=8)
points = st.lists(
    st.builds(
        Point,
        st.sampled_from(["pre-train", "fine-tune"]),
        st.integers(0, 2**31),
        st.sampled_from(["train", "validation"]),
        st.floats(0, 1, width=32),
        st.dictionaries(names, st.floats(-1e6, 1e6, width=32), min_size=1, max_size=3),
    ),
    max_size=6,
)


@given(points)
@settings(deadline=None)
def test_curves_survive_their_file(found: list[Point]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        save_curves(Path(folder), found)
        assert list(load_curves(Path(folder))) == found


def test_a_model_of_before_curves_has_none(tmp_path: Path) -> None:
    assert load_curves(tmp_path) == ()


@pytest.mark.slow
def test_tensorflow_reads_the_events_as_they_were_written(tmp_path: Path) -> None:
    """TensorFlow checks the checksums of every record and parses the messages."""
    import tensorflow as tf
    from tensorflow.core.util import event_pb2

    found = [Point("pre-train", step, "train", 0.25, {"detection": 2.0 / step, "a" * 200: -1.5}) for step in (1, 200, 70_000)]
    write_events(tmp_path, found)
    records = tf.data.TFRecordDataset(str(tmp_path / "pre-train" / "train" / FILE))
    first, *events = [event_pb2.Event.FromString(record.numpy()) for record in records]
    assert first.file_version == "brain.Event:2"
    assert [event.step for event in events] == [1, 200, 70_000]
    for event, point in zip(events, found, strict=True):
        read = {value.tag: value.simple_value for value in event.summary.value}
        assert read == pytest.approx({**point.losses, "total": point.total, "learning_rate": 0.25}, rel=1e-6)


def test_equal_curves_are_equal_event_files(tmp_path: Path) -> None:
    found = [Point("pre-train", 25, part, 0.25, {"detection": 1.0}) for part in ("train", "validation")]
    for name in ("a", "b"):
        write_events(tmp_path / name, found)
    for part in ("train", "validation"):
        file = Path("pre-train") / part / FILE
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()


def test_the_processor_is_chosen_where_it_is_asked_for_or_nothing_else_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert training_device("auto").type == training_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="sees no CUDA device"):
        training_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert training_device("auto").type == training_device("cuda").type == "cuda"
    assert training_device("cpu").type == "cpu"


def test_what_cuda_is_to_compile_can_be_traced_whole_and_says_the_same() -> None:
    architecture = Architecture(16, 3, 8, 1, 5, 0.05, (Head("state", ("idle", "busy")), Head("life", range=(0.0, 9.0))), (1,))
    torch.manual_seed(2)
    encoder, x = Encoder(architecture), torch.randn(4, 16, 3)
    present = torch.rand(x.shape) < 0.9
    wanted = encoder(x, present)
    encoder.compile(backend="eager", fullgraph=True)
    got = encoder(x, present)
    assert torch.allclose(got.correction, wanted.correction, atol=1e-5)
    assert torch.allclose(got.numbers["life"], wanted.numbers["life"], atol=1e-5)


def test_what_a_batch_is_made_of_lands_on_the_device_of_the_block() -> None:
    """On `meta`, which has shapes and no data, everything that a batch draws is found on the device of the block."""
    from components.training.pretrain import as_input

    meta = torch.device("meta")
    with placed_on(meta):
        x, present = as_input(quick_windows().codes[:4], 6 / 127)
        assert x.device == present.device == torch.rand(3).device == meta
    assert as_input(quick_windows().codes[:4], 6 / 127)[0].device.type == "cpu"


def test_losses_are_the_same_but_for_rounding_under_half_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """What runs on CUDA runs here under the processor's autocast: every type fits, and the losses stay close."""
    from components.models.telemetry_electra import Encoder, Generator
    from components.training import pretrain
    from components.values import Architecture

    def losses() -> Losses:
        torch.manual_seed(0)
        encoder = Encoder(Architecture(32, 5, 16, 2, 5, 6 / 127, ()))
        generator = Generator(5, 8, 6.0)
        found, _ = pretrain.electra_losses(encoder, generator, quick_windows().codes[:64], 5.0, torch.Generator().manual_seed(1))
        torch.stack(list(found.values())).sum().backward()
        assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in encoder.stem.parameters())
        return found

    full = losses()
    monkeypatch.setattr(pretrain, "precision", lambda device: torch.autocast(device.type, torch.bfloat16))
    half = losses()
    for name, value in full.items():
        assert half[name].dtype == torch.float32
        assert half[name].item() == pytest.approx(value.item(), rel=0.05), name


def test_the_processor_keeps_full_precision() -> None:
    with precision(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32
