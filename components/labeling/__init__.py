"""Labels without hand labels: what experts' rules and people's answers say, combined and inspected.

label      the step: windows -> one LabelSet a task
functions  labelling functions: what they are, what they see, how they become votes
people     answers of people: asking, keeping, reading them
model      how votes become probabilities
report     what became of it all
elsewhere  votes of other tools, without a workspace
"""

from components.labeling.functions.declaring import labeling_function
from components.labeling.functions.view import WindowView

__all__ = ["WindowView", "labeling_function"]
