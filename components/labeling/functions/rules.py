"""Labelling functions for experts who do not program: rules in YAML (`labeling.rules`), each a list of conditions.

A rule votes for its class on the windows on which all conditions under ``when`` hold; a comparison with a value that
is missing does not hold. `conditions` says what each kind means.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray
from pydantic import Field, field_validator

from components.labeling.functions.conditions import Condition
from components.labeling.functions.declaring import Body, LabelingFunction
from components.labeling.functions.view import WindowView, widest
from components.workspace.errors import InputError, NotFound
from components.workspace.section import Name, Section
from components.workspace.settings import Settings
from components.workspace.workspace import read_yaml


class Rule(Section):
    name: str = Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")
    task: Name
    votes: str = Field(description="the class it votes for")
    description: str = ""
    when: tuple[Condition, ...] = Field(min_length=1, strict=False, description="conditions that all have to hold")


class Rules(Section):
    """All of a rule file."""

    rules: tuple[Rule, ...] = Field(strict=False)

    @field_validator("rules", mode="before")
    @classmethod
    def _is_a_list(cls, value: Any) -> Any:
        """Nothing at all is a list without rules: what is left when all of them are commented out."""
        if value is not None and not isinstance(value, list | tuple):
            raise ValueError("is a list of rules, each beginning with '- name:'")
        return value or ()


def read_rules(file: Path, settings: Settings) -> list[LabelingFunction]:
    """The rules of ``file`` as labelling functions, in its order; each sees no more than its conditions need.

    Raises:
        NotFound: there is no such file.
        InputError: it is no YAML or breaks the schema, or a rule names records that are not declared or a bad pattern;
            the message has file, line and key.
    """
    if not file.is_file():
        raise NotFound(f"no file {file}", hint="write it, or take labeling.rules out of muster.yaml")
    rules = read_yaml(file, Rules, "docs/labelling-functions.md shows every kind of rule").rules
    lines = _lines(file) or [1] * len(rules)
    functions = [_function(rule, file, line) for rule, line in zip(rules, lines, strict=True)]
    for function, rule in zip(functions, rules, strict=True):
        _check_records(function, rule, settings)
    return functions


def _function(rule: Rule, file: Path, line: int) -> LabelingFunction:
    sees = widest(*(c.sees for c in rule.when))
    channels = tuple(dict.fromkeys(name for c in rule.when for name in c.channels))
    meaning = rule.model_dump(mode="json", exclude={"description"})
    return LabelingFunction(rule.name, rule.task, rule.votes, channels, sees, rule.description, _body(rule), file, line, meaning)


def _body(rule: Rule) -> Body:
    def holds(w: WindowView) -> NDArray[np.bool_]:
        return np.logical_and.reduce([c.holds(w) for c in rule.when])

    return holds


def _check_records(function: LabelingFunction, rule: Rule, settings: Settings) -> None:
    for condition in rule.when:
        try:
            condition.check(settings)
        except InputError as error:
            raise InputError(f"{function.where}: {error.message}", hint=error.hint) from None


def _lines(file: Path) -> list[int]:
    """The line on which each rule begins; none where a merge key brings the list from elsewhere."""
    document = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    listed = [value for key, value in getattr(document, "value", ()) if key.value == "rules"]
    return [item.start_mark.line + 1 for value in listed for item in value.value]
