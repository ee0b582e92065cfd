"""What rows share that makes them one thing to judge on: a context, a query, a file. Knows clean rows and kinds.

Questions about one paragraph are no independent evidence when some train and others judge; neither are two passages for
one query. Such rows stay in one split, and rows of train that share it with a given file of judges are dropped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from tunewright.data.clean import CleanRow
from tunewright.data.minhash import find_near_duplicates

_SHARED_INPUT = {"question_answering": (1, "context"), "retrieval": (0, "query")}
_FILES = 10  # from this many on, files of a text to pre-train on are documents that stay whole


@dataclass(frozen=True, slots=True)
class Kin:
    """`names_r` has a name for each row, equal where rows belong together, None where a row stands for itself.

    `what` says what they share: context, query, file, or nothing.
    """

    what: str
    names_r: tuple[str | None, ...]


def find_kin(rows: Sequence[CleanRow], kind: str) -> Kin:
    """What `rows` of this kind of task share; texts that are nearly equal are one."""
    if kind in _SHARED_INPUT:
        place, what = _SHARED_INPUT[kind]
        texts = list(dict.fromkeys(row.inputs[place] for row in rows))
        cluster_of = find_near_duplicates([(text,) for text in texts]).cluster_r.tolist()
        name_of = {text: _name(texts[first]) for text, first in zip(texts, cluster_of, strict=True)}
        return Kin(what, tuple(name_of[row.inputs[place]] for row in rows))
    files = [f"{row.source} {row.origin.rpartition(':')[0]}" for row in rows]
    if kind == "pretraining" and len(set(files)) >= _FILES:
        return Kin("file", tuple(files))
    return Kin("nothing", (None,) * len(rows))


def _name(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
