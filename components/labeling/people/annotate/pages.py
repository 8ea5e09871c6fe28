"""The pages of labelling by hand: plain HTML forms, no script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
from html import escape

from components.labeling.people.annotate.session import Question, Session
from components.labeling.people.excerpt import as_svg

STYLE = """
:root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1rem auto;max-width:60rem;padding:0 1rem}
h1{font-size:1.2rem}form{display:inline}button{font:inherit;padding:.5rem 1rem;margin:.25rem .25rem .25rem 0;cursor:pointer}
.quiet{opacity:.75}.warn{border-left:4px solid #d9822b;padding-left:.75rem}table{border-collapse:collapse}
td,th{border-bottom:1px solid #8886;padding:.2rem .8rem .2rem 0;text-align:left}
""".strip()
STYLE_DIGEST = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
"""What the content security policy allows as style: these bytes and no others."""

_KEYS = 9


def question_page(session: Session, question: Question, *, votes: bool) -> str:
    """The window, its context and one button a class; ``votes`` shows what the functions say."""
    body = [
        f"<p>{escape(question.device_id)}, {question.start:%Y-%m-%d %H:%M:%S} to {question.end:%H:%M:%S} UTC. "
        f'<span class="quiet">{escape(question.context)}</span></p>',
        as_svg(question.shown),
        '<p class="quiet">The shaded part is the window to judge; dashes show what this device usually sends.</p>',
        _dispute(question),
        _answers(session.classes, question.position, votes=votes),
        _votes(question, shown=votes),
        _progress(session, votes=votes),
    ]
    return _page(f"Which {session.task.name} is this?", "\n".join(body))


def finished_page(session: Session) -> str:
    done = "<p>No window is left to ask about in this round. Stop the program, run <code>muster step label</code>, and look "
    return _page(
        "Done", f"{done}at <code>muster labels report</code>; a new round asks what is then hardest.</p>{_progress(session)}"
    )


def error_page(title: str, message: str) -> str:
    return _page(title, f"<p>{escape(message)}</p>")


def _answers(classes: tuple[str, ...], position: int, *, votes: bool) -> str:
    buttons = [
        f'<button name="value" value="{escape(name)}"{_key(number)}>{escape(name)}</button>'
        for number, name in enumerate(classes, 1)
    ]
    buttons.append('<button name="value" value="" accesskey="0">cannot tell</button>')
    return (
        f'<form method="post" action="answer"><input type="hidden" name="position" value="{position}">'
        f"{_keep(votes)}{''.join(buttons)}</form>"
    )


def _key(number: int) -> str:
    return f' accesskey="{number}"' if number <= _KEYS else ""


def _votes(question: Question, *, shown: bool) -> str:
    """Hidden unless asked for: a person who has seen the rules' opinion repeats it."""
    if not shown:
        return '<p class="quiet"><a href="?votes=1">Show what the rules say</a></p>'
    rows = "".join(f"<tr><td>{escape(f)}</td><td>{escape(c)}</td></tr>" for f, c in question.votes)
    table = f"<table><tr><th>rule</th><th>says</th></tr>{rows}</table>" if rows else "<p>No rule speaks about this window.</p>"
    return f'{table}<p class="quiet"><a href="?votes=0">Hide what the rules say</a></p>'


def _dispute(question: Question) -> str:
    if not question.disputed:
        return ""
    said = ", ".join(f"{escape(name)}: {escape(value)}" for name, value in question.disputed)
    return f'<p class="warn">People disagree about this window ({said}). Your answer replaces your earlier one.</p>'


def _progress(session: Session, *, votes: bool = False) -> str:
    done = session.answered()
    undo = f'<form method="post" action="undo">{_keep(votes)}<button accesskey="u">undo</button></form>' if done else ""
    count = f"{done} answered as {escape(session.by)}, up to {len(session.order)} in this round"
    return f'<p class="quiet">{count} {undo}</p>'


def _keep(votes: bool) -> str:
    return '<input type="hidden" name="votes" value="1">' if votes else ""


def _page(title: str, body: str) -> str:
    head = '<meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">'
    return (
        f'<!doctype html>\n<html lang="en"><head>{head}<title>{escape(title)}</title><style>{STYLE}</style></head>'
        f"<body><h1>{escape(title)}</h1>\n{body}\n</body></html>\n"
    )
