"""The frozen values that travel from step to step, each with `save(folder)` and `load(folder)`.

Dataset   accepted telemetry, validated against the contract
Windows   fixed-length slices of it: physical values and the int8 codes that the device would see
LabelSet  votes and probabilities of one task
Targets   declared numbers of one regression task
TrainedModel   weights, or trees, and everything that makes a score of them
Artefact  one model compiled for one hardware profile
Proof     the record that the artefact ran in its device's own runtime
ImageRecord    the record that a firmware image holds the artefact's model
"""

from components.values.architecture import Architecture, Head
from components.values.artefact import Artefact
from components.values.dataset import Dataset
from components.values.image import ImageRecord
from components.values.labels import LabelSet
from components.values.model import BoostedModel, ElectraModel, TrainedModel
from components.values.proof import Check, Proof
from components.values.targets import Targets
from components.values.windows import Windows

__all__ = [
    "Architecture",
    "Artefact",
    "BoostedModel",
    "Check",
    "Dataset",
    "ElectraModel",
    "Head",
    "ImageRecord",
    "LabelSet",
    "Proof",
    "Targets",
    "TrainedModel",
    "Windows",
]
