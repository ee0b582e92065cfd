"""Results as a terminal shows them: calm tables, one look each. Knows results; computes and decides nothing."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from tunewright.progress import clock

if TYPE_CHECKING:
    from tunewright.pipeline.check import CheckReport
    from tunewright.pipeline.evaluate import Evaluation
    from tunewright.pipeline.rank import Ranking
    from tunewright.pipeline.run import RunResult
    from tunewright.pipeline.supervision import Sample
    from tunewright.serve.predictor import Prediction
    from tunewright.store.registry import Event, Version

_PIPE_WIDTH = 160  # columns where standard output is not a terminal
_MARKS = {"ok": ("✓", "green"), "look": ("!", "yellow"), "refused": ("✗", "bold red"), "skipped": ("–", "dim")}
_OUTCOMES = {"passed": "green", "failed": "red", "cannot tell": "yellow"}
_PLOT = 28  # characters of an interval's picture
_CLASSES_SHOWN = 20
_LABELS_SHOWN = 5
_LABEL_WIDTH = 32


def console_on(stream: Any) -> Console:
    """A console that draws in colour on a terminal and writes plain text elsewhere."""
    width = None if stream.isatty() else _PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, emoji=False, markup=False)


def output() -> Console:
    return console_on(sys.stdout)


def show_check(report: CheckReport) -> None:
    """The numbered lines, and what follows from them."""
    grid = Table.grid(padding=(0, 1))
    for column in ({"justify": "right", "style": "dim"}, {}, {"style": "bold", "no_wrap": True}, {"overflow": "fold"}):
        grid.add_column(**column)  # type: ignore[arg-type]
    for line in report.lines:
        mark, style = _MARKS[line.state]
        says_style = "dim" if line.state == "skipped" else "red" if line.state == "refused" else ""
        grid.add_row(str(line.number), Text(mark, style=style), line.title, Text(line.says, style=says_style))
        for detail in line.details:
            said, dash, why = detail.partition(" — ")
            strong = "" if line.state == "refused" or dash else "dim"
            grid.add_row("", "", "", Text.assemble((said, strong), (dash + why, "dim")))
        for sample in line.samples:
            grid.add_row("", "", "", _shown_sample(sample))
    console = output()
    console.print(grid)
    console.print()
    crosses = [str(line.number) for line in report.lines if line.state == "refused"]
    looks = [str(line.number) for line in report.lines if line.state == "look"]
    if crosses:
        console.print(Text(f"A run would be refused: see {_numbered('line', crosses)}.", style="bold red"))
        return
    worth = f" Look at {_numbered('line', looks)} first." if looks else ""
    console.print(Text.assemble(("Ready to run.", "bold green"), worth))
    console.print(Text(f"tunewright run {report.recipe}", style="dim"))


def _shown_sample(sample: Sample) -> Text:
    """A training row: what is learned in green and underlined, what is only read dim."""
    shown = Text("reads  ", style="bold")
    for text, learned in sample.stretches:
        shown.append(text, style="green underline" if learned else "dim")
    return shown.append(f"  →  {sample.answer}") if sample.answer else shown


def _numbered(noun: str, numbers: Sequence[str]) -> str:
    """`line 3`, `lines 3 and 4`, `lines 3, 4 and 9`."""
    if len(numbers) == 1:
        return f"{noun} {numbers[0]}"
    return f"{noun}s {', '.join(numbers[:-1])} and {numbers[-1]}"


def show_run(result: RunResult) -> None:
    """The verdict, the ladder of rungs, and where everything lies."""
    console, judged = output(), result.judged
    console.print()
    style = _OUTCOMES[judged.outcome]
    console.print(Text.assemble((judged.outcome.upper(), f"bold {style}"), "  ", (result.version, "bold")))
    console.print()
    console.print(_indented(_bars(judged.lines)))
    console.print()
    console.print(Text.assemble((judged.metric, "bold"), f" on {judged.rows:,} test rows, with intervals"))
    console.print()
    console.print(_indented(_ladder(judged.ladder)))
    console.print()
    places = Table.grid(padding=(0, 2))
    places.add_column(style="dim")
    places.add_column(overflow="fold")
    for name, value in (("version", result.version), ("folder", result.folder), ("report", result.report),
                        ("time", clock(result.seconds))):  # fmt: skip
        places.add_row(name, str(value))
    console.print(_indented(places))


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 2), expand=False)


def _bars(lines: Sequence[Mapping[str, Any]]) -> Table:
    """One row a bar of the gate."""
    grid = Table.grid(padding=(0, 2))
    for _ in range(3):
        grid.add_column(no_wrap=True)
    grid.add_column(overflow="fold")
    for line in lines:
        mark, style = {"passed": _MARKS["ok"], "failed": _MARKS["refused"]}.get(line["outcome"], ("?", "yellow"))
        seen = _figure(line["seen"], signed="better" in line["bar"])
        grid.add_row(Text(mark, style=style), f"{line['metric']} {line['bar']}", seen, Text(line["why"], style="dim"))
    return grid


def _ladder(steps: Sequence[Mapping[str, Any]]) -> Table:
    """One row a rung: its figure, interval, and both as a picture on a common scale."""
    low, high = _scale(steps)
    grid = Table.grid(padding=(0, 2))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_column(no_wrap=True, style="dim")
    grid.add_column(no_wrap=True)
    for step in steps:
        own = step["rung"] == "model"
        style = "bold cyan" if own else ""
        picture = Text(_picture(step, low, high), style="cyan" if own else "dim")
        grid.add_row(Text(step["rung"], style=style), Text(_figure(step["value"]), style=style), _span(step), picture)
    return grid


def _scale(steps: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """The ends of the common scale. The majority rung lies so far off that it would leave no room for the others."""
    for chosen in ([step for step in steps if step["rung"] != "majority"], steps):
        numbers = [step[key] for step in chosen for key in ("low", "value", "high") if isinstance(step[key], float)]
        if len(numbers) > 1 and min(numbers) < max(numbers):
            return min(numbers), max(numbers)
    return 0.0, 1.0


def _picture(step: Mapping[str, Any], low: float, high: float) -> str:
    """An interval as a line with a dot at the figure, between `low` and `high`; an arrow where it lies outside."""
    if not isinstance(step["value"], float):
        return ""
    if not low <= step["value"] <= high:
        return "‹" if step["value"] < low else " " * (_PLOT - 1) + "›"

    def place(value: float) -> int:
        return round(min(1.0, max(0.0, (value - low) / (high - low))) * (_PLOT - 1))

    ends = [place(step[key]) if isinstance(step[key], float) else place(step["value"]) for key in ("low", "high")]
    drawn = ["─" if ends[0] <= i <= ends[1] else " " for i in range(_PLOT)]
    drawn[place(step["value"])] = "●"
    return "".join(drawn)


def show_evaluation(evaluation: Evaluation) -> None:
    """Every figure with its interval, then the classes, the worst first."""
    console, facts = output(), evaluation.to_json()
    rate = evaluation.rows / max(evaluation.seconds, 1e-9)
    dropped = sum(evaluation.dropped.values())
    console.print(Text.assemble((evaluation.model, "bold"), f" on {evaluation.rows:,} rows of {evaluation.data}"))
    left_out = f"{dropped:,} rows left out ({_counted(evaluation.dropped)}), " if dropped else ""
    console.print(Text(f"{left_out}{clock(evaluation.seconds)}, {rate:,.0f} rows/s", style="dim"))
    if evaluation.trained_on:
        console.print(Text(f"{evaluation.trained_on:,} of these rows were used in training, so the figures flatter it.",
                           style="yellow"))  # fmt: skip
    console.print()
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(style="dim", overflow="fold")
    for metric, figure in facts["figures"].items():
        span = figure["interval"] if isinstance(figure["interval"], dict) else {"low": None, "high": None, "note": ""}
        style = "bold cyan" if metric == evaluation.metric else ""
        grid.add_row(Text(metric, style=style), Text(_figure(figure["value"]), style=style), _span(span), span["note"])
    console.print(_indented(grid))
    if evaluation.classes:
        console.print()
        console.print(_indented(_class_table(evaluation)))


def _class_table(evaluation: Evaluation) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("class", overflow="fold")
    for name in ("rows", "precision", "recall", "f1"):
        table.add_column(name, justify="right")
    worst = sorted(evaluation.classes, key=lambda score: score.f1 if score.f1 is not None else 2.0)
    for score in worst[:_CLASSES_SHOWN]:
        table.add_row(score.label, str(score.rows), *(_figure(v) for v in (score.precision, score.recall, score.f1)))
    if len(worst) > _CLASSES_SHOWN:
        table.add_row(Text(f"and {len(worst) - _CLASSES_SHOWN} better ones; all with --json", style="dim"))
    return table


def show_predictions(texts: Sequence[str], predictions: Sequence[Prediction]) -> None:
    """One line a text, or under each what was written or found; of a single text its likeliest labels, or its spans."""
    console = output()
    if all(hasattr(prediction, "text") for prediction in predictions):
        _show_written(console, texts, predictions)
        return
    if all(hasattr(prediction, "nearest") for prediction in predictions):
        _show_found(console, texts, predictions)
        return
    if len(predictions) == 1 and (shares := getattr(predictions[0], "probabilities", None)):
        _show_shares(console, shares)
        return
    if len(predictions) == 1 and (spans := getattr(predictions[0], "spans", None)):
        _show_spans(console, spans)
        return
    grid = Table.grid(padding=(0, 2))
    said = [_said(prediction) for prediction in predictions]
    grid.add_column(style="bold", overflow="fold", min_width=min(_LABEL_WIDTH, max(len(one) for one, _ in said)))
    grid.add_column(justify="right", no_wrap=True, min_width=max(len(sure) for _, sure in said))
    grid.add_column(style="dim", no_wrap=True, overflow="ellipsis")
    for text, (one, sure) in zip(texts, said, strict=True):
        grid.add_row(Text(one), sure, Text(" ".join(text.split())))
    console.print(grid)


def _show_written(console: Console, texts: Sequence[str], predictions: Sequence[Any]) -> None:
    """What was written as it stands, of several texts each under its own."""
    for place, (text, prediction) in enumerate(zip(texts, predictions, strict=True)):
        if len(texts) > 1:
            console.print(Text(("\n" if place else "") + " ".join(text.split()), style="dim"), soft_wrap=True)
        console.print(Text(prediction.text), soft_wrap=True)


def _show_spans(console: Console, spans: Sequence[Any]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold cyan", no_wrap=True)
    grid.add_column(overflow="fold")
    for _ in range(2):
        grid.add_column(justify="right", style="dim", no_wrap=True)
    for span in spans:
        grid.add_row(Text(span.label), Text(span.text), f"{span.probability:.1%}", f"{span.start}–{span.end}")
    console.print(grid)


def _show_found(console: Console, texts: Sequence[str], predictions: Sequence[Any]) -> None:
    """Each query with its own passage, and under it the nearest ones with their cosines."""
    grid = Table.grid(padding=(0, 2))
    grid.add_column(justify="right", no_wrap=True, min_width=6)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    for text, prediction in zip(texts, predictions, strict=True):
        own = f"its own {prediction.value:.3f} at place {prediction.place:,}"
        grid.add_row("", Text(" ".join(text.split()), style="bold"))
        for found in prediction.nearest:
            grid.add_row(f"{found.value:.3f}", Text(" ".join(found.passage.split()), style="dim"))
        grid.add_row("", Text(own, style="green" if prediction.place == 1 else "yellow"))
    console.print(grid)


def _show_shares(console: Console, shares: Mapping[str, float]) -> None:
    grid = Table.grid(padding=(0, 2))
    grid.add_column()
    grid.add_column(justify="right")
    grid.add_column()
    likeliest = sorted(shares.items(), key=lambda item: -item[1])[:_LABELS_SHOWN]
    for place, (label, share) in enumerate(likeliest):
        style = "bold cyan" if place == 0 else "dim"
        grid.add_row(Text(label, style=style), f"{share:.1%}", Text("━" * round(share * _PLOT), style=style))
    console.print(grid)


def _said(prediction: Prediction) -> tuple[str, str]:
    """A prediction in words, and how probable its answer is."""
    value = getattr(prediction, "value", None)
    if value is not None:
        return f"{value:.4g}", ""
    labels = getattr(prediction, "labels", None)
    if labels is not None:
        return ", ".join(labels) or "none", ""
    spans = getattr(prediction, "spans", None)
    if spans is not None:
        return "; ".join(f"{span.label}: {span.text}" for span in spans) or "none", ""
    if hasattr(prediction, "answer"):
        return (prediction.answer, f"{prediction.probability:.1%}") if prediction.answer else ("no answer", "")
    return prediction.label, f"{prediction.probabilities[prediction.label]:.1%}"  # type: ignore[union-attr]


def show_ranking(ranking: Ranking) -> None:
    """One row a base, the best first."""
    console = output()
    console.print(Text.assemble(
        "a linear probe on each frozen base, ", (ranking.metric, "bold"),
        f" on {ranking.rows:,} rows ({', '.join(ranking.inputs)} → {', '.join(ranking.outputs)})"))  # fmt: skip
    console.print()
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    table.add_column("base", overflow="fold")
    for name in (ranking.metric, "interval", "rows/s", "memory", "on disk"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("reads", overflow="fold")
    for base in ranking.bases:
        if base.figure is None:
            table.add_row(Text(base.name, style="dim"), "–", "–", "–", "–", "–", Text(base.reason, style="yellow"))
            continue
        span = base.figure.interval
        cut = f", {base.rows_cut:,} rows cut" if base.rows_cut else ""
        table.add_row(
            base.name, _figure(base.figure.value), _span({"low": span and span.low, "high": span and span.high}),
            f"{base.rows_per_second:,.0f}", f"{(base.memory_bytes or 0) / 1e6:,.0f} MB",
            f"{(base.disk_bytes or 0) / 1e6:,.0f} MB", Text(f"{base.longest}{cut}", style="dim"),
        )  # fmt: skip
    console.print(table)


def show_versions(versions: Iterable[Version], metric_of: Mapping[str, str]) -> None:
    """One row a version, with the figure that its kind of task is judged by (`metric_of`: task -> metric)."""
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("version", "alias", "gate", "figure", "base", "made"):
        table.add_column(name, no_wrap=name != "base", overflow="fold")
    for version in versions:
        table.add_row(
            Text(version.reference, style="bold"), Text(", ".join(version.aliases), style="cyan"), gate_of(version),
            main_figure(version, metric_of.get(version.task, "")), version.base,
            version.created_at[:16].replace("T", " "),
        )  # fmt: skip
    output().print(table)


def show_version(version: Version, events: Sequence[Event], metric_of: Mapping[str, str]) -> None:
    """Everything known of a version, and the history of its name."""
    console = output()
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim")
    grid.add_column(overflow="fold")
    for name, value in (
        ("version", version.reference), ("alias", ", ".join(version.aliases) or "none"), ("gate", gate_of(version)),
        ("figure", main_figure(version, metric_of.get(version.task, ""))), ("task", version.task),
        ("base", version.base), ("run", version.run), ("folder", str(version.folder)),
        ("content", version.content_hash), ("made", version.created_at),
    ):  # fmt: skip
        grid.add_row(name, value)
    console.print(grid)
    if events:
        console.print()
    for event in events:
        by = f" by {event.by}" if event.by else ""
        reason = f": {event.reason}" if event.reason else ""
        alias = f" as {event.alias}" if event.alias else ""
        console.print(Text(f"{event.at[:16].replace('T', ' ')}  {event.action} {event.name}@{event.number}{alias}{by}"
                           f"{reason}", style="dim"))  # fmt: skip


def gate_of(version: Version) -> str:
    """What the gate said of a version, in a word."""
    outcome = (version.verdict or {}).get("outcome")
    return str(outcome) if outcome else {True: "passed", False: "not passed", None: "no gate"}[version.gate_passed]


def main_figure(version: Version, metric: str) -> str:
    """The figure that a version is judged by, as `macro_f1 0.912`."""
    found = (version.metrics or {}).get(metric)
    value = found.get("value") if isinstance(found, Mapping) else found
    return f"{metric} {_figure(value)}" if value is not None else ""


def _figure(value: Any, *, signed: bool = False) -> str:
    if not isinstance(value, (int, float)):
        return str(value) if value is not None else "UNMEASURED"
    return f"{value:+.3f}" if signed else f"{value:.3f}"


def _span(step: Mapping[str, Any]) -> str:
    low, high = step["low"], step["high"]
    return f"{low:.3f} – {high:.3f}" if isinstance(low, (int, float)) and isinstance(high, (int, float)) else ""


def _counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in counts.items())
