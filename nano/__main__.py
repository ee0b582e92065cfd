"""The door: `python -m nano corpus|scan|base|tickets`. Knows names and options; must not know how any of it is made."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m nano", description="What the bundled generative base is made of.")
    doors = parser.add_subparsers(dest="door", required=True)
    corpus = doors.add_parser("corpus", help="write train.jsonl and heldout.jsonl")
    corpus.add_argument("out", type=Path)
    data = os.environ.get("TUNEWRIGHT_DATA", str(ROOT.parent / "shared" / "data"))
    corpus.add_argument("--data", type=Path, default=Path(data), help="the folder of the public data sets")
    corpus.add_argument("--seed", type=int, default=0)
    corpus.add_argument("--scale", type=float, default=1.0, help="share of the texts of every source")
    base = doors.add_parser("base", help="train the tokenizer and write a base of random weights")
    base.add_argument("out", type=Path)
    base.add_argument("--corpus", type=Path, required=True)
    base.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    if arguments.door == "corpus":
        from nano.corpus import characters_by_source, write_corpus

        splits = write_corpus(arguments.out, data=arguments.data, seed=arguments.seed, scale=arguments.scale)
        for split, rows in splits.items():
            for name, (texts, characters) in characters_by_source(rows).items():
                print(f"{split:9} {name:28} {texts:8,} texts {characters:12,} characters")
    elif arguments.door == "base":
        from nano.base import write_base

        write_base(arguments.out, corpus=arguments.corpus, seed=arguments.seed)


if __name__ == "__main__":
    main()
