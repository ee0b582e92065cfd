"""What objectives have in common: nothing to fit, the batch's weights; and what each must say for itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from tunewright.train.objectives import OBJECTIVES
from tunewright.train.objectives.objective import Objective
from tunewright.values import Batch, Context


class Half(Objective):
    """A half for every item."""

    def refusal(self, kind: str) -> str | None:
        return None

    def values(self, context: Context) -> Tensor:
        return torch.full((context.batch.rows,), 0.5)


def test_what_an_objective_need_not_say():
    objective, weights = Half(), torch.tensor([1.0, 2.0])
    rows = torch.arange(2)
    batch = Batch(rows[:, None], torch.ones(2), None, owner_s=rows, row_indices_b=rows, targets=rows, weights_m=weights)
    assert objective.needs == {"targets"} and objective.provides == frozenset()
    assert objective.fitted(np.arange(3), kind="classification", classes=3) is objective
    assert objective.weights(batch) is weights


@pytest.mark.parametrize("missing", ["refusal", "values"])
def test_what_every_objective_must_say(missing):
    said = {name: getattr(Half, name) for name in ("refusal", "values") if name != missing}
    lacking = type("Lacking", (Objective,), said)
    with pytest.raises(TypeError, match=missing):
        lacking()


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_in_the_table_is_one(name):
    assert issubclass(OBJECTIVES[name], Objective)
