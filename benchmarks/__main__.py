"""The door of the benchmarks: `python -m benchmarks NAME`. Knows names and options; must not know any measurement."""

from __future__ import annotations

import argparse
import json
import os
import sys
from pathlib import Path

from benchmarks import classification, curve, generation, quality, serving, tags, twin
from benchmarks.stage import DATA, ROOT

_HELP = {
    "classification": "banking77 with MiniLM, against Hugging Face Trainer",
    "serving": "requests under load against batch prediction, on the same cores",
    "generation": "summaries of dialogues by a decoder and an encoder-decoder, against TRL and Seq2SeqTrainer",
    "tags": "named entities of wnut17 with MiniLM, against Hugging Face Trainer",
    "accumulation": "an update in eight parts against the same at once, in float32 and bfloat16",
    "quality": "what the recipes that read public data reach, beside their baselines",
    "curve": "product attributes by the number of training rows",
    "alone": "200 answers given alone and among others, in float32 and bfloat16",
    "twin": "the bundled decoder against random weights, both tuned on tickets to records",
}
_WORKS = {"classification": classification.WORKS, "generation": generation.WORKS}


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Tunewright against tuned peers.")
    names = parser.add_subparsers(dest="name", required=True)
    data = os.environ.get(DATA, str(ROOT.parent / "shared" / "data"))
    for name, says in _HELP.items():
        one = names.add_parser(name, help=says)
        one.add_argument("--folder", type=Path, default=ROOT / "runs" / "benchmarks" / name)
        one.add_argument("--json", action="store_true", help="one line of JSON instead of a table")
        if name in ("accumulation", "alone", "twin"):
            continue
        one.add_argument("--data", type=Path, default=Path(data), help="the folder of the public data sets")
        if name == "quality":
            one.add_argument("--recipe", action="append", choices=quality.recipes(), help="only this (repeatable)")
        if name in ("quality", "curve"):
            continue
        one.add_argument("--repeats", type=int, default=3)
        one.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
        if name != "serving":
            one.add_argument("--environment", type=Path, default=ROOT / ".bench-venv", help="the peers' environment")
        if name in _WORKS:
            one.add_argument("--work", action="append", choices=sorted(_WORKS[name]), help="only this (repeatable)")
    return parser.parse_args()


def measured(asked: argparse.Namespace) -> dict[str, float]:
    if asked.name == "twin":
        return twin.compare(folder=asked.folder)
    if asked.name in ("accumulation", "alone"):
        from benchmarks import accumulation, alone  # import torch, which the others must not carry into their sides

        return accumulation.compare() if asked.name == "accumulation" else alone.compare()
    if asked.name == "quality":
        return quality.measure(data=asked.data, folder=asked.folder, names=asked.recipe or quality.recipes())
    if asked.name == "curve":
        return curve.draw(data=asked.data, folder=asked.folder)
    where = {"folder": asked.folder, "repeats": asked.repeats, "threads": asked.threads}
    if asked.name == "serving":
        return serving.compare(data=asked.data / "banking77", **where)
    if asked.name == "tags":
        return tags.compare(data=asked.data / "wnut17", environment=asked.environment, **where)
    works = {"works": asked.work or list(_WORKS[asked.name]), "environment": asked.environment}
    if asked.name == "generation":
        return generation.compare(data=asked.data, **works, **where)
    return classification.compare(data=asked.data / "banking77", **works, **where)


def main() -> None:
    asked = read_arguments()
    ratios = measured(asked)
    if asked.json:
        print(json.dumps(ratios))
    else:
        for name, ratio in ratios.items():
            print(f"{name:40} {ratio:10.4g}")


if __name__ == "__main__":
    sys.exit(main())
