"""Open a workspace: read `muster.yaml` and its profiles once, or say which file, line and key is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from components.workspace.errors import InputError, NotFound
from components.workspace.profiles import Profile
from components.workspace.settings import Settings

CONFIGURATION = "muster.yaml"

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Workspace:
    """A user's folder and everything its configuration says."""

    root: Path
    settings: Settings
    profiles: tuple[Profile, ...]

    @property
    def state(self) -> Path:
        """What Muster keeps between runs: step store, lake, databases, keys, records."""
        return self.root / ".muster"

    @property
    def out(self) -> Path:
        """What the steps of the last run put out, one folder a step."""
        return self.root / "out"

    def path(self, relative: str) -> Path:
        return self.root / relative

    def profile(self, name: str) -> Profile:
        for profile in self.profiles:
            if profile.name == name:
                return profile
        raise NotFound(
            f"profile '{name}' is not in this workspace",
            hint=f"it has {', '.join(p.name for p in self.profiles)}; muster profile new {name} --from LIBRARY_NAME writes one",
        )

    @property
    def tracking_uri(self) -> str:
        return (
            os.environ.get("MUSTER_TRACKING_URI")
            or self.settings.registry.tracking_uri
            or f"sqlite:///{self.state.resolve() / 'mlflow.db'}"
        )

    @property
    def database_url(self) -> str:
        return (
            os.environ.get("MUSTER_DATABASE_URL")
            or self.settings.registry.database
            or f"sqlite:///{self.state.resolve() / 'registry.db'}"
        )


def open_workspace(root: Path) -> Workspace:
    """Read and check the workspace in ``root``.

    Raises:
        NotFound: no `muster.yaml`, or a listed profile has no file.
        InputError: a file is no YAML or breaks the schema; the message has file, line and key.
    """
    file = root / CONFIGURATION
    if not file.is_file():
        raise NotFound(
            f"no {CONFIGURATION} in {root}",
            hint="muster init --template pumps DIR makes a workspace, or name the folder of yours",
        )
    settings = read_yaml(file, Settings)
    profiles = tuple(_profile(root, name) for name in settings.profiles)
    _check_kind(file, settings, profiles)
    return Workspace(root.resolve(), settings, profiles)


_SCHEMA = "muster schema prints what each key may hold"


def read_yaml(file: Path, model: type[T], hint: str = _SCHEMA) -> T:
    """Read ``file`` into ``model``; every error carries file, line and key. ``hint`` says where the schema is to be read."""
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: byte {error.start} is no UTF-8 text", hint="save the file as UTF-8") from None
    return parse_yaml(text, model, str(file), hint)


def parse_yaml(text: str, model: type[T], name: str, hint: str = _SCHEMA) -> T:
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        value = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise InputError(
            f"{name}{line}: no valid YAML: {getattr(error, 'problem', error)}", hint="mend the syntax there"
        ) from None
    _reject_duplicate_keys(node, name)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        problems = [_problem(name, node, e) for e in _deepest([dict(e) for e in error.errors()])]
        raise InputError("\n".join(problems), hint=hint) from None


def read_profile(file: Path) -> Profile:
    """A profile in a file of its name.

    Raises:
        InputError: it is no profile, or one of another name.
    """
    profile = read_yaml(file, Profile, "muster schema --profile prints what each key may hold")
    if profile.name != file.stem:
        raise InputError(f"{file}, key name: is '{profile.name}', the file is called '{file.stem}'", hint="make both the same")
    return profile


def _profile(root: Path, name: str) -> Profile:
    file = root / "profiles" / f"{name}.yaml"
    if not file.is_file():
        raise NotFound(
            f"{root / CONFIGURATION}, key profiles: '{name}' has no file {file}", hint="add the file or take the name out"
        )
    return read_profile(file)


def _check_kind(file: Path, settings: Settings, profiles: tuple[Profile, ...]) -> None:
    """Some runtimes cannot run every kind of model."""
    if settings.model.kind != "gradient_boosting":
        return
    if without := [profile.name for profile in profiles if profile.runtime.name in ("litert", "openvino")]:
        raise InputError(
            f"{file}, key profiles: LiteRT and OpenVINO have no trees, so model.kind: gradient_boosting cannot run on "
            f"{', '.join(without)}",
            hint="set their runtime.name to onnxruntime or c99, take profiles and their devices out, or use model.kind: electra",
        )


def _deepest(errors: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without those about a whole whose part is wrong: the part says it."""

    def inside(outer: tuple[Any, ...], inner: tuple[Any, ...]) -> bool:
        return len(inner) > len(outer) and inner[: len(outer)] == outer

    return [e for e in errors if not any(inside(e["loc"], other["loc"]) for other in errors)]


def _problem(name: str, node: yaml.Node | None, error: dict[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "(top)"
    message = str(error["msg"]).removeprefix("Value error, ")
    given = error.get("input")
    shown = f" (got {given!r})" if isinstance(given, str | int | float | bool) else ""
    return f"{name}, line {_line(node, error['loc'])}, key {key}: {message}{shown}"


def _line(node: yaml.Node | None, loc: tuple[Any, ...]) -> int:
    """Line of the deepest part of ``loc`` that the document has."""
    line = node.start_mark.line + 1 if node else 1
    for part in loc:
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == str(part)), None)
            if found is None:
                continue  # a kind that pydantic adds to the path, or a key that is missing
            line, node = found[0].start_mark.line + 1, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            break
    return line


def _reject_duplicate_keys(node: yaml.Node | None, name: str, above: tuple[yaml.Node, ...] = ()) -> None:
    """Also what holds itself, by an alias of what stands ``above``."""
    if any(node is outer for outer in above):
        line = node.start_mark.line + 1 if node else 1
        raise InputError(f"{name}, line {line}: holds itself", hint="take the alias (*) in it out")
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                raise InputError(f"{name}, line {key.start_mark.line + 1}, key {key.value}: written twice", hint="keep one")
            seen.add(key.value)
            _reject_duplicate_keys(value, name, (*above, node))
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            _reject_duplicate_keys(value, name, (*above, node))
