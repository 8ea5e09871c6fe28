"""Votes of labelling functions -> probabilities of classes, without knowing the truth.

label_model  the model, how it is fitted, which kind of it is chosen
naive_bayes  what each function is worth
correlation  functions that err together
sequences    windows that follow each other in time
selection    what a few gold labels decide
estimates    how good each function seems to be
decision     from probabilities to hard labels
votes        votes by the million
"""

from components.labeling.model.label_model import LabelModel, fit_label_model

__all__ = ["LabelModel", "fit_label_model"]
