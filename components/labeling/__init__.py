"""Labels without hand labels: labelling functions, how they are applied, combined and inspected.

view       what a labelling function sees
functions  what it is, how a workspace declares it, how it is applied
model      how votes become probabilities
label      the step: windows -> one LabelSet a task
gold       declared labels in place of votes
report     how to inspect all this
"""

from components.labeling.functions import labeling_function
from components.labeling.view import WindowView

__all__ = ["WindowView", "labeling_function"]
