"""Labels without hand labels: labelling functions, how they are applied, combined and inspected.

view       what a labelling function sees (records, networks, peers, spells: what it may ask of it)
functions  what it is, how a workspace declares it
rules      how one is written in YAML (conditions: what the rules may say)
apply      how functions become votes (calling: what becomes of one that fails)
kept       votes of functions that did not change (fingerprint: what a change is)
model      how votes become probabilities
label      the step: windows -> one LabelSet a task
gold       declared labels in place of votes
report     how to inspect all this
"""

from components.labeling.functions import labeling_function
from components.labeling.view import WindowView

__all__ = ["WindowView", "labeling_function"]
