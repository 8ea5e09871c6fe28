"""Which artefacts may be released at all: those whose own proof passed, at a level that the policy allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from components.values import Artefact, Proof
from components.workspace import Workspace
from components.workspace.errors import GateFailed
from components.workspace.files import sha256_bytes


@dataclass(frozen=True)
class Candidate:
    """An artefact that may be released, with its bytes and the proof that says so."""

    artefact: Artefact
    data: bytes
    sha256: str
    proof: Proof


@dataclass(frozen=True)
class Admission:
    """``candidates``: profile -> what may be released on it. ``withheld``: profile -> why nothing may be."""

    candidates: dict[str, Candidate]
    withheld: dict[str, str]


def admit(workspace: Workspace, artefacts: Sequence[Artefact], proofs: Sequence[Proof]) -> Admission:
    """Let through what is proven well enough. What this machine cannot prove far enough is withheld, and holds up nothing else.

    Raises:
        GateFailed: a proof is missing, is of other bytes, or one of its checks failed: that is never released.
    """
    proven = {p.profile: p for p in proofs}
    levels = workspace.settings.release.proof_levels
    admission = Admission({}, {})
    for artefact in artefacts:
        data = artefact.to_bytes()
        digest = sha256_bytes(data)
        proof = _proof_of(artefact.profile, digest, proven.get(artefact.profile))
        if proof.passed and proof.level in levels:
            admission.candidates[artefact.profile] = Candidate(artefact, data, digest, proof)
        else:
            admission.withheld[artefact.profile] = _reason(proof)
    return admission


def _proof_of(profile: str, digest: str, proof: Proof | None) -> Proof:
    if proof is None or proof.artefact_sha256 != digest:
        raise GateFailed(
            f"profile '{profile}': the artefact {digest[:12]} has no proof of its own", hint="muster artefact prove makes it"
        )
    if failed := [c.name for c in proof.checks if not c.passed]:
        raise GateFailed(
            f"profile '{profile}': the proof failed: {', '.join(failed)}",
            hint="muster artefact show says by how much; a failed proof is never released",
        )
    return proof


def _reason(proof: Proof) -> str:
    said = "not proven" if proof.level == "none" else f"proof level '{proof.level}' is not in release.proof_levels"
    return f"{said}; a better proof takes {proof.missing}" if proof.missing else said
