"""The report a person reads. Knows recorded facts and how to lay them out; must not measure or load anything."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from tunewright.evaluate import pictures
from tunewright.evaluate.evidence import AUDITS, SECTIONS, is_unmeasured
from tunewright.evaluate.gate import Verdict
from tunewright.evaluate.metrics import UNMEASURED, CalibrationBin, ClassScore, Confusion
from tunewright.evaluate.pictures import Scale
from tunewright.evaluate.results import Example, Results, Rung
from tunewright.evaluate.statistics import Interval
from tunewright.evaluate.wording import Piece
from tunewright.recipe.tasks import KINDS
from tunewright.store.files import write_atomically

LETTERS_OF_AN_EXAMPLE = 420
LETTERS_MORE = 6000  # of an example, where it is unfolded
LETTERS_BETWEEN_MARKS = 160
CLASSES_SHOWN = 12
_SPELLED = {
    "auroc": "AUROC", "mae": "MAE", "rmse": "RMSE", "spearman": "Spearman’s ρ", "macro_f1": "macro F1",
    "micro_f1": "micro F1", "weighted_f1": "weighted F1", "span_f1": "span F1", "macro_span_f1": "macro span F1",
    "partial_f1": "partial F1", "answer_f1": "answer F1", "answered_f1": "answered F1", "token_f1": "token F1",
    "json_f1": "JSON F1", "rouge_1": "ROUGE-1", "rouge_2": "ROUGE-2", "rouge_l": "ROUGE-L", "bleu": "BLEU",
    "chrf": "chrF", "mrr": "MRR", "recall_at_1": "recall@1", "recall_at_5": "recall@5", "recall_at_10": "recall@10",
    "ndcg_at_10": "nDCG@10",
    "zero_shot": "zero-shot", "knn": "nearest neighbours", "probe": "linear probe", "lora": "LoRA", "bm25": "BM25",
    "most_common": "commonest answer", "nearest": "nearest row", "copy": "copied input",
    "lead_3": "lead-3", "likest_sentence": "likest sentence", "pair_cosine": "cosine of the pair",
}  # fmt: skip
_EXAMPLES = {
    "labels": "Test rows that the model gets right where the baseline is most wrong, and those whose answer it held "
              "least likely",
    "numbers": "Test rows on which the model is nearest and farthest",
    "nothing": "Test rows that surprise the model least, set against the baseline, and those that surprise it most",
}  # fmt: skip
_OTHER_EXAMPLES = "Test rows on which the model does best, set against the baseline, and those on which it does worst"


@dataclass(frozen=True, slots=True)
class Curve:
    """What was recorded along training: `points` of (update, value)."""

    title: str
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """One resolved key of the recipe, its value as the recipe would write it, and why it has that value."""

    key: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportFacts:
    """Everything a report shows beyond `evidence.json`, as the run recorded it.

    name          the recipe's name                          run          the run's id
    model         `name@version`, "" where not registered    base         the base's name
    kind          the kind of task                           task         one sentence: what the model must do
    finished_at   UTC, ISO 8601                              seconds      wall time of the run
    verdict       from `gate.judge`                          results      from `results.assess`
    classes       from `metrics.per_class`                   confusion    from `metrics.tabulate_confusion`
    calibration   from `metrics.calibration_bins`            best, worst  from `results.pick_examples`
    curves        from `metrics.jsonl`                       kept_update  the update whose weights were kept
    findings      mappings with check, severity (ok | note | warn | refuse), count, says, examples
    settings      every resolved key with its reason

    Whatever the task does not have (classes of a regression) stays empty and is left out of the page.
    """

    name: str
    run: str
    base: str
    kind: str
    task: str
    verdict: Verdict
    results: Results
    finished_at: str
    seconds: float
    model: str = ""
    classes: tuple[ClassScore, ...] = ()
    confusion: Confusion | None = None
    calibration: tuple[CalibrationBin, ...] = ()
    curves: tuple[Curve, ...] = ()
    kept_update: int | None = None
    best: tuple[Example, ...] = ()
    worst: tuple[Example, ...] = ()
    findings: tuple[Mapping[str, Any], ...] = ()
    settings: tuple[Setting, ...] = ()


def write_report(folder: Path, *, evidence: Mapping[str, Any], figures: ReportFacts) -> Path:
    """Writes `report.html` into `folder` and says where. StoreRefusal where the disk does not take it."""
    path = folder / "report.html"
    # A lone surrogate in a user's text has no UTF-8; browsers show the reference that stands for it as U+FFFD.
    write_atomically(path, render_report(evidence=evidence, figures=figures).encode("utf-8", "xmlcharrefreplace"))
    return path


def render_report(*, evidence: Mapping[str, Any], figures: ReportFacts) -> str:
    """The page: one HTML document that asks the network for nothing, with all users' text escaped."""
    missing = [name for name in SECTIONS if name not in evidence]
    assert not missing, f"evidence without {missing}"
    return _environment().get_template("report.html").render(
        facts=figures, results=figures.results, verdict=figures.verdict, evidence=evidence,
        metric=figures.results.metric, baseline=figures.results.best_baseline(figures.results.metric),
        ladder=_ladder(figures.results), scale=_ladder_scale(figures), bar=_drawn_bar(figures),
        sections=[(name, _state(evidence[name], name)) for name in SECTIONS],
        classes=sorted(figures.classes, key=lambda score: (score.f1 is None, score.f1 or 0.0, score.label)),
        last_update=max((x for curve in figures.curves for x, _ in curve.points), default=0.0),
        classes_shown=CLASSES_SHOWN, pictures=pictures, answers=KINDS[figures.kind].answers,
        examples_lead=_EXAMPLES.get(KINDS[figures.kind].answers, _OTHER_EXAMPLES), letters_shown=LETTERS_OF_AN_EXAMPLE,
        marked_spans=any(example.marks for example in (*figures.best, *figures.worst)),
    )


