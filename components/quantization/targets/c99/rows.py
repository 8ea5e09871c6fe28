"""The C sources of boosted trees over raw samples: a row in, margins out."""

from __future__ import annotations

import re
from string import Template

from components.quantization.targets.c99.emit import INTERFACE
from components.quantization.targets.c99.node_tables import tree_tables
from components.quantization.targets.c99.text import array, identifier, kernel
from components.runtime.ensemble import IntegerTrees
from components.runtime.sampling import Raw, Sampling

_DECIDES = "int model_class(const int32_t margins[MODEL_OUTPUTS]);\n"


def row_sources(
    trees: IntegerTrees,
    title: str,
    digest: str,
    sampling: Sampling,
    names: tuple[str, ...],
    classes: tuple[str, ...],
    inputs: Raw,
) -> dict[str, bytes]:
    """`model.h`, `model.c`, `model_selftest.c` and the example `main.c`. ``inputs``: (vectors, features) of the self-test."""
    title = _harmless(title)
    header = Template(kernel("rows.h")).substitute(
        title=title,
        interface=INTERFACE,
        digest=digest,
        features=trees.features,
        outputs=len(trees.bias),
        bits=trees.bits,
        sample_bits=sampling.bits,
        highest=sampling.highest,
        vectors=len(inputs),
        feature_list=_features(sampling, names),
        classes=_classes(classes),
        decides="" if trees.kind == "regression" else _DECIDES,
    )
    tables = array("INPUTS", "model_sample", inputs) + array("OUTPUTS", "int32_t", trees.margins(inputs))
    parts = [f'/* {title}. Made by Muster; do not edit. */\n#include "model.h"\n', tree_tables(trees), kernel("rows_trees.c")]
    if trees.kind != "regression":
        parts.append(kernel(f"rows_{trees.kind}.c"))
    texts = {
        "model.h": header,
        "model.c": "\n".join(parts),
        "model_selftest.c": Template(kernel("rows_selftest.c")).substitute(title=title, tables=tables),
        "main.c": kernel("rows_main.c"),
    }
    return {name: text.encode() for name, text in texts.items()}


def _features(sampling: Sampling, names: tuple[str, ...]) -> str:
    lsb, offset = sampling.converter.lsb, sampling.converter.offset
    lines = zip(names or ("",) * len(lsb), lsb, offset, strict=True)
    return "\n".join(
        f"   {i} {_harmless(name)}: lsb {lsb:.9g}, offset {offset:.9g}" for i, (name, lsb, offset) in enumerate(lines)
    )


def _classes(classes: tuple[str, ...]) -> str:
    if not classes:
        return ""
    members = ", ".join(f"MODEL_CLASS_{identifier(name)} = {i}" for i, name in enumerate(classes))
    return f"/* What model_class says. */\nenum {{ {members} }};\n\n"


def _harmless(name: str) -> str:
    """``name`` inside a comment."""
    return re.sub(r"[^\w .:/-]", "_", name).replace("/", "_")
