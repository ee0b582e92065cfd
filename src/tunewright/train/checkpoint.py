"""Checkpoints: everything a bit-exact resume needs, in a folder that is whole or absent. Must not know any method.

A checkpoint holds `state.safetensors` (masters, moments), `best.safetensors` (the best trained weights so far, if any)
and `values.json` (cursor, early stopping, length of the metrics log, environment). Its manifest is written last; one
whose manifest does not verify is passed over, by name.
"""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tunewright.store import files

_NAME = re.compile(r"phase-(\d{2})-update-(\d{8})")
_SPARE = 1.2  # room asked for beyond the bytes that are written


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was saved after `update` of `phase`."""

    phase: int
    update: int
    tensors: Mapping[str, Tensor]
    best: Mapping[str, Tensor]
    values: Mapping[str, Any]


def save_checkpoint(parent: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write a checkpoint under `parent` and then remove all but it and the `keep` - 1 before it.

    Nothing is removed before the new one verifies. Later ones go too: they did not verify, or training would have
    resumed from them. Raises StoreRefusal where the disk is full or closed; what was there before is then untouched.
    """
    size = sum(t.numel() * t.element_size() for group in (checkpoint.tensors, checkpoint.best) for t in group.values())
    files.require_space(parent, int(size * _SPARE))
    final = parent / f"phase-{checkpoint.phase:02d}-update-{checkpoint.update:08d}"

    def write(folder: Path) -> None:
        _save_tensors(checkpoint.tensors, folder / "state.safetensors")
        if checkpoint.best:
            _save_tensors(checkpoint.best, folder / "best.safetensors")
        files.disk.write(folder / "values.json", files.to_json(dict(checkpoint.values)).encode())

    files.commit_folder(final, write)
    present = _folders(parent)
    place = present.index(final)
    surplus = present[: max(0, place - (keep - 1))] + present[place + 1 :]
    if surplus and not files.verify_folder(final):
        with files.refusing(parent):
            for path in surplus:
                files.remove_tree(path)
    return final


def load_newest_checkpoint(parent: Path) -> tuple[Checkpoint | None, list[str]]:
    """The newest checkpoint under `parent` that verifies, and a sentence for each newer one that does not."""
    passed_over = []
    for folder in reversed(_folders(parent)):
        problems = files.verify_folder(folder)
        if problems:
            passed_over.append(f"checkpoint {folder.name} is damaged and was passed over: {'; '.join(problems[:3])}")
            continue
        return _load(folder), passed_over
    return None, passed_over


def drop_checkpoints(parent: Path) -> None:
    """Remove all checkpoints under `parent`, for a phase that is finished and kept elsewhere. Raises StoreRefusal."""
    with files.refusing(parent):
        for folder in _folders(parent):
            files.remove_tree(folder)


def environment(threads: int, dtype: str) -> dict[str, Any]:
    """What must be equal for a resume to be bit-exact."""
    return {
        "threads": threads,
        "dtype": dtype,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
        "machine": platform.machine(),
    }


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """`threads 2 → 1` and the like, for what differs between two environments."""
    return [f"{name} {before.get(name)} → {now.get(name)}" for name in now if before.get(name) != now.get(name)]


def _folders(parent: Path) -> list[Path]:
    """All checkpoints, oldest first, interrupted writes settled; one without a manifest counts, as damaged."""
    files.committed_folders(parent)
    return sorted(path for path in parent.iterdir() if _NAME.fullmatch(path.name)) if parent.is_dir() else []


def _load(folder: Path) -> Checkpoint:
    found = _NAME.fullmatch(folder.name)
    assert found is not None
    best = folder / "best.safetensors"
    return Checkpoint(
        phase=int(found[1]),
        update=int(found[2]),
        tensors=_own(load_file(folder / "state.safetensors")),
        best=_own(load_file(best)) if best.exists() else {},
        values=json.loads(files.disk.read(folder / "values.json")),
    )


def _save_tensors(tensors: Mapping[str, Tensor], path: Path) -> None:
    with files.refusing(path):
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path)


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies in aligned memory of their own; mapped files are not aligned, and products differ with alignment."""
    return {name: tensor.clone() for name, tensor in tensors.items()}
