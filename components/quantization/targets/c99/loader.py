"""The C of firmware that takes new models without being flashed anew: the kernels, and a loader that trusts nothing in a blob.

What `model.h` declares is compiled in; graph, weights and score are read from the blob (`blob`), by the same kernel texts as in
`model.c`, whose names of tables stand for places in it here.
"""

from __future__ import annotations

import re
from string import Template

import numpy as np

from components.quantization.targets.c99.blob import FILE, FORMAT, KERNELS, heads_of, kinds_in, shape_id
from components.quantization.targets.c99.emit import INTERFACE
from components.quantization.targets.c99.network import input_tables
from components.quantization.targets.c99.operations import filled
from components.quantization.targets.c99.text import array, braced, defines, kernel
from components.quantization.targets.c99.wide import wide_kernels
from components.runtime.scoring import Scoring
from components.runtime.surprise import LOG2_TABLE
from components.values import Artefact

_WORDS_A_LINE = 8


def loader_sources(artefact: Artefact) -> dict[str, bytes]:
    """`model_load.h`, `model_loader.c`, and the artefact's own blob as `model_blob.c`."""
    title = re.sub(r"[^\w .-]", "_", f"{artefact.name} for {artefact.profile}")
    data = artefact.members[FILE]
    header = Template(kernel("load.h")).substitute(title=title, arena=int.from_bytes(data[96:100], "little"))
    texts = {"model_load.h": header, "model_loader.c": _loader(artefact, title), "model_blob.c": _words(data, title)}
    return {name: text.encode() for name, text in texts.items()}


def has_wide_codes(artefact: Artefact) -> bool:
    """Whether the firmware of ``artefact`` has the kernels of int16."""
    kinds = kinds_in(artefact.members[FILE])
    return any(kinds >> (kind - 1) & 1 for kind in KERNELS[16])


def kernels_of(artefact: Artefact) -> int:
    """The kinds of operations that the firmware of ``artefact`` has, a bit each."""
    kinds = (*KERNELS[8], *(KERNELS[16] if has_wide_codes(artefact) else ()))
    return sum(1 << (kind - 1) for kind in kinds)


def _loader(artefact: Artefact, title: str) -> str:
    scoring = artefact.scoring
    assert isinstance(scoring, Scoring)  # noqa: S101 - a network's: others have no blob
    shape, wide = (len(artefact.channels), artefact.steps), has_wide_codes(artefact)
    includes = "".join(f"#include {name}\n" for name in ('"model_load.h"', '"muster_crypto.h"'))
    tasks, numbers = heads_of(artefact), sorted(scoring.gauges)
    parts = [
        f"/* {title}: takes new models. Made by Muster; do not edit. */\n{includes}\n#include <string.h>\n",
        "#if defined(__ARM_FEATURE_DSP)\n#include <arm_acle.h>\n#endif\n",
        defines(_constants(artefact)),
        kernel("load_tables.c"),
        _conditions(artefact),
        kernel("sensor.c"),
        array("LOG2_TABLE", "uint8_t", LOG2_TABLE),
        kernel("alarm.c"),
        *_kernels(wide=wide),
        input_tables(artefact.optional),
        kernel("load_run.c"),
        kernel("load_run16.c") if wide else "",
        kernel("load_network.c"),
        Template(kernel("pipeline.c")).substitute(
            largest=kernel("largest.c") if set(tasks) - set(scoring.wide) else "",
            wide=f"{wide_kernels(scoring.wide, *shape)}\n{kernel('load_wide.c')}" if scoring.wide else "",
            gauge=kernel("gauge.c") + kernel("load_gauge.c") if numbers else "",
            classes=_picks(artefact, scoring, tasks),
            values="".join(f"    result->values[{i}] = read_value({i});\n" for i in range(len(numbers))),
        ),
        kernel("stream.c"),
        kernel("load_check.c"),
        Template(kernel("model_selftest.c")).substitute(title="of the loaded model", tables=""),
    ]
    return "\n".join(filter(None, parts))


def _constants(artefact: Artefact) -> dict[str, object]:
    scoring, conditions, wide = artefact.scoring, artefact.calibration.conditions, has_wide_codes(artefact)
    assert isinstance(scoring, Scoring)  # noqa: S101 - a network's: others have no blob
    counts = {task: len(artefact.tasks[task]) for task in heads_of(artefact)}
    return {
        "BLOB_FORMAT": FORMAT,
        "INTERFACE_MAJOR": INTERFACE.split(".")[0],
        "SHAPE_ID": braced(shape_id(artefact)),
        "KERNELS_HERE": kernels_of(artefact),
        "HAS_16": int(wide),
        "REGIMES": len(conditions.point) if conditions else 0,
        "CONDITIONS": len(conditions.channels) if conditions else 0,
        "WIDE_PARTS": len(scoring.wide),
        "CLASS_COUNTS": braced(counts.values()),
        "WIDE_CLASSES": braced(counts[task] for task in scoring.wide),
        "WIDE_SUMS": 0,
        "RIGHT_SHIFTS": 0,
        "ONE_ROW": 0,
        "ODD_ROWS": 1,
        "ODD_CHANNELS": 1,
    }


def _conditions(artefact: Artefact) -> str:
    conditions = artefact.calibration.conditions
    if conditions is None:
        return kernel("no_conditions.c")
    return array("CONDITION", "uint8_t", conditions.channels) + kernel("conditions.c")


def _kernels(*, wide: bool) -> list[str]:
    eight = ("layer.c", "patch.c", "words.c", "convolution.c", "depthwise.c", "widening.c", "grid.c", "addition.c", "table.c")
    texts = [kernel("spare.c"), Template(kernel("arithmetic.c")).substitute(sum="int32_t"), *(filled(name, "") for name in eight)]
    if wide:
        sixteen = [("layer16.c", ""), ("patch.c", "16"), ("convolution16.c", ""), ("depthwise16.c", ""), ("addition.c", "16")]
        ramps = [("ramp.c", "16_of_8"), ("ramp.c", "8_of_16")]
        texts += [kernel("arithmetic16.c"), "typedef int64_t sum16;\ntypedef int32_t bias16;\n"]
        texts += [filled(*one) for one in (*sixteen, *ramps)]
    return texts


def _picks(artefact: Artefact, scoring: Scoring, tasks: list[str]) -> str:
    beside = list(scoring.wide)
    lines = ["read_features(state, raw);"] if beside else []
    for i, task in enumerate(tasks):
        count = len(artefact.tasks[task])
        both = f"decide({beside.index(task)}, {count}, HEAD({i}))" if task in beside else f"largest(HEAD({i}), {count})"
        lines.append(f"result->classes[{i}] = {both};")
    return "".join(f"    {line}\n" for line in lines)


def _words(data: bytes, title: str) -> str:
    """As words, so that it lies at a multiple of four; their bytes are those of the blob on a little-endian processor."""
    words = [f"0x{word:08X}u" for word in np.frombuffer(data, "<u4").tolist()]
    lines = (", ".join(words[i : i + _WORDS_A_LINE]) for i in range(0, len(words), _WORDS_A_LINE))
    body = ",\n    ".join(lines)
    head = f'/* {title}: the model as a blob. Made by Muster; do not edit. */\n#include "model_load.h"\n'
    return f"{head}\nconst uint32_t model_blob[{len(words)}] = {{\n    {body}}};\n"
