"""A registered version tells which labels its model learned from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from components.values import Dataset
from components.workspace.files import write_json
from flows.release import register
from tests.flows.running import muster
from tests.quantization import plant
from tests.registry.workspaces import artefacts, make_workspace, proofs

FACTS = {"source": "weak", "version": "ab12", "model": "hmm", "coverage": 0.92, "entropy": 0.31}


@pytest.mark.slow
def test_model_show_lists_version_model_coverage_and_entropy_of_the_labels(tmp_path: Path) -> None:
    workspace = make_workspace(tmp_path / "w")
    out = workspace.out
    for artefact, proof in zip(artefacts(), proofs(), strict=True):
        for step, one in (("quantize", artefact), ("prove", proof)):
            (out / step / proof.profile).mkdir(parents=True)
            one.save(out / step / proof.profile)
        write_json(out / "quantize" / proof.profile / f"{proof.profile}.recipes.json", {"chosen": "", "tried": []})
    (out / "label").mkdir()
    (out / "train").mkdir()
    replace(plant.model(plant.windows()), labels={"fault": FACTS}).save(out / "train")
    (out / "validate").mkdir()
    Dataset(out / "validate", 10, 0, 0, 1, "d1").save_summary()
    (out / "report").mkdir()
    (out / "report" / "report.json").write_text('{"figures": {}}')
    register(workspace)
    origin = muster("model", "show", "candidate", workspace.root).stdout.split("\n\n")[-1]
    for fact, value in FACTS.items():
        assert [str(value)] == [line.split()[1] for line in origin.splitlines() if line.startswith(f"labels.fault.{fact} ")]
