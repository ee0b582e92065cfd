"""Axis 2: what is minimised. One class and one table row per objective."""

from tunewright.train.objectives.contrastive import Contrastive
from tunewright.train.objectives.cosent import CoSent
from tunewright.train.objectives.masked import Masked
from tunewright.train.objectives.supervised import Supervised

OBJECTIVES: dict[str, type] = {
    "supervised": Supervised, "contrastive": Contrastive, "cosent": CoSent, "masked": Masked,
}  # fmt: skip
