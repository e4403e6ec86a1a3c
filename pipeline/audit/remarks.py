"""Sentences that a reader of the figures should not have to work out: what an annotator cannot be trusted with.

The bounds are ours: 70 % for wins of the longer response, 20 % for verdicts that follow the order, 95 % for items
judged.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pipeline.audit.figures import Figures
from pipeline.intervals import wilson_interval
from pipeline.plan.recipe import LENGTH

MOST_LONGER_WINS = 0.70
MOST_FLIPS = 0.20
LEAST_JUDGED = 0.95


def remarks(found: Mapping[str, Figures]) -> list[str]:
    """Return one sentence for each thing that is wrong with an annotator, by the annotators' order.

    Args:
        found: figures over all items, by annotator.
    """
    return [line for name in found if name != LENGTH for line in _remarks(name, found[name])]


def _remarks(name: str, figures: Figures) -> Iterator[str]:
    if not figures.judged:
        yield f"{name} judged no item: of each, a verdict is missing, null or no number."
        return
    if figures.accuracy_low <= figures.guessing <= figures.accuracy_high:
        yield f"{name} cannot be told from guessing: its interval holds {figures.guessing:.3g}."
    elif figures.accuracy_high < figures.guessing:
        yield f"{name} is worse than guessing: its interval lies below {figures.guessing:.3g}; its sign may be wrong."
    yield from _length_remarks(name, figures)
    if figures.flips_known and figures.flip_rate > MOST_FLIPS:
        yield f"{name} changes its verdict with the order of showing in {figures.flip_rate:.0%} of the items."
    if figures.judged < LEAST_JUDGED * figures.labelled:
        yield (
            f"{name} judged {figures.judged:,} of {figures.labelled:,} items; with the others guessed its accuracy is "
            f"{figures.accuracy_of_all:.3f}."
        )


def _length_remarks(name: str, figures: Figures) -> Iterator[str]:
    longer = figures.longer_wins > MOST_LONGER_WINS and _surely_above_half(figures)
    wins = f"the longer response wins {figures.longer_wins:.0%} of its pairs"
    surely_better = figures.gain_low > 0
    if longer and not surely_better:
        yield f"{name} is a length reward: {wins}, and it is {_beside_length(figures)}."
    elif longer:
        yield f"{name} follows length: {wins}; control for length."
    elif not surely_better:
        yield f"{name} is {_beside_length(figures)}."


def _beside_length(figures: Figures) -> str:
    if figures.gain <= 0:
        return "no better than length alone"
    if figures.judged < 2:
        return f"not surely better than length alone (gain {figures.gain:.3f} on one item)"
    interval = f"{figures.gain_low:.3f} to {figures.gain_high:.3f}"
    return f"not surely better than length alone (gain {figures.gain:.3f}, {interval})"


def _surely_above_half(figures: Figures) -> bool:
    """Return whether a few pairs alone do not make the share."""
    n = figures.unlike_lengths
    return wilson_interval(figures.longer_wins * n, n)[0] > 0.5
