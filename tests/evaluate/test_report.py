"""The report is self-contained, whole, and escapes what people wrote."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tunewright.evaluate import report as reports
from tunewright.evaluate.evidence import SECTIONS, build_evidence
from tunewright.evaluate.tallies import FAMILIES
from tunewright.evaluate.wording import mark
from tunewright.recipe.schema import Bar
from tunewright.recipe.tasks import KINDS
from tunewright.values import Span

VOID = {"meta", "br", "hr", "img", "link", "input"}


class Nesting(HTMLParser):
    """Checks that every element is closed, in order, and collects ids and attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.ids, self.attributes, self.text = [], set(), [], []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        self.ids |= {value for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def parse(page: str) -> Nesting:
    found = Nesting()
    found.feed(page)
    assert not found.open
    return found


@pytest.mark.parametrize(("classes", "kind", "metric"), [
    (2, "classification", "macro_f1"), (16, "classification", "macro_f1"), (77, "classification", "accuracy"),
    (5, "multi_label", "micro_f1"), (1, "regression", "rmse"), *((4, kind, KINDS[kind].metric) for kind in FAMILIES)])
def test_a_page_is_well_formed_and_asks_the_network_for_nothing(classes, kind, metric, report) -> None:
    facts, evidence = report(classes=classes, rows=500, kind=kind, metric=metric)
    page = reports.render_report(evidence=evidence, figures=facts)
    found = parse(page)
    assert set(SECTIONS) <= found.ids
    assert not any(name in ("src", "srcset", "data") for _, name, _ in found.attributes)
    links = [value for _, name, value in found.attributes if name == "href"]
    assert links and all(link.startswith("#") and link[1:] in found.ids for link in links)
    assert "url(" not in page and "@import" not in page and "<script" not in page


@pytest.mark.parametrize(("bar", "word"), [
    (Bar(at_least=0.5), "Passed"), (Bar(at_least=0.9999), "Failed"), (Bar(better_than="champion"), "Failed")])
def test_the_verdict_comes_first(bar, word, report) -> None:
    facts, evidence = report(rows=400, bar=bar)
    page = reports.render_report(evidence=evidence, figures=facts)
    assert f"</span>{word}</p>" in page.replace("\n", "")
    assert page.index('id="verdict"') < page.index('id="rungs"')


def test_everything_people_wrote_is_escaped(report) -> None:
    evil = "<script>alert(1)</script>\"'&\x00\ud800"
    facts, evidence = report(rows=300)
    example = replace(facts.worst[0], text=evil, answer=evil, said=evil, row_id=evil)
    facts = replace(facts, name=evil, task=evil, model=evil, worst=(example,), findings=(
        {"check": "x", "severity": "warn", "count": 1, "says": evil, "examples": (evil,)},))
    page = reports.render_report(evidence=evidence, figures=facts)
    assert "<script" not in page and "&lt;script&gt;" in page
    parse(page)


def test_what_was_not_measured_is_said_to_be(report) -> None:
    facts, _ = report(rows=300)
    page = reports.render_report(evidence=build_evidence(results=facts.results), figures=facts)
    assert re.search(r'href="#parity" class="none"><b>parity</b> <span>UNMEASURED', page)
    assert page.count("UNMEASURED") > 10


def test_a_page_is_written_into_its_folder(report, tmp_path) -> None:
    facts, evidence = report(rows=300)
    facts = replace(facts, best=(replace(facts.best[0], text="half \ud83d"),))
    path = reports.write_report(tmp_path, evidence=evidence, figures=facts)
    assert path == tmp_path / "report.html" and "half &#55357;" in path.read_text(encoding="utf-8")


def test_a_page_shows_only_what_its_kind_has(report) -> None:
    for kind in FAMILIES:
        facts, evidence = report(rows=60, kind=kind, metric=KINDS[kind].metric)
        ids = parse(reports.render_report(evidence=evidence, figures=facts)).ids
        assert {"verdict", "rungs", "figures", "examples"} <= ids and "confusion" not in ids
        assert ("classes" in ids) == (kind == "token_classification")


def test_spans_are_marked_in_their_text_without_need_of_colour(report) -> None:
    facts, evidence = report(rows=60, kind="token_classification", metric="span_f1")
    text = "Ines <b> & Bo of Acme"
    marks = mark(text, [Span(0, 4, "person"), Span(17, 21, "firm")], [Span(0, 4, "person"), Span(11, 21, "<place>")])
    page = reports.render_report(evidence=evidence, figures=replace(
        facts, best=(), worst=(replace(facts.worst[0], text=text, marks=marks),)))
    shown = page[page.index('<blockquote class="marked"'):]
    assert shown[: shown.index("</blockquote>")].endswith(
        '<span class="both">Ines</span><b class="tag">person</b> &lt;b&gt; &amp; <span class="said">Bo of </span>'
        '<span class="answer said">Acme</span><sub class="tag">firm</sub><sup class="tag">&lt;place&gt;</sup>')
    parse(page)
    assert all(f".{kind} {{ border" in page for kind in ("answer", "said", "both"))


def test_long_texts_are_clipped_and_can_be_unfolded(report) -> None:
    facts, evidence = report(rows=60, kind="summarisation", metric="rouge_l")
    text = "a<b " * 5000
    page = reports.render_report(evidence=evidence, figures=replace(
        facts, best=(replace(facts.best[0], said=text, text="short"),), worst=()))
    (whole,) = re.findall(r'<details class="long"><summary>(.*?)</summary>(.*?)</details>', page, re.DOTALL)
    assert whole[0] == "a&lt;b " * 105 + "…" and whole[1] == "a&lt;b " * 1500 + "…"
    assert reports.rest("x" * 420) == "" and reports.clip("abc\x00def", 3, start=2) == "c�d…"


def test_long_stretches_between_marks_are_left_out() -> None:
    far = mark("word " * 100 + "Ines" + " filler" * 100, [Span(500, 504, "p")], [])
    shown = reports.elide(far)
    assert shown[1] == far[1] and all(len(piece.text) <= 170 and " … " in piece.text for piece in (shown[0], shown[2]))
    endless = mark("Ines, " * 3000, [Span(6 * i, 6 * i + 4, "p") for i in range(3000)], [])
    assert sum(len(piece.text) for piece in reports.elide(endless)) < 6100 and reports.elide(endless)[-1].text == "…"


def test_every_figure_is_spelled_as_the_field_does() -> None:
    names = {"rouge_l": "ROUGE-L", "bleu": "BLEU", "chrf": "chrF", "recall_at_5": "recall@5", "ndcg_at_10": "nDCG@10"}
    assert {name: reports.spell(name) for name in names} == names
    for kind in KINDS.values():
        assert not any(re.search("_|f1", reports.spell(metric)) for metric in kind.metrics)


def test_numbers_are_written_as_people_read_them() -> None:
    assert reports.number(0.9127) == "0.913" and reports.number(-0.01, signed=True) == "−0.010"
    assert reports.number(0.02, signed=True) == "+0.020" and reports.number(None) == "UNMEASURED"
    assert reports.number(0.99997) == "0.99997" and reports.number(0.9999999) == "0.99999"
    assert reports.duration(94.2) == "1 min 34 s" and reports.duration(7500) == "2 h 5 min"
    assert reports.fact(True) == "yes" and reports.fact(22713216) == "22,713,216" and reports.fact([]) == "none"
    assert reports.spell("validation macro_f1") == "validation macro F1"
