"""Whether an answer is the same alone and among others: 200 tickets, asked greedily of the bundled decoder. Ours alone.

In float32 all should be; in bfloat16 sums in another order may choose another of two tokens that are all but equally
probable, so each difference is listed with the margin between the two largest logits where it begins.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from benchmarks.stage import ROOT, say
from tunewright.data.chat_template import find_template
from tunewright.model.bases import find_base
from tunewright.model.describe import load_tokenizer
from tunewright.model.generate import differences
from tunewright.model.sampling import Sampling
from tunewright.values import Turn

PROMPTS = 200
TOKENS = 64


def compare(*, base: str = "wright-nano") -> dict[str, float]:
    """By type of arithmetic how many of the prompts are answered otherwise alone, and the largest margin among them."""
    folder = find_base(base, root=Path(".")).folder
    tokenizer = load_tokenizer(folder)
    template = find_template(None, tokenizer)
    lines = (ROOT / "samples" / "ticket-records.jsonl").read_text(encoding="utf-8").splitlines()[:PROMPTS]
    asked = [f"Write the record of this ticket as JSON.\n\n{json.loads(line)['ticket']}" for line in lines]
    texts = [template.prompt([Turn(text, "user")]) for text in asked]
    prompts = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    found: dict[str, float] = {}
    for dtype in (torch.float32, torch.bfloat16):
        lm = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()
        other = differences(lm, tokenizer, prompts, sampling=Sampling(max_new_tokens=TOKENS))
        name = str(dtype).removeprefix("torch.")
        found[f"alone_{name}_different_of_{len(prompts)}"] = len(other)
        found[f"alone_{name}_largest_margin"] = max((one.margin for one in other), default=0.0)
        for one in other:
            first, second = (tokenizer.decode([token]) for token in (one.alone, one.together))
            say(f"{name}: prompt {one.prompt}, token {one.position}: {first!r} or {second!r}, {one.margin:.4f} apart")
    return found
