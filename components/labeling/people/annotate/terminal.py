"""Labelling by hand in text, for machines without a browser."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from components.labeling.people.excerpt import as_text

if TYPE_CHECKING:
    from components.labeling.people.annotate.session import Question, Session


def run(session: Session, ask: Callable[[str], str], tell: Callable[[str], None]) -> None:
    """Ask until nothing is left or the person quits. ``ask`` shows a prompt and returns a line, ``tell`` prints one.

    Raises:
        EOFError: from ``ask``, when the input ends.
    """
    keys = {str(number): name for number, name in enumerate(session.classes, 1)} | {"0": ""}
    prompt = "  ".join(f"{key} {name or 'cannot tell'}" for key, name in keys.items()) + "  u undo  v votes  q quit > "
    while question := session.question():
        tell(_describe(question))
        said = ask(prompt).strip().lower()
        while said not in keys and said not in {"u", "q"}:
            tell(_votes(question) if said == "v" else f"no answer '{said}'")
            said = ask(prompt).strip().lower()
        if said == "q":
            return
        if said == "u":
            tell("took the last answer back" if session.undo() else "nothing to take back")
        else:
            session.answer(question.position, keys[said])
    tell("no window is left to ask about in this round")


def _describe(question: Question) -> str:
    lines = [f"\n{question.device_id}, {question.start:%Y-%m-%d %H:%M:%S} to {question.end:%H:%M:%S} UTC  {question.context}"]
    if question.disputed:
        said = ", ".join(f"{name}: {value}" for name, value in question.disputed)
        lines.append(f"people disagree about this window ({said}); your answer replaces your earlier one")
    return "\n".join([*lines, as_text(question.shown)])


def _votes(question: Question) -> str:
    said = ", ".join(f"{function}: {name}" for function, name in question.votes)
    return f"rules say {said}" if said else "no rule speaks about this window"