def spell(name: str) -> str:
    """A figure's or rung's name as people write it: macro_f1 → macro F1."""
    return " ".join(_SPELLED.get(word, word.replace("_", " ")) for word in name.split())


def number(value: float | str | None, *, signed: bool = False) -> str:
    """A figure in three decimals (more just below 1, fewer where it is large); UNMEASURED for what has none."""
    if value is None or isinstance(value, str):
        return UNMEASURED
    if 0.9995 <= value < 1:
        return f"{math.floor(value * 1e5) / 1e5:.5f}"
    text = f"{value:,.{3 if abs(value) < 100 else 1}f}"
    return (f"+{text}" if signed and value > 0 else text).replace("-", "−")


def span(interval: Interval | None, *, signed: bool = False) -> str:
    """An interval as "0.894 to 0.928"; nothing where there is none."""
    if interval is None:
        return ""
    return f"{number(interval.low, signed=signed)} to {number(interval.high, signed=signed)}"


def fact(value: Any) -> str:
    """A recorded fact in words: yes and no, grouped digits, lists with commas."""
    if value is None or isinstance(value, bool):
        return {None: UNMEASURED, True: "yes", False: "no"}[value]
    if isinstance(value, int):
        return f"{value:,}".replace("-", "−")
    if isinstance(value, float):
        return f"{value:.4g}".replace("-", "−")
    if isinstance(value, list | tuple):
        return ", ".join(fact(item) for item in value) or "none"
    return str(value)


def duration(seconds: float) -> str:
    """Seconds as people say them: 48 s, 3 min 20 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.2g} s" if seconds < 10 else f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def clip(text: str, letters: int = LETTERS_OF_AN_EXAMPLE, *, start: int = 0) -> str:
    """Text from `start` cut to a length, with its control characters shown, not sent."""
    cut = text[start : start + letters]
    shown = "".join("�" if ord(letter) < 32 and letter not in "\n\t" else letter for letter in cut)
    return shown + "…" if len(text) > start + letters else shown


def rest(text: str) -> str:
    """What `clip` leaves off, clipped in turn."""
    return clip(text, LETTERS_MORE, start=LETTERS_OF_AN_EXAMPLE)


def elide(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces of a marked text, with the middle of long stretches between marks left out, up to a length."""
    shown, letters = [], 0
    for piece in pieces:
        if letters > LETTERS_MORE:
            return [*shown, Piece("…")]
        if not piece.answer and not piece.said and len(piece.text) > LETTERS_BETWEEN_MARKS:
            half = LETTERS_BETWEEN_MARKS // 2
            before, after = piece.text[:half].rsplit(" ", 1)[0], piece.text[-half:].split(" ", 1)[-1]
            piece = replace(piece, text=f"{before} … {after}")
        shown.append(piece)
        letters += len(piece.text)
    return shown


def is_table(value: Any) -> bool:
    """Whether a fact is a list of like records."""
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, Mapping) for item in value)


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "spell": spell, "number": number, "span": span, "fact": fact, "duration": duration, "clip": clip, "rest": rest,
        "elide": elide,
        "capitalised": lambda text: text[:1].upper() + text[1:],
    }
    environment.tests |= {"unmeasured": is_unmeasured, "record": lambda x: isinstance(x, Mapping), "table": is_table}
    return environment


def _ladder(results: Results) -> list[Rung]:
    """All rungs whose figure was measured, the best first."""
    measured = [r for r in (results.model, *results.others) if r.figures[results.metric].value is not None]
    return sorted(measured, key=lambda rung: -results.merit(results.metric, rung))


def _drawn_bar(facts: ReportFacts) -> float | None:
    """The number that the gate asks of the main figure, if it asks one."""
    texts = [line.bar for line in facts.verdict.lines if line.metric == facts.results.metric]
    return next((float(text.rsplit(" ", 1)[1]) for text in texts if text.startswith(("at least", "at most"))), None)


def _ladder_scale(facts: ReportFacts) -> Scale:
    figures = [rung.figures[facts.results.metric] for rung in _ladder(facts.results)]
    places = [figure.value for figure in figures]
    places += [end for f in figures if f.interval is not None for end in (f.interval.low, f.interval.high)]
    bar = _drawn_bar(facts)
    return pictures.round_scale([*places, *([] if bar is None else [bar])] or [0.0, 1.0])


def _state(section: Any, name: str) -> str:
    """What the overview says of a section of the evidence: measured, how much of it, or UNMEASURED."""
    if is_unmeasured(section):
        return UNMEASURED
    parts = [part for part in section.values() if isinstance(part, Mapping)] if name in ("audits", "parity") else []
    measured = sum(not is_unmeasured(part) for part in parts)
    if not parts or measured == len(parts):
        return "measured"
    return f"{measured} of {len(AUDITS) if name == 'audits' else len(parts)} measured" if measured else UNMEASURED
