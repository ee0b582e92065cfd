"""Models that write text, trained by us and by TRL or `Seq2SeqTrainer` with peft. Imports neither side.

The contract of both sides. `python -m benchmarks.ours_texts` (by this interpreter) and `benchmarks/peers/writers.py`
(by the peers') take the same words and print one JSON object as the last line of stdout:

    lora-decoder | full-decoder | lora-seq2seq
    --base FOLDER              the base both load; random weights
    --rows FILE                JSONL of {"prompt": [id], "answer": [id]}; the loss is over the answer's tokens
    --order FILE               the rows of each update, [[int, ...], ...], of like length
    --adapter FILE --rank R --targets NAMES     LoRA's first A by name of layer; alpha is 2 R, no dropout
    --rate R --warm-up-share W --untimed U --threads T --folder FOLDER

    seconds, rows_per_second   of the updates after the first U
    peak_rss_mb                of the process, loading included
    losses                     one number per update, the mean over its answers' tokens
    peak_flops                 of bfloat16 products, measured in the same process (ours alone says it)

The work: rows of DialogSum as prompt and summary; AdamW (0.9, 0.999, 1e-8), decay 0.01 but not on norms and biases;
linear warm-up and decay; gradient norm clipped to 1; bfloat16 products, float32 masters of what trains.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.stage import ROOT, SIDES, Stage, make_environment, median, ratio_of_medians, say

ROWS_PER_UPDATE = 8
UNTIMED = 2
UPDATES = 14
WARM_UP_SHARE = UNTIMED / UPDATES  # a whole number of updates, so that both sides' rates are the same


@dataclass(frozen=True)
class Work:
    """One kind of work, equal for both sides; `leanest` asks for one more run of theirs, the one that saves memory."""

    base: str  # which of the bases
    rate: float
    rank: int = 0
    targets: str = ""  # of LoRA, as peft matches them
    leanest: bool = False


_LINEAR = "q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj"
WORKS = {
    "lora-decoder": Work("decoder", rate=1e-3, rank=16, targets=_LINEAR, leanest=True),
    "full-decoder": Work("decoder", rate=1e-4),
    "lora-seq2seq": Work("seq2seq", rate=1e-3, rank=32, targets="q,v"),
}


def words_of(name: str, work: Work, folder: Path) -> list[Any]:
    words = [
        name, "--base", folder / work.base, "--rows", folder / f"{work.base}.jsonl",
        "--order", folder / f"{work.base}.json", "--rate", work.rate, "--warm-up-share", WARM_UP_SHARE,
        "--untimed", UNTIMED,
    ]  # fmt: skip
    lora = ["--adapter", folder / f"{work.base}.npz", "--rank", work.rank, "--targets", work.targets]
    return words + (lora if work.rank else [])


def loss_gap(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The largest |ours - theirs| / theirs of any update."""
    mine, peer = np.array(ours), np.array(theirs)
    return float((np.abs(mine - peer) / peer).max())


def needed_flops(work: Work, folder: Path) -> float:
    """Floating-point operations that the timed updates need: products alone, nothing twice, nothing of padding.

    Two a weight and token forward and two for each gradient that something needs: of the inputs always, of the weights
    where they train. Logits only where a token of the answer is asked, and above the last attention nothing else.
    """
    config = json.loads((folder / work.base / "config.json").read_text())
    rows = [json.loads(line) for line in (folder / f"{work.base}.jsonl").read_text().splitlines()]
    order = json.loads((folder / f"{work.base}.json").read_text())[UNTIMED:]
    sizes = np.array([[len(rows[i]["prompt"]), len(rows[i]["answer"])] for update in order for i in update], float)
    count = decoder_products if work.base == "decoder" else seq2seq_products
    return count(config, sizes[:, 0], sizes[:, 1]) * (6 if not work.rank else 4)


def decoder_products(config: Mapping[str, Any], prompt_r: np.ndarray, answer_r: np.ndarray) -> float:
    """Multiplications of one forward pass (LoRA's own, under 3 %, left out)."""
    width, inner, layers = config["hidden_size"], config["intermediate_size"], config["num_hidden_layers"]
    shared = width // config["num_attention_heads"] * config["num_key_value_heads"]
    read_r = prompt_r + answer_r - 1
    seen, above = width * (width + 2 * shared), width * width + 3 * width * inner
    everywhere = layers * seen + (layers - 1) * above
    attention = layers * width * (read_r**2).sum()  # two products, each over half of the square
    return float(read_r.sum() * everywhere + answer_r.sum() * (above + width * config["vocab_size"]) + attention)


def seq2seq_products(config: Mapping[str, Any], source_r: np.ndarray, target_r: np.ndarray) -> float:
    """As `decoder_products`, of an encoder and a decoder that looks at it."""
    width, inner = config["d_model"], config["d_kv"] * config["num_heads"]
    feed = (3 if config["feed_forward_proj"].startswith("gated") else 2) * width * config["d_ff"]
    encoder = source_r.sum() * (4 * width * inner + feed) + 2 * inner * (source_r**2).sum()
    decoder = target_r.sum() * (6 * width * inner + feed) + source_r.sum() * 2 * width * inner
    decoder += inner * (target_r**2).sum() + 2 * inner * (source_r * target_r).sum()
    layers = config["num_layers"] * encoder + config["num_decoder_layers"] * decoder
    return float(layers + target_r.sum() * width * config["vocab_size"])


def compare(
    *, data: Path, folder: Path, environment: Path, works: Sequence[str], repeats: int, threads: int
) -> dict[str, float]:
    """Ratios (ours over theirs, medians of `repeats` alternating fresh processes) of every work in `works`.

    Raises subprocess.CalledProcessError where a side fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    theirs = (str(make_environment(environment)), str(ROOT / "benchmarks" / "peers" / "writers.py"))
    commands = {"ours": (sys.executable, "-m", "benchmarks.ours_texts"), "theirs": theirs, "leanest": theirs}
    material = [sys.executable, "-m", "benchmarks.text_material", "--data", data, "--folder", folder]
    material += ["--rows", UPDATES * ROWS_PER_UPDATE, "--rows-per-update", ROWS_PER_UPDATE]
    subprocess.run([str(word) for word in material], cwd=ROOT, check=True, stdout=sys.stderr)
    stage, ratios = Stage(commands, folder, threads), {}
    for name in works:
        work = WORKS[name]
        words = words_of(name, work, folder)
        facts = stage.alternate(dict.fromkeys(SIDES, words), name=name, repeats=repeats)
        flops = needed_flops(work, folder)
        ratios[f"{name}_rows_per_second"] = ratio_of_medians(facts, "rows_per_second")
        ratios[f"{name}_peak_memory"] = ratio_of_medians(facts, "peak_rss_mb")
        if work.leanest:
            least = stage.measure("leanest", [*words, "--leanest"], name=f"{name}-leanest")["peak_rss_mb"]
            ratios[f"{name}_peak_memory_of_leanest"] = median(facts["ours"], "peak_rss_mb") / least
        ratios[f"{name}_loss_gap"] = loss_gap(facts["ours"][0]["losses"], facts["theirs"][0]["losses"])
        for side in SIDES:
            reached = flops / median(facts[side], "seconds") / median(facts["ours"], "peak_flops")
            ratios[f"{name}_share_of_peak_{side}"] = reached
        say(f"{name}: {flops / 1e12:.2f} TFLOP needed, {ratios[f'{name}_share_of_peak_ours']:.0%} of peak by ours")
    return ratios
