"""Self-contained C99 from an int8 .tflite.

graph         reads the file into a few operations with every constant folded
interpreter   their arithmetic in numpy: calibrates the artefact, answers its self-test
arena         places tensors in static memory
emit          writes the sources; `kernels/` holds their fixed texts
trial         compiles and runs them: on this machine, and on an emulated board of `boards/`
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from packaging.version import Version

from components.quantization.targets import Network
from components.quantization.targets.c99.emit import INTERFACE, sources
from components.quantization.targets.c99.graph import read_graph
from components.quantization.targets.c99.interpreter import engine
from components.quantization.targets.litert import int8_tflite, signature_tensors
from components.values import Artefact, TrainedModel
from components.workspace.errors import InputError
from components.workspace.profiles import Profile

_TFLITE = "model.tflite"


def compile_network(profile: Profile, model: TrainedModel, codes: NDArray[np.int8], cache: Path) -> Network:
    """The network of the same .tflite that LiteRT gets, in the arithmetic of the C kernels."""
    if Version(profile.runtime.minimal) > Version(INTERFACE):
        raise InputError(
            f"profile '{profile.name}' wants C interface {profile.runtime.minimal}, this generator writes {INTERFACE}",
            hint=f"set runtime.minimal to {INTERFACE} or update Muster",
        )
    data = int8_tflite(model, codes, cache)
    return Network({_TFLITE: data}, signature_tensors(data), engine(read_graph(data)))


def with_sources(artefact: Artefact) -> Artefact:
    """The artefact with C sources in place of the .tflite that they are made from."""
    return replace(artefact, members=sources(artefact, read_graph(artefact.members[_TFLITE])))
