"""Serving against batch prediction, client and server on the same cores. Knows the served folder and the load client.

The model is MiniLM with a head of 77 columns, the texts are banking77's test rows; batch prediction is
`Predictor.outputs` on all of them in a process of its own, the server is a fresh process, the client is this one.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks.load import LoadResult, load
from benchmarks.stage import ROOT, say

TOKEN = "benchmark-token"
SECONDS = 8.0
_MAKE = """
import sys; from pathlib import Path
from tunewright.model.bases import find_base
from tunewright.model.describe import describe
from tunewright.model.build import build_model
from tunewright.model.weights import save_model
base = find_base("minilm", root=Path(".")); described = describe(base)
model = build_model(base, described, kind="classification", outputs=77, pooling="mean", seed=0)
encoder = {"max_length": 256, "long": "truncate", "overlap": 0, "join": None, "inputs": ["text"]}
save_model(model, Path(sys.argv[1]), encoder_json=encoder, labels=[f"intent {i}" for i in range(77)], base=base,
           description=described, arithmetic="bfloat16")
"""
_BATCH = """
import json, sys, time, torch; from pathlib import Path
from tunewright.serve.predictor import Predictor
torch.set_num_threads(int(sys.argv[3]))
predictor = Predictor.load(Path(sys.argv[1])); texts = json.loads(Path(sys.argv[2]).read_text())
predictor.outputs(texts[:512])
seconds = []
for _ in range(3):
    started = time.perf_counter(); predictor.outputs(texts); seconds.append(time.perf_counter() - started)
print(len(texts) / sorted(seconds)[1])
"""
_SERVE = """
import sys, torch; from pathlib import Path
from tunewright.serve.app import serve
from tunewright.serve.predictor import Predictor
torch.set_num_threads(int(sys.argv[3]))
serve(lambda: {"banking": Predictor.load(Path(sys.argv[1]), name="banking", version="1")}, token=sys.argv[2], port=0,
      announce=lambda url: print(url, flush=True))
"""


def compare(*, data: Path, folder: Path, repeats: int, threads: int) -> dict[str, float]:
    """Rows per second served as shares of batch prediction, medians of `repeats`, with latencies."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = [json.loads(line)["text"] for line in (data / "test.jsonl").open(encoding="utf-8")]
    (folder / "texts.json").write_text(json.dumps(texts))
    model = folder / "model"
    if not (model / "head.json").exists():
        _python(_MAKE, model)
    facts: dict[str, float] = {}
    batches, singles, sixteens = [], [], []
    for _ in range(repeats):
        batches.append(float(_python(_BATCH, model, folder / "texts.json", threads).splitlines()[-1]))
        singles.append(_served(model, texts, per_request=1, threads=threads))
        sixteens.append(_served(model, texts, per_request=16, threads=threads))
        say(f"batch {batches[-1]:.0f} rows/s; one text {singles[-1]}; sixteen texts {sixteens[-1]}")
    facts["serving_batch_rows_per_second"] = statistics.median(batches)
    for name, results in (("1", singles), ("16", sixteens)):
        rows = statistics.median(result.rows_per_second for result in results)
        facts[f"serving_64_clients_{name}_share"] = rows / facts["serving_batch_rows_per_second"]
        facts[f"serving_64_clients_{name}_p50_ms"] = statistics.median(result.p50_ms for result in results)
        facts[f"serving_64_clients_{name}_p99_ms"] = statistics.median(result.p99_ms for result in results)
        facts[f"serving_64_clients_{name}_errors"] = sum(result.errors for result in results)
    return facts


def _served(model: Path, texts: list[str], *, per_request: int, threads: int) -> LoadResult:
    """Load on a fresh server."""
    words = [sys.executable, "-c", _SERVE, str(model), TOKEN, str(threads)]
    with subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        time.sleep(4)  # the port opens before the model is loaded
        try:
            return asyncio.run(
                load(port=port, token=TOKEN, texts=texts, clients=64, per_request=per_request, seconds=SECONDS)
            )
        finally:
            server.terminate()


def _python(code: str, *words: object) -> str:
    command = [sys.executable, "-c", code, *map(str, words)]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
