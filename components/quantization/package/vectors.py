"""`golden_vectors.json`: the self-test of an artefact in a form that any language reads."""

from __future__ import annotations

import json

from components.values import Artefact

FILE = "golden_vectors.json"


def golden_vectors(artefact: Artefact) -> bytes:
    """Each vector: raw samples, and the surprise, classes and values that the device must give for them.

    The device takes ``scaling`` in place of one it learnt. Surprise is in 1/256 bits and may be off by ``tolerance``;
    a class is its position in the task's list, a value in 2^-bits of the task's unit.
    """
    test, gauges = artefact.self_test, artefact.scoring.gauges
    vectors = [
        {
            "raw": raw.tolist(),
            "surprise": int(test.surprise[i]),
            "classes": {task: int(classes[i]) for task, classes in test.classes.items()},
            "values": {task: int(values[i]) for task, values in test.values.items()},
        }
        for i, raw in enumerate(test.raw)
    ]
    value = {
        "schema_version": 1,
        "artefact_sha256": artefact.sha256,
        "channels": list(artefact.channels),
        "missing": -32768,
        "scaling": test.scaling.to_json(),
        "classes": {task: list(classes) for task, classes in artefact.tasks.items() if classes},
        "value_bits": {task: gauges[task].bits for task in test.values},
        "tolerance": {"surprise": test.tolerance, "values": test.value_tolerance},
        "vectors": vectors,
    }
    return (json.dumps(value, sort_keys=True) + "\n").encode()
