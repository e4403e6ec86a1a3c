"""Which two responses of a prompt become chosen and rejected, by a matrix of preferences; and what trainers aim at.

Sources: SPPO, arXiv:2405.00675 (best and worst by win rate, targets eta (p - 1/2)); INPO, arXiv:2407.00617 (best and
worst by an oracle or a tournament, target 1/(2 eta) for the difference of log-ratios, both references in one); 2 and 3
of our training notes, with the code they were checked against. The rule `nash` is ours. Plain arithmetic on arrays;
knows no rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stages.preference.preference_matrix import EQUAL, FloatArray, greatest


def by_win_rate(rates: FloatArray, texts: Sequence[str], ids: Sequence[str]) -> tuple[int, int] | None:
    """Return the response with the highest win rate, and the one with the lowest that has another text.

    Of equal ones the id that sorts first decides, so that the order of the responses changes no pair.

    Args:
        rates: shape (n,), in [0, 1]; NaN for a response that takes no part; at least one number.
        texts: the responses, white space folded.
        ids: of the responses, each once.

    Returns:
        Numbers of chosen and rejected; None if no response of another text has a lower win rate.
    """
    chosen = greatest(rates, ids)
    others = np.array([text != texts[chosen] for text in texts]) & (rates < rates[chosen] - EQUAL)
    return (chosen, greatest(np.where(others, -rates, np.nan), ids)) if others.any() else None


def by_mixture(
    matrix: FloatArray, mixture: FloatArray, rates: FloatArray, texts: Sequence[str], ids: Sequence[str]
) -> tuple[int, int] | None:
    """Return the response with the most weight in the Nash mixture, and the worst of those that it beats.

    Of equal weights, as in a circle, the higher win rate decides, then the id that sorts first. The worst has the
    lowest win rate, and none above that of the chosen one, so that the order of win rates holds for every rule.

    Args:
        matrix: shape (n, n), P(i beats j).
        mixture: shape (n,), weights.
        rates: shape (n,), win rates.
        texts: the responses, white space folded.
        ids: of the responses, each once.

    Returns:
        Numbers of chosen and rejected, with matrix[chosen][rejected] > 1/2; None if there is no such response.
    """
    heaviest = mixture >= mixture.max() - 1e-9
    chosen = greatest(np.where(heaviest, rates, np.nan), ids)
    beaten = (matrix[chosen] > 0.5 + EQUAL) & (rates <= rates[chosen] + EQUAL)
    beaten &= np.array([text != texts[chosen] for text in texts])
    return (chosen, greatest(np.where(beaten, -rates, np.nan), ids)) if beaten.any() else None


def sppo_target(probability: float, eta: float) -> float:
    """Return eta (p - 1/2), the log-ratio of policy over reference, in nats, that SPPO aims at for a response.

    Args:
        probability: P(response beats the policy), in [0, 1].
        eta: SPPO's step, 1 / beta; 1000 in its code.
    """
    return eta * (probability - 0.5)


def inpo_margin(probability: float, eta: float) -> float:
    """Return (2 p - 1) / (2 eta), the value of h at which INPO's expected loss is least, in nats.

    Args:
        probability: P(chosen beats rejected); 1 for a hard label, which gives the 1/(2 eta) of the loss.
        eta: INPO's inverse step; 0.0075 in public code. Larger means a smaller step, the opposite of SPPO's eta.
    """
    return (2.0 * probability - 1.0) / (2.0 * eta)


def mixed_reference(reference: float, previous: float, tau_over_eta: float) -> float:
    """Return the one log-probability that stands for both of INPO's references, in nats.

    INPO's loss is that of IPO, without division by length, against (tau/eta) log pi_ref + (1 - tau/eta) log pi_t.

    Args:
        reference: sum of log-probabilities of the response under the initial model.
        previous: the same under the policy that sampled it.
        tau_over_eta: in [0, 1]; 1/3 in public code.
    """
    return tau_over_eta * reference + (1.0 - tau_over_eta) * previous
