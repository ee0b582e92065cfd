"""How training goes, for a person who watches: stages, one bar, notes. Knows a terminal; must not know any method.

Nothing is drawn unless standard error is a terminal; notes are written there always. A signal asks for a stop: between
two updates training then writes its checkpoint and ends, in every other stage the process ends at once.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tunewright.train.engine import UpdateFact

_STAGES = {"plan": "reading rows and base", "train": "training", "judge": "judging", "register": "registering"}
_SMOOTHING = 0.9
_REFRESHES_PER_SECOND = 4


class Stopped(BaseException):
    """A signal ended the process outside of training. `signal` is its number; the exit code is 128 more."""

    def __init__(self, number: int):
        self.signal = number
        super().__init__(f"signal {number}")


class Progress:
    """Watches a run (`pipeline.fit.Watcher`). `shown` False draws nothing and still writes notes."""

    def __init__(self, console: Console, *, shown: bool):
        self.console, self.shown = console, shown
        self.stop_signal: int | None = None
        self._stage: str | None = None
        self._stage_started = time.monotonic()
        self._done: list[tuple[str, float]] = []
        self._bar = _Bar()
        self._live: Live | None = None

    @contextmanager
    def watching(self) -> Iterator[Progress]:
        """Draws until the end of the block, and obeys SIGTERM and Ctrl-C within it."""
        before = {number: signal.signal(number, self._asked_to_stop) for number in (signal.SIGTERM, signal.SIGINT)}
        if self.shown:
            self._live = Live(
                get_renderable=self._drawing, console=self.console, refresh_per_second=_REFRESHES_PER_SECOND,
                transient=True,
            )  # fmt: skip
            self._live.start()
        try:
            yield self
        finally:
            self._end_stage()
            if self._live is not None:
                self._live.stop()
                self._live = None
            for number, handler in before.items():
                signal.signal(number, handler)

    def stage(self, name: str) -> None:
        """Note that a stage begins. Raises Stopped if a stop was asked for meanwhile."""
        self._end_stage()
        if self.stop_signal is not None:
            raise Stopped(self.stop_signal)
        self._stage, self._stage_started = name, time.monotonic()

    def update(self, fact: UpdateFact, *, expected: int | None, phase: int) -> None:
        """Note an update of training."""
        self._bar.update(fact, expected=expected, phase=phase)

    def judged(self, figures: Mapping[str, Any]) -> None:
        """Note a judgement of the validation rows."""
        self._bar.judged(figures)

    def note(self, text: str) -> None:
        """Write a sentence that a person must see."""
        self.console.print(Text(f"note: {text}", style="yellow" if self.shown else ""), soft_wrap=not self.shown)

    def stop_requested(self) -> bool:
        return self.stop_signal is not None

    def _asked_to_stop(self, number: int, frame: object) -> None:
        if self._stage != "train" or self.stop_signal is not None:
            raise Stopped(number)
        self.stop_signal = number

    def _end_stage(self) -> None:
        if self._stage is not None:
            self._done.append((self._stage, time.monotonic() - self._stage_started))
        self._stage = None

    def _drawing(self) -> Group:
        lines: list[Any] = [
            Text.assemble(("✓ ", "green"), (_STAGES.get(name, name), "dim"), (f"  {clock(seconds)}", "dim"))
            for name, seconds in self._done
        ]
        if self._stage is not None:
            asked = "  stopping after this update" if self.stop_signal is not None else ""
            seconds = time.monotonic() - self._stage_started
            name = _STAGES.get(self._stage, self._stage)
            lines.append(Text.assemble(("› ", "bold cyan"), name, (f"  {clock(seconds)}{asked}", "dim")))
            if self._stage == "train" and self._bar.begun:
                lines.append(self._bar.drawing(self.console.width))
        return Group(*lines)


class _Bar:
    """The figures of training as they come in, and one bar with a line under it."""

    def __init__(self) -> None:
        self.begun = False
        self._phase = self._done = 0
        self._expected: int | None = None
        self._loss: float | None = None
        self._rows_per_second: float | None = None
        self._seconds_per_update: float | None = None
        self._figure: Mapping[str, Any] | None = None
        self._best: Mapping[str, Any] | None = None

    def update(self, fact: UpdateFact, *, expected: int | None, phase: int) -> None:
        if phase != self._phase:
            self._loss = self._figure = self._best = None
        self.begun, self._phase, self._done, self._expected = True, phase, fact.update, expected
        seconds = max(fact.seconds, 1e-6)
        self._rows_per_second = _smoothed(self._rows_per_second, fact.rows / seconds)
        self._seconds_per_update = _smoothed(self._seconds_per_update, seconds)
        if not fact.skipped:
            self._loss = _smoothed(self._loss, fact.loss)

    def judged(self, figures: Mapping[str, Any]) -> None:
        self._figure = figures
        if figures["best"]:
            self._best = figures

    def drawing(self, width: int) -> Padding:
        """The bar with its count, and the figures under it."""
        grid = Table.grid(padding=(0, 1), expand=False)
        grid.add_column(width=max(20, min(60, width - 30)))
        grid.add_column(no_wrap=True)
        count = f"{self._done:,} of {self._expected:,}" if self._expected else f"{self._done:,} updates"
        phase = f", phase {self._phase + 1}" if self._phase else ""
        bar = ProgressBar(total=self._expected or None, completed=self._done, complete_style="cyan",
                          finished_style="green", pulse_style="cyan")  # fmt: skip
        grid.add_row(bar, f"{count}{phase}")
        figures = Text(" · ".join(self._figures()), style="dim", overflow="ellipsis", no_wrap=True)
        return Padding(Group(grid, figures), (0, 0, 0, 2))

    def _figures(self) -> Iterator[str]:
        if self._expected and self._seconds_per_update is not None:
            yield f"{clock((self._expected - self._done) * self._seconds_per_update)} left"
        if self._rows_per_second is not None:
            yield f"{self._rows_per_second:,.0f} rows/s"
        if self._loss is not None:
            yield f"loss {self._loss:.3f}"
        if self._figure is not None:
            yield f"{self._figure['metric']} {_shown(self._figure['value'])}{self._against_best()}"

    def _against_best(self) -> str:
        if self._best is None or self._figure is self._best:
            return " (best)"
        return f" (best {_shown(self._best['value'])} at {self._best['update']:,})"


def clock(seconds: float) -> str:
    """A time as 4.2 s, 48 s, 3:05 or 1:02:03."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes}:{rest:02d}" if minutes < 60 else f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def _smoothed(before: float | None, now: float) -> float:
    return now if before is None else _SMOOTHING * before + (1 - _SMOOTHING) * now


def _shown(value: float | None) -> str:
    return "unmeasured" if value is None else f"{value:.3f}"
