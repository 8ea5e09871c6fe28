"""Models that were trained elsewhere: `muster model import`, `muster artefact build` and `muster artefact prove`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from components.workspace.errors import GateFailed, InputError, NotFound
from muster.commands.imported_shown import imported_rows, numbers
from muster.console import Json, check_folder, emit_json, emit_table, say

if TYPE_CHECKING:
    from components.runtime.sampling import SampleBits
    from components.values import Proof
    from components.values.compiled import CompiledModel
    from components.values.compiled_onnx import CompiledOnnx
    from components.values.compiled_trees import CompiledTrees
    from components.values.imported import ImportedModel
    from components.values.imported_onnx import ImportedOnnx
    from components.values.imported_trees import ImportedTrees
    from components.workspace.profiles import Profile

_SAMPLE_BITS: tuple[SampleBits, SampleBits] = (16, 32)
ProfileFile = Annotated[Path, typer.Option("--profile", help="hardware profile: a .yaml as in profiles/ of a workspace")]


def add_to(app: typer.Typer) -> None:
    """The commands of `muster artefact` that compile an imported model and prove the result."""
    app.command()(build)
    app.command()(prove)


def import_command(
    file: Annotated[Path, typer.Argument(help="int8 .tflite, XGBoost's .json or .ubj, or with --examples .keras, .onnx or .pt2")],
    name: Annotated[str, typer.Option("--name", help="what the model is called")],
    out: Annotated[Path, typer.Option("--out", help="folder to keep it in")],
    classes: Annotated[str, typer.Option("--classes", help="names of the output's codes, or of the trees' classes: a,b,c")] = "",
    examples: Annotated[Path | None, typer.Option("--examples", help="inputs, one a row: .npy or .npz")] = None,
    lsb: Annotated[str, typer.Option("--lsb", help="trees: what one raw count is worth; one number, or one a feature: a,b")] = "",
    offset: Annotated[str, typer.Option("--offset", help="trees: the number at raw 0, likewise")] = "",
    sample_bits: Annotated[int, typer.Option("--sample-bits", help="trees: bits of a sample in C, 16 or 32")] = 16,
    json: Json = False,
) -> None:
    """Take in a model that was trained elsewhere: check it, and keep it with inputs to try it on."""
    from components.quantization.imported.boosted.importing import import_trees
    from components.quantization.imported.formats import kind_of
    from components.quantization.imported.importing import import_model

    check_folder(out)
    if not name.strip() or len(name) > 100:
        raise InputError("--name is empty or longer than 100 characters", hint="give the model a short name")
    named = tuple(c.strip() for c in classes.split(",")) if classes else ()
    steps, zeros = numbers("--lsb", lsb), numbers("--offset", offset)
    model: ImportedModel | ImportedOnnx | ImportedTrees
    if kind_of(file) == "xgboost":
        model = import_trees(file, name, named, examples, steps, zeros, _bits(sample_bits))
    elif steps or zeros or sample_bits != _SAMPLE_BITS[0]:
        raise InputError(
            f"{file}: --lsb, --offset and --sample-bits are of trees", hint="the scale of a network's input is in its file"
        )
    else:
        model = import_model(file, name, named, examples)
    model.save(out)
    if json:
        emit_json("imported-model", model.to_json())
    else:
        emit_table(f"{model.name}: kept in {out}", ("key", "value"), imported_rows(model))


def build(
    folder: Annotated[Path, typer.Argument(help="an imported model")],
    profile: ProfileFile,
    out: Annotated[Path, typer.Option("--out", help="folder for the files of the artefact")],
    json: Json = False,
) -> None:
    """Compile an imported model for one hardware profile: C sources, a .tflite or an .onnx, with golden vectors."""
    check_folder(out)
    if (folder / "muster.yaml").is_file():
        raise InputError(f"{folder} is a workspace", hint="muster step quantize builds its artefacts")
    made = _built(folder, _profile(profile))
    made.save(out)
    described, recipes = made.to_json(), getattr(made, "tried", ())
    if json:
        emit_json("compiled-model", described | ({"recipes": list(recipes)} if recipes else {}))
        return
    for tried in recipes:
        say(f"{tried['name']}: {tried['lost'] or 'taken'}")
    rows = [(name, f"{about['bytes']:,} bytes") for name, about in described["files"].items()]
    emit_table(f"{made.name} for {made.profile}: {len(made.golden.inputs)} golden vectors", ("file", "size"), rows)


def prove(
    place: Annotated[Path, typer.Argument(help="what muster artefact build wrote: the folder, or the artefact.json in it")],
    profile: ProfileFile,
    json: Json = False,
) -> None:
    """Run an artefact of an imported model, here and on the emulated board, and measure it against its profile."""
    proof = _proven(place, _profile(profile))
    proof.save(place.parent if place.is_file() else place)
    if json:
        emit_json("proof", proof.to_json())
    else:
        _show(proof)
    if not proof.passed:
        short = [c.name for c in proof.checks if not c.passed]
        raise GateFailed(
            f"{proof.profile}: {', '.join(short) or proof.missing}",
            hint="make the model smaller, or change the profile's budgets",
        )


def _bits(given: int) -> SampleBits:
    if given not in _SAMPLE_BITS:
        raise InputError(f"--sample-bits {given}", hint="a sample has 16 or 32 bits")
    return _SAMPLE_BITS[_SAMPLE_BITS.index(given)]


def _built(folder: Path, profile: Profile) -> CompiledModel | CompiledOnnx | CompiledTrees:
    from components.values import imported, imported_onnx, imported_trees
    from components.values.sealed import kind_in

    kind = kind_in(folder, imported.DESCRIPTION)
    if kind == imported_trees.KIND:
        from components.quantization.imported.boosted.building import build_trees

        return build_trees(imported_trees.ImportedTrees.load(folder), profile)
    if kind == imported_onnx.KIND:
        from components.quantization.imported.onnx_models.building import build_onnx

        return build_onnx(imported_onnx.ImportedOnnx.load(folder), profile)
    from components.quantization.imported.building import build_imported

    return build_imported(imported.ImportedModel.load(folder), profile)


def _proven(place: Path, profile: Profile) -> Proof:
    from components.quantization.imported.loading import load_built
    from components.values.compiled_onnx import CompiledOnnx
    from components.values.compiled_trees import CompiledTrees

    made = load_built(place)
    if isinstance(made, CompiledTrees):
        from components.quantization.imported.boosted.proving import prove_trees

        return prove_trees(made, profile)
    if isinstance(made, CompiledOnnx):
        from components.quantization.imported.onnx_models.proving import prove_onnx

        return prove_onnx(made, profile)
    from components.quantization.imported.proving import prove_compiled

    return prove_compiled(made, profile)


def _profile(file: Path) -> Profile:
    from components.workspace.profiles import Profile
    from components.workspace.workspace import read_yaml

    if not file.is_file():
        raise NotFound(f"no profile {file}", hint="muster schema --profile prints what it holds")
    return read_yaml(file, Profile, "muster schema --profile prints what each key may hold")


def _show(proof: Proof) -> None:
    rows = [
        (c.name, _number(c.value), "" if c.limit is None else _number(c.limit), c.unit, "yes" if c.passed else "no")
        for c in proof.checks
    ]
    title = f"{proof.profile}: {proof.level}, {proof.machine}" + (f"; missing: {proof.missing}" if proof.missing else "")
    emit_table(title, ("check", "value", "limit", "unit", "passed"), rows)


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.3g}"
