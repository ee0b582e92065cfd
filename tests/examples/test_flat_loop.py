"""The example runs as its readers run it, learns, and stays small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "flat_loop.py"
LINES = 80


def test_it_fits_on_a_page_and_needs_torch_and_transformers_only():
    text = EXAMPLE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= LINES
    imported = {
        (node.module if isinstance(node, ast.ImportFrom) else node.names[0].name).split(".")[0]
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Import | ast.ImportFrom)
    }
    assert imported - set(sys.stdlib_module_names) == {"torch", "transformers"}


@pytest.mark.heavy
@pytest.mark.alone
def test_it_learns_the_tickets():
    done = subprocess.run([sys.executable, str(EXAMPLE)], capture_output=True, text=True, check=True, timeout=500)
    epochs = re.findall(r"^epoch \d+  loss (\S+)  held-out accuracy (\S+)", done.stdout, flags=re.MULTILINE)
    losses, accuracies = zip(*[(float(loss), float(accuracy)) for loss, accuracy in epochs], strict=True)
    assert len(epochs) >= 2 and list(losses) == sorted(losses, reverse=True)
    assert accuracies[-1] > 0.7
