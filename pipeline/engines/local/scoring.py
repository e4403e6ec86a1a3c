"""Log-probabilities of given continuations, the prompt's pass shared by all its continuations.

Follows methods_annotation.md B3: sums over token ids of the response (and the end token that the caller appended),
each computed once per unique (prompt, response), at temperature 1. Logits are made for response positions only.
It knows token ids, not text.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pipeline.engines.local.runtime import Ids, LocalModel, PromptPass, ends_group, group_prompts

Pair = tuple[Ids, Ids]
"""Prompt ids (at least one) and response ids."""


def score_pairs(model: LocalModel, pairs: Iterable[Pair]) -> Iterator[tuple[Pair, float]]:
    """Yield each unique pair with the sum of log-probabilities (nats) of its response given its prompt.

    Args:
        model: the loaded model.
        pairs: duplicates are computed once; an empty response scores 0.

    Yields:
        Pairs in an order of the passes' choosing; the sum is not finite where the model overflowed.

    Raises:
        Stopped: if the engine is closed meanwhile.
    """
    answers: dict[Ids, set[Ids]] = {}
    for prompt, response in set(pairs):
        if response:
            answers.setdefault(prompt, set()).add(response)
        else:
            yield (prompt, response), 0.0
    for group in group_prompts(answers, model.pass_tokens):
        model.guard()
        done = model.read_prompts(group)
        rows = [(i, response) for i, prompt in enumerate(group) for response in answers[prompt]]
        for part in _parts(model, done, rows):
            for (i, response), score in zip(part, _score_part(model, done, part), strict=True):
                yield (group[i], response), score


_Row = tuple[int, Ids]


def _parts(model: LocalModel, done: PromptPass, rows: Sequence[_Row]) -> Iterator[list[_Row]]:
    """Cut rows, alike lengths together, so that a pass and its cache stay within bounds; a part is in prompt order."""
    part: list[_Row] = []
    real = 0
    longest = max(len(p) for p in done.prompts)
    for row in sorted(rows, key=lambda r: (len(r[1]), r)):
        width, count = len(row[1]), len(part) + 1
        full = count * (longest + width) > model.row_slots or ends_group(real + width, count * width, model.pass_tokens)
        if part and full:
            yield sorted(part)
            part, real = [], 0
        part.append(row)
        real += width
    yield sorted(part)


def _score_part(model: LocalModel, done: PromptPass, rows: list[_Row]) -> list[float]:
    """Score rows of one prompt pass, given in prompt order; the order is kept."""
    import torch

    device = model.device
    lengths = [len(response) for _, response in rows]
    queries = max(lengths) - 1
    states = done.last[torch.tensor([i for i, _ in rows], device=device)][:, None]
    if queries:
        counts: dict[int, int] = {}
        for i, _ in rows:
            counts[i] = counts.get(i, 0) + 1
        cache = model.rows_after([(done, i, n) for i, n in counts.items()], queries)
        feed = [response[:-1] + (0,) * (queries + 1 - len(response)) for _, response in rows]
        start = torch.tensor([len(done.prompts[i]) for i, _ in rows], device=device)
        states = torch.cat([states, model.extend(cache, torch.tensor(feed, device=device), start)], dim=1)
    wanted = torch.arange(queries + 1, device=device)[None, :] < torch.tensor(lengths, device=device)[:, None]
    targets = torch.tensor([token for _, response in rows for token in response], device=device)
    values = model.logprobs_of(states[wanted], targets).double().cpu()
    return [float(part.sum()) for part in values.split(lengths)]
