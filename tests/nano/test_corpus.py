"""The corpus: the same bytes from the same seed, no text twice, permissive sources only, held out by group."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest
from nano.chat import SPECIAL_TOKENS
from nano.corpus import THEMES, characters_by_source, read_rows, take, write_corpus
from tests.nano.conftest import SCALE

from nano import public

ROOT = Path(__file__).resolve().parents[2]


def digest(folder: Path) -> list[str]:
    return [hashlib.sha256((folder / f"{split}.jsonl").read_bytes()).hexdigest() for split in ("train", "heldout")]


def test_rows_are_read_back_as_they_were_written(corpus):
    folder, splits = corpus
    for split, rows in splits.items():
        assert list(read_rows(folder / f"{split}.jsonl")) == rows
        assert all(set(row) == {"text", "source", "licence"} and row["text"].strip() for row in rows)


def test_no_text_is_there_twice_and_none_is_in_both_splits(corpus):
    texts = [row["text"] for rows in corpus[1].values() for row in rows]
    assert len(set(texts)) == len(texts)


def test_every_theme_has_its_share_in_both_splits(corpus):
    for split, rows in corpus[1].items():
        counts = characters_by_source(rows)
        assert set(counts) == {f"generated/{theme}" for theme in THEMES}
        for theme, (_, count) in THEMES.items():
            texts, characters = counts[f"generated/{theme}"]
            assert texts <= count * SCALE and characters > 20 * texts
            assert texts > 0.8 * count * SCALE or split == "heldout"


def test_the_same_seed_gives_the_same_bytes_in_another_process_too(corpus, tmp_path):
    call = f"write_corpus(Path({str(tmp_path)!r}), data=None, seed=3, scale={SCALE})"
    code = f"from pathlib import Path; from nano.corpus import write_corpus; {call}"
    environment = {"PYTHONHASHSEED": "11", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment, timeout=120)
    assert digest(tmp_path) == digest(corpus[0])
    write_corpus(tmp_path, data=None, seed=4, scale=SCALE)
    assert digest(tmp_path) != digest(corpus[0])


def test_passages_are_whole_paragraphs_that_fit():
    text = "\n\n".join(f"Paragraph {index}. " + "word " * Random(index).randint(20, 90) for index in range(80))
    parts = public.passages(text, 1200)
    assert all(400 < len(part) <= 1200 for part in parts) and len(parts) > 10
    assert all(paragraph in text for part in parts for paragraph in part.split("\n\n"))
    assert public.passages("x" * 5000) == [], "a paragraph that does not fit is left out"


@pytest.mark.parametrize(
    ("text", "chars", "kept"),
    [("One. Two. Three.", 11, "One. Two."), ("Short.", 50, "Short."), ("no end in sight here", 10, ""),
     ("Why? Because it is so long that it does not fit.", 20, "")],
)  # fmt: skip
def test_texts_are_cut_after_a_sentence_or_not_at_all(text, chars, kept):
    assert public.sentences_up_to(text, chars) == kept


def test_signs_are_made_plain():
    assert public.clean("“A  ‘b’ — c…”\u00a0\n\n\n\n d_e_ ") == "\"A 'b' -- c...\"\n\nde"


@pytest.mark.data
@pytest.mark.parametrize("source", public.SOURCES, ids=lambda source: source.name)
def test_public_texts_are_clean_fit_the_context_and_are_held_out_by_group(source, public_data):
    data = public_data(source.name).parent
    train, held_out = take(source, data, seed=0, scale=0.01)
    again = take(source, data, seed=0, scale=0.01)
    assert (train, held_out) == again and train and held_out
    for text in (*train, *held_out):
        assert len(text) <= public.PASSAGE_CHARS + 900 and "\u2019" not in text and "<<" not in text
        assert text.endswith("<|end|>") or not any(token in text for token in SPECIAL_TOKENS)
    groups: dict[str, str] = {}
    for group, text in source.read(Random(f"0/{source.name}"), data):
        groups[text] = group
        if len(groups) > len(train) + len(held_out):
            break
    assert not {groups[text] for text in train} & {groups[text] for text in held_out}


@pytest.mark.data
@pytest.mark.parametrize("source", public.SOURCES, ids=lambda source: source.name)
def test_every_public_source_is_marked_permissive_and_no_test_split_is_read(source, public_data):
    folder = public_data(source.name)
    index = (folder.parent / "INDEX.md").read_text(encoding="utf-8")
    row = next(line for line in index.splitlines() if line.startswith(f"| {source.name} |"))
    assert [cell.strip() for cell in row.strip("|").split("|")][5] == "P"
    word = source.licence.split("-")[0].split()[0].lower()
    assert word in (folder / "SOURCE.md").read_text(encoding="utf-8").lower()
    assert source.name not in {"oa_mine", "dialogsum", "xquad_en", "multi30k_en_de", "wikitext2_valid_test"}
    assert "test.jsonl" not in Path(public.__file__).read_text(encoding="utf-8")
