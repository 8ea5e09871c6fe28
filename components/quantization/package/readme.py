"""`README.txt`: a package's first page, for a firmware engineer without Muster at hand."""

from __future__ import annotations

from components.quantization.package.description import PackageDescription
from components.quantization.package.imported.description import ImportedDescription
from components.quantization.package.imported.ends import End
from components.quantization.package.texts import filled, text

_UNPROVEN = """
UNPROVEN: nothing vouches for this artefact. It was packaged without a proof that it passed; do not release it.
"""
_LIBRARY = """  src/                  model.h, the model, its self-test, and the verifier of signed images
  examples/             a self-test for a host, for Arduino and for an emulated board; the calls around a model"""
_IMPORTED_MODEL = "  model/                the file that the runtime loads"
_MODEL = "  model/                the file that the runtime loads; the artefact holds the same, with scaling, score and self-test"


def readme(description: PackageDescription) -> bytes:
    is_library = description.runtime.name == "c99"
    title = f"{description.name} for {description.profile.name}"
    return filled(
        "README.txt",
        title=title,
        underline="=" * len(title),
        warning="" if description.proven else _UNPROVEN,
        contents=_LIBRARY if is_library else _MODEL,
        profile=description.profile.name,
        firmware=description.firmware or "not said",
        runtime=f"{description.runtime.name}, {description.artefact.interface or f'{description.runtime.minimal} or later'}",
        steps=description.steps,
        channels=f"{len(description.channels)} channels",
        channel_list="\n".join(f"    {c.name}: lsb {c.lsb:.9g}, offset {c.offset:.9g}" for c in description.channels),
        raise_after=description.alarm.raise_after,
        clear_after=description.alarm.clear_after,
        threshold=description.alarm.threshold,
        proof=_proof(description),
        building=text("building.txt").rstrip("\n") if is_library else "",
    )


def imported_readme(description: ImportedDescription) -> bytes:
    is_library = description.runtime.name == "c99"
    title = f"{description.name} for {description.profile.name}"
    samples = [f"    {i} {f.name}: number = raw * {f.lsb:.9g} + {f.offset:.9g}" for i, f in enumerate(description.features)]
    return filled(
        "imported.txt",
        title=title,
        underline="=" * len(title),
        warning="" if description.proven else _UNPROVEN,
        contents=_LIBRARY if is_library else _IMPORTED_MODEL,
        profile=description.profile.name,
        firmware=description.firmware or "not said",
        runtime=f"{description.runtime.name}, {description.artefact.interface or f'{description.runtime.minimal} or later'}",
        entry=_end(description.input),
        outputs="\n".join(f"  output     {_end(port)}" for port in description.outputs),
        features="\n  samples\n" + "\n".join(samples) if samples else "",
        classes=f"\n  classes    {', '.join(description.classes)}" if description.classes else "",
        proof=_proof(description),
        building=text("building.txt").rstrip("\n") if is_library else "",
    )


def _end(end: End) -> str:
    read = "" if end.dtype == "float32" else f", value = (number - {end.zero}) * {end.scale:.9g}"
    return f"{end.name}: {' x '.join(map(str, end.shape)) or '1'} of {end.dtype}{read}"


def _proof(description: PackageDescription | ImportedDescription) -> str:
    proof = description.proof
    if proof is None:
        return "none"
    failed = [check.name for check in proof.checks if not check.passed]
    return f"{proof.level}, {proof.machine}" + (f"; FAILED: {', '.join(failed)}" if failed else "; every check passed")
