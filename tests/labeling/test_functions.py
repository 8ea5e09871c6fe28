"""How functions are declared, and what a declaration may not say."""

from __future__ import annotations

from pathlib import Path

import pytest

from components.labeling.functions.declaring import LabelingFunction, load_functions
from components.workspace.errors import InputError
from tests.ingestion import small
from tests.labeling.test_labels import GOOD, HEAD


def loaded(root: Path, text: str) -> list[LabelingFunction]:
    made = small.workspace(root / "w")
    (made.root / "labeling.py").write_text(HEAD + GOOD + text)
    return load_functions(made, made.settings.tasks[0])


def test_a_function_is_described_by_its_docstring_unless_it_says_otherwise(tmp_path: Path) -> None:
    functions = loaded(
        tmp_path,
        '''
@labeling_function(task="state", votes="high", channels="flow", sees="window")
def one(w):
    """From the docstring."""

@labeling_function(task="state", votes="high", name="second", description="As declared.")
def two(w):
    """From the docstring."""
''',
    )
    one, two = functions[3:]
    assert (one.description, two.description) == ("From the docstring.", "As declared.")
    assert (one.sees, two.sees) == ("window", "fleet")
    assert one.channels == ("flow",)
    assert two.name == "second"


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ('task="state", votes="high", sees="site"', r"line 17, labelling function odd: sees 'site'"),
        ('task="state", votes="high", channels="level"', "odd: no channel level"),
        ('task="state", votes="high", name="pressure_low"', "line 9 has one of this name too"),
        ('task="state", votes="high", sight="window"', r"labeling\.py, line 17: TypeError"),
    ],
)
def test_a_declaration_that_names_what_is_not_there_is_refused(tmp_path: Path, declared: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        loaded(tmp_path, f"\n@labeling_function({declared})\ndef odd(w):\n    return w.mean('flow') > 1\n")
    assert "labeling.py" in caught.value.message
    assert caught.value.hint


def test_functions_may_be_made_in_a_loop(tmp_path: Path) -> None:
    text = """
for channel in ("pressure", "flow"):
    @labeling_function(task="state", votes="high", name=f"{channel}_far_out", sees="window")
    def far_out(w, channel=channel):
        return w.z_max(channel) > 5
"""
    assert [f.name for f in loaded(tmp_path, text)][3:] == ["pressure_far_out", "flow_far_out"]
