"""Whether an artefact is the profile's."""

from __future__ import annotations

from components.workspace.errors import InputError
from components.workspace.profiles import Profile


def check_built_for(name: str, runtime: str, profile: Profile) -> None:
    """``name``, ``runtime``: of the profile that the artefact was built for.

    Raises:
        InputError: it is another one than ``profile``.
    """
    if (name, runtime) != (profile.name, profile.runtime.name):
        raise InputError(
            f"the artefact was built for profile '{name}' ({runtime}), not for '{profile.name}'",
            hint="build it for this profile, or name the profile it was built for",
        )
