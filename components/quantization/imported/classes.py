"""Names of the classes that an output tells apart."""

from __future__ import annotations

from collections.abc import Sequence

from components.quantization.targets.c99.text import identifier
from components.workspace.errors import InputError


def check_classes(classes: tuple[str, ...], sizes: Sequence[int]) -> None:
    """``sizes``: of the outputs; one of them has a place for each of ``classes``, unless none is named.

    Raises:
        InputError: none has, or a name is empty or twice there.
    """
    if not classes:
        return
    if len(set(classes)) != len(classes) or not all(classes):
        raise InputError(f"--classes {','.join(classes)}: names that are empty or twice there", hint="name each class once")
    if len({identifier(name) for name in classes}) != len(classes):
        raise InputError(
            f"--classes {','.join(classes)}: two have one name in C", hint="let them differ in letters a to z or digits"
        )
    if len(classes) not in sizes:
        raise InputError(f"{len(classes)} classes for outputs of {', '.join(map(str, sizes))} codes", hint="name one a code")
