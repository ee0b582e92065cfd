"""Rows of one kind made from rows of another, each marked as derived. Needs nothing but Python.

    python examples/derive.py unanswerable SQUAD.jsonl OUT.jsonl     questions asked of a paragraph without their answer
    python examples/derive.py types TAGGED.jsonl OUT.jsonl           the types of entity in a text, as several labels

Derived rows are easier or odder than ones that people wrote: report a figure on them as what it is.
"""

import argparse
import json
import random
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SEED = 17


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("what", choices=sorted(KINDS))
    words.add_argument("rows", type=Path)
    words.add_argument("out", type=Path)
    asked = words.parse_args()
    if asked.out.resolve() == asked.rows.resolve():
        return refused(f"{asked.out} holds the rows to derive from; name another file to write")
    try:
        lines = asked.rows.read_text(encoding="utf-8").split("\n")  # a text may hold other ends of lines
        made = list(KINDS[asked.what]([json.loads(line) for line in lines if line.strip()]))
        asked.out.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    except ValueError as problem:
        return refused(f"{asked.rows} is no JSONL in UTF-8: {problem}")
    except OSError as problem:
        return refused(str(problem))
    except (KeyError, TypeError, AttributeError) as problem:
        wanted = {"unanswerable": "id, title, context, question, answers", "types": "tokens, ner_tags"}[asked.what]
        return refused(f"{asked.rows} has a row of another form ({problem!r}); {asked.what} reads {wanted}")
    derived = sum(row["derived"] for row in made)
    print(f"{asked.out}: {len(made)} rows, {derived} of them derived")
    return 0


def refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 2


def unanswerable(rows: list[dict]) -> Iterator[dict]:
    """Every row, and half of the questions once more, asked of another paragraph of the same article.

    Of the same article, so that the topic alone does not give it away; and one that holds none of the answer's texts.
    A question whose article has no such paragraph is left as it is.
    """
    drawn, paragraphs = random.Random(SEED), defaultdict(dict)
    for row in rows:
        paragraphs[row["title"]][row["context"]] = None  # a set that keeps its order
    for row in rows:
        yield row | {"derived": False}
        answers = [text.lower() for text in texts_of(row["answers"])]
        others = [text for text in paragraphs[row["title"]] if not any(answer in text.lower() for answer in answers)]
        if answers and others and drawn.random() < 0.5:
            none = {name: [] for name in row["answers"]} if isinstance(row["answers"], dict) else []
            changed = {"id": f"{row['id']}-elsewhere", "context": drawn.choice(others), "answers": none}
            yield row | changed | {"derived": True}


def texts_of(answers: list | dict) -> list[str]:
    """The texts of answers as SQuAD writes them, or as its copies in columns do."""
    return answers["text"] if isinstance(answers, dict) else [answer["text"] for answer in answers]


def types(rows: list[dict]) -> Iterator[dict]:
    """The text of every row and the types that its BIO tags name, each once; [] where it names none."""
    for row in rows:
        found = sorted({tag[2:] for tag in row["ner_tags"] if tag != "O"})
        yield {"text": " ".join(row["tokens"]), "types": found, "derived": True}


KINDS = {"unanswerable": unanswerable, "types": types}

if __name__ == "__main__":
    sys.exit(main())
