"""Pictures as inline SVG that follows the page's colours. Knows numbers and places; must not know runs or files.

Positions are percentages where a picture must stretch with the page, so that text and strokes keep their size. Colours
come from the classes of `report.css`. All text is escaped here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from tunewright.evaluate.metrics import CalibrationBin, Confusion

PLOT_HEIGHT = 168
_LETTER = 0.56  # mean width of a letter, in heights


@dataclass(frozen=True, slots=True)
class Scale:
    """A stretch of numbers with round ends and round ticks."""

    low: float
    high: float
    ticks: tuple[float, ...]

    def percent(self, value: float) -> float:
        """Where a value lies, 0 to 100, held within the ends."""
        return round(100 * min(1.0, max(0.0, (value - self.low) / (self.high - self.low))), 3)

    def text(self, tick: float) -> str:
        step = self.ticks[1] - self.ticks[0]
        return f"{tick:,.{max(0, math.ceil(-math.log10(step) - 1e-9))}f}".replace("-", "−")


def round_scale(values: Sequence[float], *, ticks: int = 5) -> Scale:
    """A scale that holds all values, its ends multiples of 1, 2 or 5 times a power of ten."""
    low, high = min(values), max(values)
    if high <= low:
        low, high = low - (abs(low) or 1) * 0.05, high + (abs(high) or 1) * 0.05
    step = 10 ** math.floor(math.log10((high - low) / ticks))
    step = next(step * k for k in (1, 2, 5, 10) if (high - low) / (step * k) <= ticks)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return Scale(first * step, last * step, tuple(i * step for i in range(first, last + 1)))


def ladder_track(
    scale: Scale, value: float, low: float | None, high: float | None, *, bar: float | None, ours: bool
) -> Markup:
    """One rung of the ladder: a dot with its interval over the scale's grid, and the bar if there is one."""
    grid = [_line(scale.percent(tick), 0, 100, "grid") for tick in scale.ticks]
    if bar is not None:
        grid.append(_line(scale.percent(bar), 0, 100, "bar"))
    kind = "mark ours" if ours else "mark"
    if low is not None and high is not None:
        a, b = scale.percent(low), scale.percent(high)
        grid.append(Markup('<line class="{} span" x1="{}%" x2="{}%" y1="50%" y2="50%"/>').format(kind, a, b))
    dot = Markup('<circle class="{}" cx="{}%" cy="50%" r="{}"/>').format(kind, scale.percent(value), 6 if ours else 5)
    return Markup('<svg class="track" width="100%" height="34" aria-hidden="true">{}{}</svg>').format(_all(grid), dot)


def ladder_axis(scale: Scale) -> Markup:
    """The numbers under a ladder."""
    return Markup('<svg class="axis" width="100%" height="20" aria-hidden="true">{}</svg>').format(
        _all(_tick(scale, tick, 14) for tick in scale.ticks)
    )


def curve(points: Sequence[tuple[float, float]], *, title: str, kept: float | None, last: float) -> Markup:
    """A line over updates 0 to `last`, with a mark at the update that was kept."""
    up, along = round_scale([y for _, y in points], ticks=4), round_scale([0.0, max(last, 1.0)], ticks=5)
    end = along.percent(max(last, 1.0))
    path = " ".join(f"{along.percent(x) / end * 100:.3f},{100 - up.percent(y):.3f}" for x, y in points)
    level = Markup('<line class="grid" x1="0" x2="100%" y1="{0}%" y2="{0}%"/>')
    parts = [level.format(100 - up.percent(tick)) for tick in up.ticks]
    if kept is not None:
        parts.append(_line(along.percent(kept) / end * 100, 0, 100, "bar"))
    parts.append(Markup(
        '<svg width="100%" height="100%" viewBox="0 0 100 100" preserveAspectRatio="none">'
        '<polyline class="curve" vector-effect="non-scaling-stroke" points="{}"/></svg>'
    ).format(path))
    if len(points) <= 40:
        parts += [
            Markup('<circle class="mark ours" cx="{}%" cy="{}%" r="3"/>').format(
                round(along.percent(x) / end * 100, 3), 100 - up.percent(y)) for x, y in points
        ]
    names = [
        Markup('<text class="tick" x="32" y="{}" text-anchor="end">{}</text>').format(
            8 + PLOT_HEIGHT * (1 - up.percent(t) / 100) + 4, up.text(t)) for t in up.ticks
    ]
    steps = [t for t in along.ticks if t <= last or t == 0]
    below = [_tick(along, t, 16, stretch=100 / end) for t in steps]
    return Markup(
        '<div class="plot" role="img" aria-label="{}"><svg class="gutter" width="40" height="{}">{}</svg>'
        '<div><svg class="canvas" width="100%" height="{}">{}</svg><svg class="axis" width="100%" height="22">{}</svg>'
        "</div></div>"
    ).format(title, PLOT_HEIGHT + 16, _all(names), PLOT_HEIGHT, _all(parts), _all(below))


