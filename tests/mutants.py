"""`python -m tests.mutants`: small errors put into a copy of the engine, each of which must break a test.

Each mutant is one edit of one source file. The package is copied to a temporary folder, edited there and put first on
PYTHONPATH, and the tests named beside the edit are run on it. Exits 1 if a mutant survives, if the tests fail without
any edit, or if an edit no longer fits the source.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "tunewright"
SECONDS_PER_MUTANT = 120


@dataclass(frozen=True)
class Mutant:
    """`before` stands exactly once in `file` and is replaced by `after`; `tests` are what pytest is given."""

    says: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


def _tests(file: str, *names: str) -> tuple[str, ...]:
    return (f"tests/{file}", *(("-k", " or ".join(names)) if names else ()))


_ENGINE, _OPTIMIZERS, _CHECKPOINT = "train/engine.py", "train/optimizers.py", "train/checkpoint.py"
_CONTRASTIVE = "train/objectives/contrastive.py"
_OBJECTIVE, _SCHEDULES, _FUSED = "train/objectives/supervised.py", "train/schedules.py", "model/fused.py"

MUTANTS = (
    Mutant("the loss is divided by rows, not by weights", _ENGINE, "float(torch.cat(parts).sum())",
           "float(len(torch.cat(parts)))", _tests("train/test_engine.py", "weighted_mean")),
    Mutant("an update that is not finite is applied", _ENGINE, "finite = math.isfinite(loss) and math.isfinite(norm)",
           "finite = math.isfinite(loss)", _tests("train/test_engine.py", "never_reaches")),
    Mutant("skips in a row are never counted back", _ENGINE, "cursor.skips_in_a_row, cursor.skipped_rows = 0, []",
           "cursor.skipped_rows = []", _tests("train/test_engine.py", "two_in_a_row")),
    Mutant("the seed of a pass leaves out the update", _ENGINE, 'f"{run}/{update}/{micro_batch}/{view}"',
           'f"{run}/{micro_batch}/{view}"', _tests("train/test_engine.py", "seeds_of_passes")),
    Mutant("the position is kept when an epoch ends", _ENGINE, "self.cursor.epoch + 1, 0",
           "self.cursor.epoch + 1, 1", _tests("train/test_engine.py", "once_per_epoch")),
    Mutant("a pass holds one row too many", _ENGINE, "parts.append(part[:fitting])",
           "parts.append(part[:fitting + 1])", _tests("train/test_engine.py", "passes_hold")),
    Mutant("a resume forgets the cursor", _ENGINE, 'self.cursor = Cursor(**values["cursor"])',
           'self.cursor = Cursor(update=values["cursor"]["update"])', _tests("train/test_engine.py", "bit_for_bit")),
    Mutant("decay reaches norms", _OPTIMIZERS, 'if is_norm or name.endswith("bias"):', 'if name.endswith("bias"):',
           _tests("train/test_optimizers.py", "spares_norms")),
    Mutant("clipping scales short gradients up", _OPTIMIZERS, "max(1.0, norm / self.optimizer.clip)",
           "norm / self.optimizer.clip", _tests("train/test_optimizers.py", "above_the_clip")),
    Mutant("bias correction is one step ahead", _OPTIMIZERS, "torch.tensor(float(steps - 1))",
           "torch.tensor(float(steps))", _tests("train/test_optimizers.py", "same_gradients and decay")),
    Mutant("untouched rows owe no decay", _OPTIMIZERS, "self.kept *= 1 - rate * decay", "self.kept *= 1.0",
           _tests("train/test_optimizers.py", "untouched_rows")),
    Mutant("a debt is paid twice", _OPTIMIZERS,
           "self.table.index_copy_(0, self.token_of, self.active(self.master))\n        self.kept = 1.0",
           "self.table.index_copy_(0, self.token_of, self.active(self.master))",
           _tests("train/test_optimizers.py", "untouched_rows")),
    Mutant("a state lacks the second moment", "train/moments.py", "kept.copy_(tensors[name])",
           "kept.copy_(tensors[name]) if name != 'second_moment' else kept.zero_()",
           _tests("train/test_optimizers.py", "continues_bit_for_bit")),
    Mutant("cosine falls to the middle", _OPTIMIZERS, "math.cos(math.pi * left)", "math.cos(math.pi / 2 * left)",
           _tests("train/test_optimizers.py", "rates_are_those")),
    Mutant("class weights are upside down", _OBJECTIVE, "len(targets) / (classes * np.maximum(counts, 1))",
           "classes * np.maximum(counts, 1) / len(targets)", _tests("train/objectives", "balanced")),
    Mutant("smoothed labels are drawn towards 0", _OBJECTIVE, "+ 0.5 * self.label_smoothing", "",
           _tests("train/objectives", "multi_label")),
    Mutant("another right passage counts as wrong", _CONTRASTIVE, "(counts_c[None, :] & ~right_bc)",
           "counts_c[None, :].expand(batch.rows, -1)", _tests("train/objectives/test_contrastive.py", "right_as_well")),
    Mutant("each pass meets only its own rows", _ENGINE, "if len(batches) > 1 and any(", "if False and any(",
           _tests("train/test_engine.py", "rows_meet_all_others")),
    Mutant("the last smaller update is dropped", _SCHEDULES, "for i in range(0, len(order), size)]",
           "for i in range(0, len(order) - size + 1, size)]", _tests("train/test_schedules.py", "exactly_once")),
    Mutant("a checkpoint is not verified before it is loaded", _CHECKPOINT,
           "problems = files.verify_folder(folder)", "problems = []", _tests("train/test_checkpoint.py", "damaged")),
    Mutant("the newest checkpoint is removed", _CHECKPOINT, "present[: max(0, place - (keep - 1))]",
           "present[: max(0, place - (keep - 2))]", _tests("train/test_checkpoint.py", "as_many_are_kept")),
    Mutant("the fused layer ignores adapters", _FUSED, "if not _allows(layer):", "if False:",
           _tests("model/test_fused.py", "adapter_added_after", "changed_after")),
    Mutant("attention's gradient forgets its scale", _FUSED, "(dp, p).mul_(h**-0.5)", "(dp, p)",
           _tests("model/test_fused.py", "all_gradients")),
    Mutant("dropped elements are not made up for", _FUSED, "alpha=1 / (1 - sizes.hidden_dropout)", "alpha=1.0",
           _tests("model/test_fused.py", "under_the_same_masks", "plain_layer_has_it")),
    Mutant("the gradient of a short softmax forgets the sum", _FUSED, "dp.sub_(p * dp.sum(-1, keepdim=True))", "dp",
           _tests("model/test_fused.py", "all_gradients")),
)  # fmt: skip


def main() -> int:
    """Run all mutants and print a table. Returns the exit code."""
    started, failed = time.monotonic(), 0
    with tempfile.TemporaryDirectory(prefix="tunewright-mutants-") as folder:
        copy = Path(folder) / "tunewright"
        shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
        everything = tuple(sorted({mutant.tests[0] for mutant in MUTANTS}))
        outcome = _outcome(everything, Path(folder))
        print(f"{'no edit':<8} {outcome:<9} {', '.join(everything)}", flush=True)
        if outcome != "survived":
            print("The tests fail on the engine as it is; nothing can be said of mutants.")
            return 1
        for number, mutant in enumerate(MUTANTS, start=1):
            outcome = _try(mutant, copy)
            failed += outcome != "killed"
            print(f"{number:>2}/{len(MUTANTS):<5} {outcome:<9} {mutant.file:<30} {mutant.says}", flush=True)
    minutes = (time.monotonic() - started) / 60
    print(f"{len(MUTANTS) - failed} of {len(MUTANTS)} mutants killed in {minutes:.1f} minutes")
    return 1 if failed else 0


def _try(mutant: Mutant, copy: Path) -> str:
    """`killed`, `survived`, or what went wrong, for one edit of the copied package, which is left as it was."""
    path = copy / mutant.file
    source = path.read_text(encoding="utf-8")
    if source.count(mutant.before) != 1:
        return "unfitting"
    path.write_text(source.replace(mutant.before, mutant.after), encoding="utf-8")
    try:
        return _outcome(mutant.tests, copy.parent)
    finally:
        path.write_text(source, encoding="utf-8")


def _outcome(tests: tuple[str, ...], first_on_path: Path) -> str:
    environment = {
        **os.environ, "PYTHONPATH": str(first_on_path), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(first_on_path / "hypothesis"),
    }  # fmt: skip
    check = "import sys, pytest, tunewright; assert tunewright.__file__.startswith(sys.argv[1]), tunewright.__file__; "
    run = "sys.exit(pytest.main(['-x', '-q', '-p', 'no:cacheprovider', '--no-header', *sys.argv[2:]]))"
    command = [sys.executable, "-c", check + run, str(first_on_path), *tests]
    try:
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=SECONDS_PER_MUTANT)
    except subprocess.TimeoutExpired:
        return "killed"  # a mutant that never ends is one that a test noticed
    return {0: "survived", 1: "killed"}.get(done.returncode, f"exit {done.returncode}")


if __name__ == "__main__":
    sys.exit(main())
