"""A linear probe on frozen vectors, solved to its optimum. Knows arrays; must not know bases, tokens or files."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Tensor
from torch.nn import functional

STRENGTHS = (1.0, 1e-1, 1e-2, 3e-3, 1e-3, 3e-4, 1e-4)
RIDGE_STRENGTHS = tuple(10.0**power for power in range(2, -6, -1))
_ITERATIONS = 200
_TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True)
class Probe:
    """A linear model on standardised vectors. `strength` is the L2 penalty per row that the validation rows chose."""

    kind: str
    weights_dc: np.ndarray
    bias_c: np.ndarray
    mean_d: np.ndarray
    scale_d: np.ndarray
    strength: float

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Of features [r, d]: probabilities float32 [r, c], or for regression values float32 [r]."""
        inputs_rd = torch.from_numpy(self._standardised(features))
        scores_rc = inputs_rd @ torch.from_numpy(self.weights_dc) + torch.from_numpy(self.bias_c)
        return _answers(scores_rc, self.kind).numpy()

    def _standardised(self, features: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray((features - self.mean_d) / self.scale_d, dtype=np.float32)


def fit_probe(
    train_features: np.ndarray,
    train_targets: np.ndarray,
    validation_features: np.ndarray,
    validation_targets: np.ndarray,
    *,
    kind: str,
) -> Probe:
    """The linear model on features [r, d] that answers best, its L2 strength chosen by loss on the validation rows.

    Multinomial logistic regression for classification (targets int64 [r]), one logistic regression a label for
    multi_label (0/1 [r, c]), both by L-BFGS (Liu & Nocedal 1989) from the strongest penalty to the weakest, each start
    where the last one ended; ridge for regression (float [r]), in closed form. The bias is never penalised.
    """
    mean_d = train_features.mean(0, dtype=np.float64).astype(np.float32)
    scale_d = train_features.std(0, dtype=np.float64).astype(np.float32)
    scale_d[scale_d < 1e-6] = 1.0  # a constant column says nothing; leave it at zero after centring
    train_rd, validation_rd = (
        torch.from_numpy(np.ascontiguousarray((features - mean_d) / scale_d, dtype=np.float32))
        for features in (train_features, validation_features)
    )
    train, validation = torch.from_numpy(train_targets), torch.from_numpy(validation_targets)
    path = _ridge_path(train_rd, train) if kind == "regression" else _logistic_path(train_rd, train, kind)
    least, chosen = np.inf, None
    for strength, weights_dc, bias_c in path:
        loss = float(_loss(validation_rd @ weights_dc + bias_c, validation, kind))
        if loss >= least:
            break  # weaker penalties only fit the train rows closer
        least, chosen = loss, (weights_dc.numpy(), bias_c.numpy(), strength)
    assert chosen is not None, "features and targets are finite"
    return Probe(kind, chosen[0], chosen[1], mean_d, scale_d, chosen[2])


def _logistic_path(inputs_rd: Tensor, targets: Tensor, kind: str) -> Iterator[tuple[float, Tensor, Tensor]]:
    """Optimal weights [d, c] and bias [c] for each strength, strongest first.

    Solved in the basis of the inputs' principal axes, each scaled by the curvature it has where no class is sure; that
    takes several times fewer steps than the inputs as they are, and the same optimum.
    """
    outputs = int(targets.max()) + 1 if kind == "classification" else targets.shape[1]
    spread = 1.0 / outputs if kind == "classification" else 0.25
    spreads_d, axes_dd = torch.linalg.eigh((inputs_rd.T @ inputs_rd).double() / len(inputs_rd))
    turned_rd = inputs_rd @ axes_dd.float()
    solved = torch.zeros(inputs_rd.shape[1] + 1, outputs, dtype=torch.float64)
    for strength in STRENGTHS:
        curvatures = torch.cat([spreads_d.clamp(min=0) * spread + strength, torch.tensor([spread]).double()])
        scales = curvatures.rsqrt()[:, None]
        solved = scales * _minimum(turned_rd, targets, kind, scales=scales, start=solved / scales, strength=strength)
        yield strength, axes_dd.float() @ solved[:-1].float(), solved[-1].float()


def _minimum(
    inputs_rd: Tensor, targets: Tensor, kind: str, *, scales: Tensor, start: Tensor, strength: float
) -> Tensor:
    """The scaled weights with the bias as last row, float64 [d + 1, c], that minimise loss plus L2 penalty."""

    def value_and_slope(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = (torch.from_numpy(flat).view(start.shape) * scales).float().requires_grad_()
        penalty = 0.5 * strength * weights[:-1].square().sum()
        objective = _loss(inputs_rd @ weights[:-1] + weights[-1], targets, kind) + penalty
        (slope,) = torch.autograd.grad(objective, weights)
        return float(objective.detach()), (slope.double() * scales).numpy().ravel()

    options = {"maxiter": _ITERATIONS, "gtol": _TOLERANCE, "ftol": 1e-6}
    found = minimize(value_and_slope, start.numpy().ravel(), jac=True, method="L-BFGS-B", options=options)
    return torch.from_numpy(found.x).view(start.shape)


def _ridge_path(inputs_rd: Tensor, targets: Tensor) -> Iterator[tuple[float, Tensor, Tensor]]:
    """The same for least squares: one eigendecomposition serves all strengths (Hastie et al. 2009, 3.4.1)."""
    inputs_rd, targets = inputs_rd.double(), targets.double()
    centre = targets.mean()
    values_d, vectors_dd = torch.linalg.eigh(inputs_rd.T @ inputs_rd / len(inputs_rd))
    projected_d = vectors_dd.T @ (inputs_rd.T @ (targets - centre)) / len(inputs_rd)
    for strength in RIDGE_STRENGTHS:
        weights_d = vectors_dd @ (projected_d / (values_d.clamp(min=0) + strength))
        yield strength, weights_d[:, None].float(), centre[None].float()


def _loss(scores_rc: Tensor, targets: Tensor, kind: str) -> Tensor:
    """Mean over rows: cross-entropy, binary cross-entropies summed over labels, or squared error."""
    if kind == "classification":
        return functional.cross_entropy(scores_rc, targets)
    if kind == "multi_label":
        summed = functional.binary_cross_entropy_with_logits(scores_rc, targets.to(scores_rc.dtype), reduction="sum")
        return summed / len(scores_rc)
    return functional.mse_loss(scores_rc.squeeze(1), targets.to(scores_rc.dtype))


def _answers(scores_rc: Tensor, kind: str) -> Tensor:
    if kind == "classification":
        return scores_rc.softmax(1)
    return scores_rc.sigmoid() if kind == "multi_label" else scores_rc.squeeze(1)
