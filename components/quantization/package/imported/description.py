"""`package.json` of an imported model's artefact. Its JSON schema: `muster schema --package`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from components.quantization.imported.loading import AnyBuilt
from components.quantization.package.description import (
    ArtefactFile,
    FirmwareRange,
    ProfileIdentity,
    ProofRecord,
    RuntimeNeeded,
    Sha256,
    archive_name,
    proof_record,
)
from components.quantization.package.imported.ends import End, Feature, ends_of, features_of
from components.quantization.package.imported.vectors import chosen_vectors
from components.values import Proof
from components.workspace.files import sha256_json
from components.workspace.profiles import Profile
from components.workspace.section import Section


class GoldenNumbers(Section):
    """``count``: of the vectors in ``file``; ``kept``: of those in the artefact."""

    file: str
    count: int
    kept: int


class ImportedDescription(Section):
    """``proven`` is false in a package that was made with --unproven: nothing then vouches for the artefact."""

    schema_version: Literal[1] = 1
    kind: Literal["imported"] = "imported"
    name: str
    artefact: ArtefactFile
    profile: ProfileIdentity
    firmware: FirmwareRange | None = Field(description="firmware versions it is meant for; null: not said")
    runtime: RuntimeNeeded
    recipe: str = Field(description="how the numbers were written; empty where they are those of the imported file")
    input: End
    outputs: tuple[End, ...]
    features: tuple[Feature, ...] = Field(description="of trees in C: what a sample stands for")
    classes: tuple[str, ...]
    proven: bool
    proof: ProofRecord | None
    golden_vectors: GoldenNumbers
    toolchain: dict[str, str] = Field(description="versions on the machine that made the package")
    files: dict[str, Sha256] = Field(description="every file but this one and SHA256SUMS")

    @property
    def file_name(self) -> str:
        return archive_name(self.name, self.profile.name, self.firmware)


def describe_imported(
    made: AnyBuilt,
    proof: Proof | None,
    profile: Profile | None,
    firmware: str | None,
    toolchain: dict[str, str],
    files: dict[str, str],
    vectors_file: str,
) -> ImportedDescription:
    """``proof`` is the artefact's own or None; ``files``: name -> sha256."""
    entry, outputs = ends_of(made)
    return ImportedDescription(
        name=made.name,
        artefact=ArtefactFile(
            file=f"artefact/{made.file_name}",
            sha256=made.sha256,
            bytes=len(made.description),
            model_digest=made.model_digest,
            interface=made.interface,
        ),
        profile=ProfileIdentity(
            name=made.profile, sha256=None if profile is None else sha256_json(profile.model_dump(mode="json"))
        ),
        firmware=firmware,
        runtime=RuntimeNeeded.model_validate({"name": made.runtime, "minimal": made.runtime_minimal}),
        recipe=getattr(made, "recipe", ""),
        input=entry,
        outputs=outputs,
        features=features_of(made),
        classes=made.classes,
        proven=proof is not None and proof.passed,
        proof=None if proof is None else proof_record(proof),
        golden_vectors=GoldenNumbers(file=vectors_file, count=len(chosen_vectors(made)), kept=len(made.golden.inputs)),
        toolchain=toolchain,
        files=files,
    )
