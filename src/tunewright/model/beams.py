"""Beam search: the most probable answers for their length. Knows lanes and answers; must not know texts.

The search of transformers without early stopping, lane by lane: Wu et al. 2016,
https://arxiv.org/abs/1609.08144, section 7. Each prompt leaves as soon as its own search is over.

Shapes: b lanes, v tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import PreTrainedModel

from tunewright.model.answers import Generated
from tunewright.model.decoder import Answer, permitted, refuse_undefined
from tunewright.model.lanes import begun


@dataclass(eq=False, slots=True)
class _Search:
    """The search for one prompt's answer: `running` beams, best first, and the best `finished` ones by their scores."""

    beams: int
    running: list[Answer]
    finished: list[tuple[float, Answer]] = field(default_factory=list)

    @property
    def over(self) -> bool:
        """Whether no running beam, at the score it has now, would be among the finished."""
        if not self.running:
            return True
        if len(self.finished) < self.beams:
            return False
        return _score(self.running[0]) <= min(score for score, _ in self.finished)

    def extend(self, scores_bv: Tensor, continued_bv: Tensor, candidates: int) -> list[tuple[int, int]]:
        """Go on with the best continuations; returns beam and token of each beam that runs on.

        `scores_bv` are log-probabilities of the next token of each running beam, `continued_bv` those of the beam with
        it, minus infinity where not permitted. A continuation that ends counts only among the first `beams` of all.
        """
        count = min(candidates, continued_bv.numel())
        best, places = continued_bv.flatten().topk(count)
        previous, self.running, taken = self.running, [], []
        for rank, (total, place) in enumerate(zip(best.tolist(), places.tolist(), strict=True)):
            beam, token = divmod(place, continued_bv.shape[1])
            if total == -torch.inf or len(self.running) == self.beams:
                break
            answer = previous[beam].forked()
            answer.add(token, float(scores_bv[beam, token]))
            if not answer.done:
                self.running.append(answer)
                taken.append((beam, token))
            elif rank < self.beams:
                self.finished.append((_score(answer), answer))
        self.finished = sorted(self.finished, key=lambda pair: -pair[0])[: self.beams]
        return taken

    @property
    def best(self) -> Answer:
        """The answer of the search, or where it was broken off, the best so far."""
        if self.finished:
            return self.finished[0][1]
        self.running[0].growth.cancel()
        return self.running[0]


def _score(answer: Answer) -> float:
    return answer.growth.log_probability / max(len(answer.growth.ids), 1) ** answer.sampling.length_penalty


class BeamSearch:
    """Searches for the answers of several prompts side by side, all of them `beams` wide; `results` when it is over."""

    def __init__(self, lm: PreTrainedModel, answers: Sequence[Answer], *, ends: Collection[int]):
        self._ends, self._beams = ends, answers[0].sampling.beams
        self._searches = [_Search(self._beams, [answer]) for answer in answers]
        with torch.inference_mode():
            self._lanes = begun(lm, [answer.prompt for answer in answers])

    @property
    def busy(self) -> bool:
        """Whether a search is not over."""
        return any(not search.over for search in self._searches)

    @property
    def results(self) -> list[Generated]:
        """The answers, in the order of the prompts; cancelled ones where a search is not over."""
        return [search.best.growth.generated for search in self._searches]

    def step(self) -> None:
        """One token more for each beam of each search that is not over."""
        live = [search for search in self._searches if not search.over]
        with torch.inference_mode():
            logits_bv = self._lanes.logits_bv.float()
            scores_bv = logits_bv.log_softmax(-1)
            refuse_undefined(scores_bv[:, 0])
            beams = [answer for search in live for answer in search.running]
            totals_b = torch.tensor([beam.growth.log_probability for beam in beams], device=scores_bv.device)
            continued_bv = permitted(scores_bv, beams, self._ends) + totals_b.unsqueeze(1)
            candidates = max(2, 1 + len(self._ends)) * self._beams
            rows: list[int] = []
            tokens: list[int] = []
            start = 0
            for search in live:
                mine = slice(start, start + len(search.running))
                taken = search.extend(scores_bv[mine], continued_bv[mine], candidates)
                if not search.over:
                    rows += [start + beam for beam, _ in taken]
                    tokens += [token for _, token in taken]
                start = mine.stop
            if rows:
                self._lanes.keep(torch.tensor(rows, device=scores_bv.device))
                self._lanes.advance(torch.tensor(tokens, device=scores_bv.device))
