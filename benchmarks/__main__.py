"""The door of the benchmarks: `python -m benchmarks NAME`. Knows names and options; must not know any measurement."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import classification, serving

ROOT = Path(__file__).resolve().parents[1]


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Tunewright against tuned peers.")
    names = parser.add_subparsers(dest="name", required=True)
    one = names.add_parser("classification", help="banking77 with MiniLM, against Hugging Face Trainer")
    data = os.environ.get("TUNEWRIGHT_DATA", str(ROOT.parent / "shared" / "data"))
    one.add_argument("--data", type=Path, default=Path(data), help="the folder that holds banking77/")
    one.add_argument("--folder", type=Path, default=ROOT / "runs" / "benchmarks" / "classification")
    one.add_argument("--environment", type=Path, default=ROOT / ".bench-venv", help="the peers' virtual environment")
    one.add_argument("--work", action="append", choices=sorted(classification.WORKS), help="only this (repeatable)")
    one.add_argument("--repeats", type=int, default=3)
    one.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    one.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    two = names.add_parser("serving", help="requests under load against batch prediction, on the same cores")
    two.add_argument("--data", type=Path, default=Path(data), help="the folder that holds banking77/")
    two.add_argument("--folder", type=Path, default=ROOT / "runs" / "benchmarks" / "serving")
    two.add_argument("--repeats", type=int, default=3)
    two.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    two.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    if arguments.name == "serving":
        ratios = serving.compare(
            data=arguments.data / "banking77", folder=arguments.folder, repeats=arguments.repeats,
            threads=arguments.threads,
        )  # fmt: skip
    else:
        ratios = classification.compare(
            data=arguments.data / "banking77",
            folder=arguments.folder,
            environment=arguments.environment,
            works=arguments.work or list(classification.WORKS),
            repeats=arguments.repeats,
            threads=arguments.threads,
        )
    if arguments.json:
        print(json.dumps(ratios))
    else:
        for name, ratio in ratios.items():
            print(f"{name:36} {ratio:10.4g}")


if __name__ == "__main__":
    sys.exit(main())
