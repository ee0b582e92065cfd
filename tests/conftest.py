"""What all tests share: public data, tiny bases, a home of their own, one thread so that figures repeat."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import settings

if worker := re.fullmatch(r"gw(\d+)", os.environ.get("PYTEST_XDIST_WORKER", "")):
    cores = sorted(os.sched_getaffinity(0))  # one for each process of tests, so that none waits for another's threads
    os.sched_setaffinity(0, {cores[int(worker[1]) % len(cores)]})

ROOT = Path(__file__).resolve().parents[1]

# A run that fails here fails everywhere; what may take how long is asked by tests of its own, not of every example.
settings.register_profile("steady", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=400, deadline=None)  # `make explore`: examples nobody has met yet
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that compute in forks come first: once torch has used several threads, its forks wait for them forever."""
    items.sort(key=lambda item: item.get_closest_marker("forks") is None)


@pytest.fixture(autouse=True)
def own_home(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test writes runs, caches or a registry into the user's folders."""
    monkeypatch.setenv("TUNEWRIGHT_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.delenv("TUNEWRIGHT_DATABASE", raising=False)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def public_data() -> Callable[[str], Path]:
    """The folder of a public data set by name; skips, saying so, where it is absent."""
    folder = Path(os.environ.get("TUNEWRIGHT_DATA", ROOT.parent / "shared" / "data"))

    def find(name: str) -> Path:
        if not (folder / name).is_dir():
            pytest.skip(f"the public data set {name} is not in {folder}; set TUNEWRIGHT_DATA")
        return folder / name

    return find
