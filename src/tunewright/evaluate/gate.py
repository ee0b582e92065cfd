"""The bar a version must pass. Knows figures, intervals and bars; must not know predictions, files or how to draw."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from tunewright.evaluate.metrics import UNMEASURED
from tunewright.evaluate.results import CHAMPION, Results, Rung
from tunewright.evaluate.statistics import Difference, Interval
from tunewright.recipe.errors import RecipeRefusal, nearest
from tunewright.recipe.schema import Bar
from tunewright.recipe.tasks import KINDS

Outcome = Literal["passed", "failed", "cannot tell"]
BEST_BASELINE = "best_baseline"


@dataclass(frozen=True, slots=True)
class VerdictLine:
    """One bar: what it asks, what was seen (a number or UNMEASURED), with which interval, and how that ended.

    For `better_than`, `seen` is the model's figure less the rung's and `interval` that of the difference.
    """

    metric: str
    bar: str
    seen: float | str
    interval: Interval | None
    outcome: Outcome
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the gate said. It passes only if every line does; one failure fails it; otherwise it cannot tell."""

    passed: bool
    outcome: Outcome
    lines: tuple[VerdictLine, ...]


def judge(bars: Mapping[str, Bar], results: Results) -> Verdict:
    """Holds the results against the bars. RecipeRefusal where a bar names a figure the task does not have.

    A figure or rung that a bar needs and that is UNMEASURED fails it; a gate without bars cannot tell.
    """
    lines = tuple(line for metric, bar in bars.items() for line in _lines(metric, bar, results))
    outcomes = {line.outcome for line in lines}
    outcome: Outcome = "failed" if "failed" in outcomes else "passed" if outcomes == {"passed"} else "cannot tell"
    return Verdict(outcome == "passed", outcome, lines)


def _lines(metric: str, bar: Bar, results: Results) -> Iterator[VerdictLine]:
    known = KINDS[results.kind].metrics
    if metric not in known:
        raise RecipeRefusal(
            f"The gate names {metric!r}, which is no figure of {results.kind}.{nearest(metric, known)}",
            where=f"gate.{metric}", remedy=f"Use one of: {', '.join(known)}.",
        )
    if bar.at_least is not None:
        yield _hold_against(metric, results.model, "at least", bar.at_least)
    if bar.at_most is not None:
        yield _hold_against(metric, results.model, "at most", bar.at_most)
    if bar.better_than is not None:
        yield _hold_against_rung(metric, bar.better_than, results)


def _hold_against(metric: str, model: Rung, side: Literal["at least", "at most"], limit: float) -> VerdictLine:
    """The figure itself against a number; its interval is shown, and decides nothing."""
    text, figure = f"{side} {limit:g}", model.figures[metric]
    if figure.value is None:
        return VerdictLine(metric, text, UNMEASURED, None, "failed", "the figure could not be measured on these rows")
    reached = figure.value >= limit if side == "at least" else figure.value <= limit
    span = figure.interval
    astride = span is not None and span.low < limit < span.high
    why = ("reached" if reached else "not reached") + (", but the interval lies astride the bar" if astride else "")
    if span is not None and not span.reliable:
        why += f"; {span.note}"
    return VerdictLine(metric, text, figure.value, span, "passed" if reached else "failed", why)


def _hold_against_rung(metric: str, name: str, results: Results) -> VerdictLine:
    """The paired difference with a rung."""
    text = f"better than {name}"
    rung = results.best_baseline(metric) if name == BEST_BASELINE else results.rung(name)
    if rung is None:
        return VerdictLine(metric, text, UNMEASURED, None, "failed", _why_absent(name, results))
    if name == BEST_BASELINE:
        text = f"{text} ({rung.name})"
    difference = rung.model_above[metric]
    if difference.value is None:
        return VerdictLine(metric, text, UNMEASURED, None, "failed", "the figure could not be measured on both")
    outcome: Outcome = {"better": "passed", "worse": "failed", "cannot tell": "cannot tell"}[difference.verdict]
    return VerdictLine(metric, text, difference.value, difference.interval, outcome, _why(difference, results.rows))


def _why(difference: Difference, rows: int) -> str:
    if difference.verdict != "cannot tell":
        why = f"{difference.verdict} beyond the interval, p = {difference.p_value:.2g}"
    elif difference.rows_needed is None:
        why = f"no difference that any number of rows would show; {rows} were judged"
    else:
        why = f"{rows} test rows do not tell; about {difference.rows_needed:,} would"
    span = difference.interval
    return f"{why}; {span.note}" if span is not None and not span.reliable else why


def _why_absent(name: str, results: Results) -> str:
    if name in results.absent:
        return results.absent[name]
    if name == CHAMPION:
        return "no champion was measured on these rows; promote a first version through a gate without this bar"
    measured = ", ".join(rung.name for rung in results.others) or "none"
    if name == BEST_BASELINE:
        return f"no baseline was measured on these rows (rungs measured: {measured})"
    return f"no such rung was measured on these rows (measured: {measured})"
