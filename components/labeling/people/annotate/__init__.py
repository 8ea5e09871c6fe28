"""Labelling by hand: one window after another, those most worth it first.

session   what is asked next, and what becomes of an answer
pages     the question as HTML
web       the pages behind a token on this machine's own address
terminal  the same in text
"""

from components.labeling.people.annotate.session import Question, Session, open_session

__all__ = ["Question", "Session", "open_session"]
