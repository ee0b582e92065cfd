"""What a person who watches sees, and what a signal does."""

from __future__ import annotations

import io
import os
import signal

import pytest
from rich.console import Console

from tunewright.progress import Progress, Stopped, clock
from tunewright.train.engine import UpdateFact


def fact(update: int, **changes) -> UpdateFact:
    known = {"epoch": 0, "rows": 32, "tokens": 900, "loss": 0.5, "gradient_norm": 1.0, "rate": 1e-3, "passes": 1,
             "skipped": False, "seconds": 0.1}  # fmt: skip
    return UpdateFact(update=update, **(known | changes))


def watcher(*, shown: bool, width: int = 80) -> tuple[Progress, io.StringIO]:
    written = io.StringIO()
    return Progress(Console(file=written, width=width, force_terminal=shown), shown=shown), written


def drawn(progress: Progress) -> str:
    console = Console(file=io.StringIO(), width=progress.console.width)
    console.print(progress._drawing())
    return console.file.getvalue()


def test_nothing_but_notes_is_written_where_nobody_watches():
    progress, written = watcher(shown=False)
    with progress.watching():
        progress.stage("plan")
        progress.stage("train")
        progress.update(fact(1), expected=10, phase=0)
        progress.judged({"update": 1, "metric": "macro_f1", "value": 0.5, "best": True})
        assert written.getvalue() == ""
        progress.note("resumed, bit-exact (phase 0, update 3)")
    assert written.getvalue() == "note: resumed, bit-exact (phase 0, update 3)\n"


@pytest.mark.parametrize("width", [60, 80, 120])
def test_the_drawing_fits_and_has_every_figure(width):
    progress, _ = watcher(shown=False, width=width)
    with progress.watching():
        progress.stage("plan")
        progress.stage("train")
        progress.update(fact(40), expected=400, phase=0)
        progress.judged({"update": 20, "metric": "macro_f1", "value": 0.75, "best": True})
        progress.judged({"update": 40, "metric": "macro_f1", "value": 0.70, "best": False})
        text = drawn(progress)
    assert max(map(len, text.splitlines())) <= width
    parts = ["reading rows and base", "training", "40 of 400", "36 s left", "320 rows/s", "loss 0.500"]
    parts += ["macro_f1 0.700 (best 0.750 at 20)"] if width > 60 else []
    for part in parts:
        assert part in text


def test_a_skipped_update_leaves_the_loss_alone_and_an_unmeasured_figure_says_so():
    progress, _ = watcher(shown=False)
    progress.stage("train")
    progress.update(fact(1), expected=None, phase=0)
    progress.update(fact(2, loss=float("nan"), skipped=True), expected=None, phase=0)
    progress.judged({"update": 2, "metric": "auroc", "value": None, "best": True})
    text = drawn(progress)
    assert "loss 0.500" in text and "auroc unmeasured (best)" in text and "2 updates" in text and "left" not in text


def test_a_signal_in_training_waits_for_the_checkpoint_and_a_second_does_not():
    progress, _ = watcher(shown=False)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Stopped) as stopped, progress.watching():
        progress.stage("train")
        assert not progress.stop_requested()
        os.kill(os.getpid(), signal.SIGTERM)
        assert progress.stop_requested() and progress.stop_signal == signal.SIGTERM
        os.kill(os.getpid(), signal.SIGTERM)
    assert stopped.value.signal == signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("stage", ["plan", "judge"])
def test_a_signal_outside_training_ends_at_once(stage):
    progress, _ = watcher(shown=False)
    with pytest.raises(Stopped), progress.watching():
        progress.stage(stage)
        os.kill(os.getpid(), signal.SIGINT)


def test_a_signal_that_came_after_the_last_update_ends_at_the_next_stage():
    progress, _ = watcher(shown=False)
    with pytest.raises(Stopped), progress.watching():
        progress.stage("train")
        os.kill(os.getpid(), signal.SIGTERM)
        progress.stage("judge")


@pytest.mark.parametrize(
    ("seconds", "text"), [(4.21, "4.2 s"), (48, "48 s"), (59.7, "1:00"), (185, "3:05"), (3723, "1:02:03")]
)
def test_a_time_is_short(seconds, text):
    assert clock(seconds) == text
