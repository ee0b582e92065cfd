"""The door: `python -m nano corpus|scan|base|ship|tickets`. Knows names and options; must not know how it is done."""

from __future__ import annotations

import argparse
import os
import sys
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
    scan = doors.add_parser("scan", help="assert that a corpus holds nothing of the ticket task; 1 where it does")
    scan.add_argument("corpus", type=Path)
    ship = doors.add_parser("ship", help="write a trained base as the package carries it")
    ship.add_argument("run", type=Path, help="the folder of the finished run of recipes/pretrain-nano.yaml")
    ship.add_argument("out", type=Path, nargs="?", default=ROOT / "src" / "tunewright" / "bases" / "wright_nano")
    ship.add_argument("--corpus", type=Path, required=True)
    tickets = doors.add_parser("tickets", help="write the rows of the ticket task")
    tickets.add_argument("out", type=Path, nargs="?", default=ROOT / "samples" / "ticket-records.jsonl")
    return parser.parse_args()


def main() -> int:
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
    elif arguments.door == "scan":
        from nano.scan import scan_corpus

        leaks = scan_corpus(arguments.corpus)
        print("\n".join(map(str, leaks[:50])) if leaks else "nothing of the ticket task")
        return 1 if leaks else 0
    elif arguments.door == "ship":
        from nano.ship import ship

        for name, sha256 in ship(arguments.run, arguments.out, corpus=arguments.corpus).items():
            print(f'"{name}": "{sha256}",')
    else:
        from nano.tickets import write_tickets

        write_tickets(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
