"""The tables of boosted trees in the fewest bytes: every node as packed bits, thresholds and leaves shared where that is less."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from components.quantization.targets.c99.text import array, defines, kernel
from components.runtime.ensemble import IntegerTrees
from components.runtime.sampling import missing_sample

_WORDS = {1: "uint8_t", 2: "uint16_t", 4: "uint32_t", 8: "uint64_t"}
_BYTE, _SHORT = 1 << 8, 1 << 16


@dataclass(frozen=True)
class _Field:
    """Part of a node: ``values`` (nodes,) from 0 on, in ``bits``."""

    name: str
    values: NDArray[np.int64]
    bits: int


@dataclass(frozen=True)
class _Nodes:
    """``fields``, lowest bits first; ``code``: the tables and macros that read a threshold; ``shared``: bytes of such tables."""

    fields: tuple[_Field, ...]
    code: str
    shared: int

    @property
    def width(self) -> int:
        """Bytes of a node."""
        return max(1, -(-sum(field.bits for field in self.fields) // 8))

    @property
    def size(self) -> int:
        return self.width * len(self.fields[0].values) + self.shared


def tree_tables(trees: IntegerTrees) -> str:
    """Tables, and the macros by which `rows_trees.c` reads them, of the smallest layout."""
    nodes = min((_direct(trees), _ranked(trees), _listed(trees)), key=lambda nodes: nodes.size)
    sizes = "uint8_t" if trees.size.max() < _BYTE else "uint16_t" if trees.size.max() < _SHORT else "uint32_t"
    parts = [
        defines({"SAMPLE_HALF": f"{-missing_sample(trees.sample_bits)}u"}) + f"typedef uint{trees.sample_bits}_t sample_order;\n",
        array("BIAS", "int32_t", trees.bias),
        array("TREES", "uint16_t", trees.trees),
        array("SIZE", sizes, trees.size),
        _leaves(trees.leaf),
        nodes.code,
        _packed(nodes),
    ]
    return "".join(parts)


def _direct(trees: IntegerTrees) -> _Nodes:
    """Thresholds in the nodes themselves."""
    limit = _ordered(trees)
    fields = (*_ways(trees), _field("FEATURE", trees.feature), _Field("LIMIT_BITS", limit, trees.sample_bits))
    return _Nodes(fields, "#define LIMIT(asked) LIMIT_BITS(asked)\n", 0)


def _ranked(trees: IntegerTrees) -> _Nodes:
    """Nodes hold the rank of their threshold among those of their feature, which lie in one table."""
    first: list[int] = []
    table: list[int] = []
    rank, limit = np.zeros(len(trees.feature), np.int64), _ordered(trees)
    for feature in range(int(trees.feature.max()) + 1):
        asks = trees.feature == feature
        distinct, rank[asks] = np.unique(limit[asks], return_inverse=True)
        first.append(len(table))
        table += distinct.tolist()
    starts = "uint16_t" if len(table) < _SHORT else "uint32_t"
    code = array("LIMITS", f"uint{trees.sample_bits}_t", table) + array("FIRST", starts, first)
    code += "#define LIMIT(asked) (uint32_t)LIMITS[FIRST[FEATURE(asked)] + RANK(asked)]\n"
    shared = trees.sample_bits // 8 * len(table) + (2 if len(table) < _SHORT else 4) * len(first)
    return _Nodes((*_ways(trees), _field("FEATURE", trees.feature), _field("RANK", rank)), code, shared)


def _listed(trees: IntegerTrees) -> _Nodes:
    """Nodes hold the place of their question, feature and threshold, in a table of all that differ."""
    both, place = np.unique(np.stack([trees.feature, _ordered(trees)]), axis=1, return_inverse=True)
    kind = "uint8_t" if trees.features <= _BYTE else "uint16_t"
    code = array("LIMITS", f"uint{trees.sample_bits}_t", both[1]) + array("ASKED", kind, both[0])
    code += "#define LIMIT(asked) (uint32_t)LIMITS[QUESTION(asked)]\n#define FEATURE(asked) ASKED[QUESTION(asked)]\n"
    shared = (trees.sample_bits // 8 + (1 if trees.features <= _BYTE else 2)) * both.shape[1]
    return _Nodes((*_ways(trees), _field("QUESTION", place.ravel())), code, shared)


def _ordered(trees: IntegerTrees) -> NDArray[np.int64]:
    """Limits from 0 on, in which that of a missing sample is 0."""
    return trees.limit.astype(np.int64) - missing_sample(trees.sample_bits)


def _ways(trees: IntegerTrees) -> tuple[_Field, ...]:
    missing = trees.missing_right.astype(np.int64)
    one = _Field("MISSING", missing, int(missing.min() != missing.max()))
    return one, _field("LEFT", trees.left)


def _field(name: str, values: NDArray[np.int64] | NDArray[np.int32]) -> _Field:
    return _Field(name, values.astype(np.int64), int(values.max()).bit_length())


def _packed(nodes: _Nodes) -> str:
    """The table of all nodes, and a macro a field: a constant where all nodes are the same in it."""
    words, at = [0] * len(nodes.fields[0].values), 0
    macros: dict[str, object] = {}
    for field in nodes.fields:
        if not field.bits:
            macros[f"{field.name}(asked)"] = f"(0 * (asked) + {int(field.values[0])}u)"
            continue
        words = [word | value << at for word, value in zip(words, field.values.tolist(), strict=True)]
        macros[f"{field.name}(asked)"] = f"((uint32_t)((asked) >> {at}) & {(1 << field.bits) - 1}u)"
        at += field.bits
    word = _WORDS.get(nodes.width) or ("uint32_t" if nodes.width < 4 else "uint64_t")
    whole = nodes.width in _WORDS
    data = words if whole else _bytes(words, nodes.width)
    table = array("NODE", word if whole else "uint8_t", data) if word != "uint64_t" or not whole else _wide(words)
    if not whole:
        macros["NODE_BYTES"] = nodes.width
    read = kernel("rows_whole.c" if whole else "rows_packed.c")
    return f"{defines(macros)}typedef {word} node;\n{table}{read}"


def _wide(words: Sequence[int]) -> str:
    numbers = ",\n ".join(f"UINT64_C({word})" for word in words)
    return f"static const uint64_t NODE[{len(words)}] = {{{numbers}}};\n"


def _bytes(words: Sequence[int], width: int) -> list[int]:
    return [byte for word in words for byte in word.to_bytes(width, "little")]


def _leaves(leaf: NDArray[np.int16]) -> str:
    distinct, place = np.unique(leaf, return_inverse=True)
    if len(distinct) <= _BYTE and 2 * len(distinct) + len(leaf) < 2 * len(leaf):
        tables = array("LEAVES", "int16_t", distinct) + array("PLACE", "uint8_t", place)
        return f"{tables}#define LEAF(leaf) LEAVES[PLACE[leaf]]\n"
    return f"{array('LEAVES', 'int16_t', leaf)}#define LEAF(leaf) LEAVES[leaf]\n"