def confusion_matrix(confusion: Confusion) -> Markup:
    """Answers down, predictions across. Counts are written where cells are large enough; every cell has a tooltip."""
    c = len(confusion.labels)
    cell = 76 if c <= 3 else 46 if c <= 8 else 34 if c <= 20 else max(9, 640 // c)
    size = 13 if cell >= 30 else 8.5
    names = [_clip(label, 30) for label in confusion.labels]
    gutter = round(max(len(name) for name in names) * size * _LETTER) + 14
    slant = cell < 46 or max(len(name) for name in names) * size * _LETTER > cell * 1.05
    above = (round(gutter * 0.62) if slant else 24) if cell >= 30 else 8
    parts = [_cell(confusion, a, p, cell, gutter, above) for a, p in np.argwhere(confusion.rows_cc)]
    for i, name in enumerate(names):
        middle = (i + 0.5) * cell
        parts.append(Markup('<text class="name" x="{}" y="{}" text-anchor="end" font-size="{}">{}</text>').format(
            gutter - 8, above + middle + size * 0.35, size, name))
        if cell >= 30:
            turn = Markup(' transform="rotate(-38 {0} {1})"').format(gutter + middle, above - 8) if slant else ""
            parts.append(Markup('<text class="name" x="{}" y="{}" text-anchor="{}" font-size="{}"{}>{}</text>').format(
                gutter + middle, above - 8, "start" if slant else "middle", size, turn, name))
    frame = Markup('<rect class="frame" x="{}" y="{}" width="{s}" height="{s}"/>').format(gutter, above, s=c * cell)
    width = gutter + c * cell + (round(gutter * 0.7) if slant and cell >= 30 else 2)
    return Markup(
        '<svg class="confusion" role="img" aria-label="confusion matrix of {} labels" width="{}" height="{}" '
        'viewBox="0 0 {} {}">{}{}</svg>'
    ).format(c, width, above + c * cell + 2, width, above + c * cell + 2, frame, _all(parts))


def calibration_picture(bins: Sequence[CalibrationBin]) -> Markup:
    """How often predictions were right against how sure they were; on the diagonal they keep their word."""
    most = max(item.count for item in bins)
    side = 220

    def at(value: float) -> float:
        return round(value * side, 1)

    grid = [
        Markup('<line class="grid" x1="{0}" x2="{0}" y1="0" y2="{2}"/>'
               '<line class="grid" x1="0" x2="{2}" y1="{1}" y2="{1}"/>'
               '<text class="tick" x="{0}" y="{3}" text-anchor="middle">{4}</text>'
               '<text class="tick" x="-8" y="{5}" text-anchor="end">{4}</text>').format(
            at(t), at(1 - t), side, side + 18, f"{t:g}", at(1 - t) + 4) for t in (0, 0.5, 1)
    ]
    dots = [
        Markup('<circle class="mark ours" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
            at(item.confidence), at(1 - item.accuracy), round(2.5 + 3 * math.sqrt(item.count / most), 1),
            f"{item.count} predictions: said {item.confidence:.2f}, right {item.accuracy:.2f}") for item in bins
    ]
    return Markup(
        '<svg class="calibration" role="img" aria-label="calibration" viewBox="-40 -10 272 272" width="272">'
        '{}<line class="bar" x1="0" y1="{s}" x2="{s}" y2="0"/>{}'
        '<text class="tick" x="{h}" y="{b}" text-anchor="middle">how sure it was</text></svg>'
    ).format(_all(grid), _all(dots), s=side, h=side // 2, b=side + 36)


def share_bars(parts: Sequence[tuple[str, float]]) -> Markup:
    """One bar split into named parts, in the order given; the names are the classes that colour them."""
    total, start, drawn = sum(size for _, size in parts) or 1.0, 0.0, []
    for name, size in parts:
        drawn.append(Markup('<rect class="{}" x="{}%" y="0" width="{}%" height="100%"/>').format(
            name, round(100 * start / total, 3), round(100 * size / total, 3)))
        start += size
    return Markup('<svg class="shares" width="100%" height="22" aria-hidden="true">{}</svg>').format(_all(drawn))


def score_bar(value: float | None) -> Markup:
    """A small bar for a score between 0 and 1; empty where there is none."""
    filled = Markup('<rect class="filled" width="{}%" height="6" rx="3"/>').format(round(100 * (value or 0), 1))
    return Markup(
        '<svg class="score" width="100%" height="6" aria-hidden="true">'
        '<rect class="empty" width="100%" height="6" rx="3"/>{}</svg>'
    ).format(filled)


def _cell(confusion: Confusion, answer: int, said: int, cell: int, gutter: int, above: int) -> Markup:
    rows, total = int(confusion.rows_cc[answer, said]), int(confusion.rows_cc[answer].sum())
    strength = round(0.12 + 0.88 * math.sqrt(rows / total), 3)
    gap = 1 if cell >= 30 else 0.5
    x, y = gutter + said * cell, above + answer * cell
    number = Markup('<text class="count{}" x="{}" y="{}" text-anchor="middle">{}</text>').format(
        " strong" if strength > 0.66 else "", x + cell / 2, y + cell / 2 + 4.5, rows) if cell >= 30 else ""
    title = f"{confusion.labels[answer]} → {confusion.labels[said]}: {rows} of {total}"
    square = Markup('<rect class="{}" x="{}" y="{}" width="{s}" height="{s}" opacity="{}"/>').format(
        "right" if answer == said else "wrong", x + gap, y + gap, strength, s=cell - 2 * gap)
    return Markup("<g><title>{}</title>{}{}</g>").format(title, square, number)


def _line(x: float, y1: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{x}%" x2="{x}%" y1="{}%" y2="{}%"/>').format(kind, y1, y2, x=round(x, 3))


def _tick(scale: Scale, tick: float, y: float, *, stretch: float = 1.0) -> Markup:
    x = round(scale.percent(tick) * stretch, 3)
    anchor = "start" if x < 3 else "end" if x > 97 else "middle"
    return Markup('<text class="tick" x="{}%" y="{}" text-anchor="{}">{}</text>').format(x, y, anchor, scale.text(tick))


def _clip(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"


def _all(parts: object) -> Markup:
    return Markup("").join(escape(part) for part in parts)  # type: ignore[attr-defined]
