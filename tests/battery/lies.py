"""Planted lies: changes that leave training green and make one sentence false. Each names the check that tells.

A lie is planted with pytest's monkeypatch in the engine or in a piece; `test_lies.py` asserts that it fails then.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from tests.battery import checks
from tests.battery.choices import PLAIN, Choice

from tunewright.model import trainable
from tunewright.model.heads import TaskModel
from tunewright.pipeline.fit import EarlyStop
from tunewright.recipe.schema import Recipe
from tunewright.train import engine, optimizers
from tunewright.train.engine import Training
from tunewright.train.objectives.supervised import Supervised
from tunewright.train.optimizers import AdamW, Masters, TouchedRows
from tunewright.train.schedules import LengthGrouped, Shuffled

SMOOTHED = Choice("objective", "supervised", {"label_smoothing": 0.2})
BALANCED = Choice("objective", "supervised", {"class_weights": "balanced"})


@dataclass(frozen=True)
class Lie:
    """`sentence` is what the user reads and what `plant` makes false; `check` must notice."""

    sentence: str
    plant: Callable[[pytest.MonkeyPatch], None]
    check: Callable[[], None]


LIES: dict[str, Lie] = {}


Plant = Callable[[pytest.MonkeyPatch], None]


def lie(sentence: str, check: Callable[..., None], *given: Any) -> Callable[[Plant], None]:
    def add(plant: Plant) -> None:
        LIES[plant.__name__] = Lie(sentence, plant, lambda: check(*given))

    return add


@lie("The model computes with what the optimiser has learned.", checks.working_weights_are_the_rounded_masters)
def masters_never_reach_the_working_weights(patch: pytest.MonkeyPatch) -> None:
    original = Masters._step_chunk

    def step(self: Masters, *given: Any) -> None:
        working, self.working = self.working, self.master
        original(self, *given)
        self.working = working

    patch.setattr(Masters, "_step_chunk", step)


@lie("Masters are float32: small steps add up.", checks.working_weights_are_the_rounded_masters)
def working_weights_drift_from_their_masters(patch: pytest.MonkeyPatch) -> None:
    original = Masters.step

    def step(self: Masters, rate: float, norm: float) -> None:
        original(self, rate, norm)
        self.working.mul_(1.01)

    patch.setattr(Masters, "step", step)


@lie("Each update starts from no gradient.", checks.gradients_are_forgotten_between_updates)
def gradients_are_not_cleared(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Masters, "forget_gradients", lambda self: None)


@lie("`accumulate` changes memory, not the result.", checks.number_of_passes_does_not_matter, PLAIN, "classification")
def accumulation_divides_by_the_number_of_passes(patch: pytest.MonkeyPatch) -> None:
    original = Training._backward

    def backward(self: Training, batches: list[Any]) -> float:
        loss = sum(original(self, [batch]) for batch in batches) / len(batches)  # each pass with its own denominator
        self.masters.gradient.div_(len(batches))
        return loss

    patch.setattr(Training, "_backward", backward)


@lie("Class weights hold for a whole update.", checks.number_of_passes_does_not_matter, BALANCED, "classification")
def class_weights_are_normalised_per_pass(patch: pytest.MonkeyPatch) -> None:
    def weights(self: Supervised, batch: Any) -> torch.Tensor:
        found = batch.weights_m if self.weight_c is None else batch.weights_m * self.weight_c[batch.targets]
        return found / found.mean().clamp(min=1e-6)

    patch.setattr(Supervised, "weights", weights)


@lie("Norms and biases are not decayed.", checks.updates_are_those_of_torch)
def decay_is_applied_to_biases(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(optimizers, "_undecayed", lambda model: set())


@lie("Gradients are clipped at `clip`.", checks.updates_are_those_of_torch)
def clipping_is_ignored(patch: pytest.MonkeyPatch) -> None:
    original = Masters.step
    patch.setattr(Masters, "step", lambda self, rate, norm: original(self, rate, 0.0))


@lie("`clip` is an option.", checks.option_is_alive, Choice("optimizer", "adamw", {"clip": 0.05}))
def clip_is_always_one(patch: pytest.MonkeyPatch) -> None:
    original = Masters.__init__

    def begin(self: Masters, model: Any, names: Any, optimizer: AdamW, **options: Any) -> None:
        original(self, model, names, replace(optimizer, clip=1.0), **options)

    patch.setattr(Masters, "__init__", begin)


@lie("`label_smoothing` smooths labels.", checks.option_is_alive, SMOOTHED)
def label_smoothing_is_read_and_unused(patch: pytest.MonkeyPatch) -> None:
    original = Supervised.values
    patch.setattr(Supervised, "values", lambda self, context: original(replace(self, label_smoothing=0.0), context))


@lie("`class_weights` weighs classes.", checks.option_is_alive, BALANCED)
def class_weights_are_fitted_and_unused(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supervised, "weights", lambda self, batch: batch.weights_m)


@lie("The head always trains.", checks.reaches_what_is_selected, Choice("trainable", "last_layers"))
def the_head_is_not_trained(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainable.LastLayersTrainable, "filter", lambda self: trainable.LastLayers(self.layers))


@lie("LoRA trains both of its matrices.", checks.reaches_what_is_selected, Choice("trainable", "lora"))
def the_second_matrix_of_lora_is_frozen_at_zero(patch: pytest.MonkeyPatch) -> None:
    half = trainable.Any((trainable.Path("*.lora_A.*"), trainable.Head()))
    patch.setattr(trainable.Lora, "filter", lambda self: half)


@lie("`alpha` scales what LoRA adds.", checks.option_is_alive, Choice("trainable", "lora", {"alpha": 3.0}))
def alpha_of_lora_is_ignored(patch: pytest.MonkeyPatch) -> None:
    original = trainable.add_lora
    patch.setattr(
        trainable, "add_lora", lambda model, **options: original(model, **options | {"alpha": 2.0 * options["rank"]})
    )


@lie("What is frozen keeps its bits.", checks.reaches_what_is_selected, Choice("trainable", "head"))
def a_frozen_norm_drifts(patch: pytest.MonkeyPatch) -> None:
    original = Training._update

    def update(self: Training, rows: np.ndarray) -> Any:
        fact = original(self, rows)
        with torch.no_grad():
            self.model.trunk.encoder.layer[0].output.LayerNorm.weight.mul_(1.001)
        return fact

    patch.setattr(Training, "_update", update)


@lie("Every pass draws dropout of its own.", checks.dropout_differs_from_pass_to_pass)
def every_pass_has_the_same_seed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "seed_of", lambda run, update, micro_batch, *, view: 7)


@lie("Passes of one update differ in dropout.", checks.dropout_differs_from_pass_to_pass)
def passes_of_an_update_share_their_seed(patch: pytest.MonkeyPatch) -> None:
    original = engine.seed_of
    patch.setattr(engine, "seed_of", lambda run, update, micro_batch, *, view: original(run, update, 0, view=view))


@lie("A seed gives one model.", checks.dropout_differs_from_pass_to_pass)
def dropout_is_not_seeded(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "seed_randomness", lambda seed: None)


@lie("Rows of the embedding that nobody reads decay too.", checks.updates_are_those_of_torch)
def untouched_rows_forget_their_decay(patch: pytest.MonkeyPatch) -> None:
    original = TouchedRows.settle

    def settle(self: TouchedRows) -> None:
        self.kept = 1.0
        original(self)

    patch.setattr(TouchedRows, "settle", settle)


@lie("Rows first read late have paid their decay.", checks.updates_are_those_of_torch)
def rows_read_late_start_from_their_undecayed_value(patch: pytest.MonkeyPatch) -> None:
    original = TouchedRows.touch

    def touch(self: TouchedRows, ids: torch.Tensor) -> None:
        kept, self.kept = self.kept, 1.0
        original(self, ids)
        self.kept = kept

    patch.setattr(TouchedRows, "touch", touch)


@lie("Cached vectors stay true.", checks.features_are_fixed_where_it_is_said, Choice("trainable", "biases"))
def features_of_a_trunk_that_trains_are_called_fixed(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainable.TrainBiases, "features_fixed", True)


@lie("A resumed run is the run that was not interrupted.", checks.resume_is_exact)
def the_checkpoint_lacks_the_second_moment(patch: pytest.MonkeyPatch) -> None:
    original = Masters.load_state

    def load(self: Masters, tensors: Any) -> None:
        original(self, {**tensors, "second_moment": torch.zeros_like(tensors["second_moment"])})

    patch.setattr(Masters, "load_state", load)


@lie("A resumed run counts its steps on.", checks.resume_is_exact)
def the_resumed_optimiser_counts_from_zero(patch: pytest.MonkeyPatch) -> None:
    original = Masters.load_state
    patch.setattr(Masters, "load_state", lambda self, tensors: original(self, {**tensors, "steps": torch.tensor(0)}))


@lie("A resumed run goes on with the next update.", checks.resume_is_exact)
def the_cursor_is_off_by_one_after_a_resume(patch: pytest.MonkeyPatch) -> None:
    original = Training.load_state

    def load(self: Training, tensors: Any, values: Any) -> None:
        original(self, tensors, values)
        self.cursor.position -= 1

    patch.setattr(Training, "load_state", load)


@lie("Resume goes on in the epoch it stopped in.", checks.resume_is_exact)
def a_resume_replays_epoch_0(patch: pytest.MonkeyPatch) -> None:
    original = Training.load_state

    def load(self: Training, tensors: Any, values: Any) -> None:
        original(self, tensors, values)
        self.cursor.epoch = 0

    patch.setattr(Training, "load_state", load)


@lie("Early stopping keeps the best weights.", checks.the_best_weights_are_those_of_the_best_judgement)
def the_best_is_the_last(patch: pytest.MonkeyPatch) -> None:
    def see(self: EarlyStop, value: float, loss: float, update: int, sign: int) -> bool:
        self.best, self.best_loss, self.best_update, self.since, self.judged_at = value, loss, update, 0, update
        return True

    patch.setattr(EarlyStop, "see", see)


@lie("The best weights come back at the end.", checks.kept_weights_come_back)
def restored_weights_stop_at_the_masters(patch: pytest.MonkeyPatch) -> None:
    def load(self: Masters, tensors: Any) -> None:
        for name, (start, shape) in self.places.items():
            self.master[start : start + shape.numel()].copy_(tensors[name].reshape(-1))

    patch.setattr(Masters, "load_trained", load)


@lie("A row of weight 0 contributes nothing.", checks.rows_of_no_weight_contribute_nothing, PLAIN, "classification")
def the_weight_of_a_row_is_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supervised, "weights", lambda self, batch: torch.ones_like(batch.weights_m))


@lie("Every row trains once an epoch.", checks.each_row_trains_once_an_epoch)
def the_schedule_drops_the_last_smaller_update(patch: pytest.MonkeyPatch) -> None:
    original = Shuffled.updates

    def updates(self: Shuffled, lengths_r: np.ndarray, *, rows_per_update: int, **given: Any) -> list[np.ndarray]:
        planned = original(self, lengths_r, rows_per_update=rows_per_update, **given)
        return [update for update in planned if len(update) == rows_per_update]

    patch.setattr(Shuffled, "updates", updates)


@lie("Every row trains, also one that pads badly.", checks.each_row_trains_once_an_epoch)
def the_longest_row_of_an_update_is_dropped(patch: pytest.MonkeyPatch) -> None:
    original = Training._passes
    patch.setattr(Training, "_passes", lambda self, rows: original(self, rows[1:] if len(rows) > 1 else rows))


@lie("Every epoch has an order of its own.", checks.schedules_order_rows_differently)
def every_epoch_has_the_same_order(patch: pytest.MonkeyPatch) -> None:
    original = Shuffled.updates
    patch.setattr(Shuffled, "updates", lambda self, rows, **given: original(self, rows, **given | {"epoch": 0}))


@lie("`length_grouped` groups by length.", checks.schedules_order_rows_differently)
def grouping_by_length_is_plain_shuffling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LengthGrouped, "updates", Shuffled.updates)


@lie("A vector is the mean over a row's real tokens.", checks.padding_is_not_read)
def padding_is_counted_in_pooling(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TaskModel, "_pool_sequences", lambda self, vectors_std, batch: vectors_std.float().mean(1))


@lie("What is not finite never reaches the weights.", checks.what_is_not_finite_is_kept_out)
def an_update_of_nan_is_applied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine.math, "isfinite", lambda number: True)


@lie("Three updates in a row that are not finite end the run.", checks.what_is_not_finite_is_kept_out)
def updates_are_skipped_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(engine, "_MOST_SKIPS_IN_A_ROW", math.inf)


@lie("The rate rises and falls as `warmup` and `decay` say.", checks.updates_are_those_of_torch)
def the_rate_is_stuck(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(AdamW, "rate_at", lambda self, progress, **_: self.rate)


@lie("`decay` chooses how the rate falls.", checks.option_is_alive, Choice("optimizer", "adamw", {"decay": "cosine"}))
def the_rate_always_falls_linearly(patch: pytest.MonkeyPatch) -> None:
    original = AdamW.rate_at

    def falling(self: AdamW, *shares: float, **more: float) -> float:
        return original(replace(self, decay="linear"), *shares, **more)

    patch.setattr(AdamW, "rate_at", falling)


@lie("The head's rate is rate * head_rate_factor.", checks.updates_are_those_of_torch)
def the_heads_rate_factor_is_ignored(patch: pytest.MonkeyPatch) -> None:
    original = Masters._lay_out

    def lay_out(self: Masters, *given: Any) -> None:
        original(self, *given)
        for span in self.spans:
            span.rate_factor = 1.0

    patch.setattr(Masters, "_lay_out", lay_out)


@lie("The loss told is the loss of the update.", checks.the_loss_told_is_the_loss_of_the_update)
def only_the_last_pass_is_told(patch: pytest.MonkeyPatch) -> None:
    original = Training._backward

    def backward(self: Training, batches: list[Any]) -> float:
        original(self, batches[:-1])
        return original(self, batches[-1:])

    patch.setattr(Training, "_backward", backward)


@lie("The recipe's options reach the pieces.", checks.options_survive_the_round_trip, SMOOTHED)
def options_are_dropped_when_a_recipe_is_written(patch: pytest.MonkeyPatch) -> None:
    original = Recipe.model_dump

    def dump(self: Any, **options: Any) -> dict[str, Any]:
        written = original(self, **options)
        for phase in written.get("phases", []):
            if isinstance(phase["objective"], dict):
                phase["objective"] = phase["objective"]["kind"]
        return written

    patch.setattr(Recipe, "model_dump", dump)


@lie("A piece says what it needs.", checks.needs_and_provides_are_true, PLAIN)
def the_objective_hides_that_it_needs_targets(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Supervised, "needs", frozenset())


@lie("Different choices train different parameters.", checks.trainables_select_different_parameters)
def biases_train_everything(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(trainable.TrainBiases, "filter", lambda self: trainable.Everything())


@lie("Training learns.", checks.training_learns)
def answers_come_from_other_rows(patch: pytest.MonkeyPatch) -> None:
    original = Supervised.values

    def values(self: Supervised, context: Any) -> torch.Tensor:
        shifted = replace(context.batch, targets=(context.batch.targets + context.batch.lengths_s) % 3)
        return original(self, replace(context, batch=shifted))

    patch.setattr(Supervised, "values", values)
