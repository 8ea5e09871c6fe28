"""Self-contained C99 of a network or of boosted trees.

tflite        reads a .tflite without trusting it
graph         makes of it the operations of `components.runtime.integers`, which `interpreter` there computes: `layers`,
              `elementwise`, `shapes` and `moves` read single operators, `tables` computes functions of one code
arena         places tensors in static memory
operations    the C of a graph
network       the C of the telemetry network
tensors       the C of a network with bare tensors at its ends
forest        the C of boosted trees over windows
rows          the C of imported boosted trees over single rows; `node_tables` packs their nodes
blob          a model as bytes that firmware loads; `loader` the C that does
emit          writes the sources; `kernels/` holds their fixed texts, `text` writes tables
footprint     what they take at least, without a compiler
image         compiles them for a processor, alone or with the proof harness of `boards/`, and runs that
trial         held-out windows and the self-test through them: on this machine, and on an emulated board
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from packaging.version import Version

from components.models.simulation import simulate_within
from components.quantization.operators import of_tflite
from components.quantization.targets import Footprint, Network, Written
from components.quantization.targets.c99.blob import FILE, blob
from components.quantization.targets.c99.emit import INTERFACE, Body, sources
from components.quantization.targets.c99.footprint import footprint
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.network import network_body
from components.quantization.targets.litert import signature_tensors, tflites
from components.runtime.integers import Graph
from components.runtime.interpreter import engine
from components.runtime.scoring import Scoring
from components.runtime.surprise import Calibrated
from components.values import Artefact
from components.workspace.errors import InputError
from components.workspace.profiles import Profile


def compile_network(profile: Profile, written: Written, cache: Path) -> Network:
    """In int8 the network of the same .tflite that LiteRT gets, in the arithmetic of the C kernels; in other precisions our
    own, since TensorFlow's converter has no such weights, and takes no ranges for activations of 16 bits.
    """
    check_interface(profile)
    if written.recipe.precision == "int8":
        data = tflites([written], cache)[0]
        read = read_graph(data)
        graph, tensors, operators = (
            replace(read, outputs=dict(sorted(read.outputs.items()))),
            signature_tensors(data),
            of_tflite(data),
        )
    else:
        made = simulate_within(written.architecture, written.weights, written.spans, precision=written.recipe.precision)
        graph, tensors, operators = made.graph, made.tensors, frozenset[str]()

    optional = written.architecture.optional

    def body(scoring: Calibrated) -> Body:
        assert isinstance(scoring, Scoring)  # noqa: S101 - a network's, by `calibrate`
        return network_body(scoring, graph, optional)

    def write(artefact: Artefact) -> dict[str, bytes]:
        return sources(artefact, body(artefact.scoring)) | loadable(artefact, graph)

    def least(scoring: Calibrated) -> Footprint:
        return footprint(body(scoring))

    return Network({}, tensors, engine(graph, optional), write, operators, least)


def loadable(artefact: Artefact, graph: Graph) -> dict[str, bytes]:
    """The model as a blob besides, where the loader has all its kernels."""
    try:
        return {FILE: blob(artefact, graph)}
    except InputError:
        return {}


def check_interface(profile: Profile) -> None:
    """Raises:
    InputError: the profile wants a newer interface than this generator writes.
    """
    if Version(profile.runtime.minimal) > Version(INTERFACE):
        raise InputError(
            f"profile '{profile.name}' wants C interface {profile.runtime.minimal}, this generator writes {INTERFACE}",
            hint=f"set runtime.minimal to {INTERFACE} or update Muster",
        )
