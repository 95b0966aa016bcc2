"""Probability that a published "A is better than B" is false, from means and the size of the test set alone.

The posterior probabilities are those of Christodoulou et al. (2025, arXiv 2505.04720). Their estimates of
how alike two models err, and of standard deviations that papers leave out, are not in here: both ends of the first
are given, and the second has to be known.
"""

from __future__ import annotations

import math

from scipy.special import betainc, stdtr, stdtrit

LEVEL = 0.05  # probability of a false claim above which it is not supported


def false_share_claim(higher: float, lower: float, cases: int, both_right: float) -> float:
    """P(p_A ≤ p_B) of shares of right cases, under a flat Dirichlet prior.

    higher: reported share of A, 0…1
    lower: reported share of B
    cases: of the test set
    both_right: share of cases that both get right (the congruence)

    With x₁ = n (p_A − p₁₁) and x₂ = n (p_B − p₁₁), the posterior of the cases that A or B alone gets right is
    Dirichlet(x₁ + 1, x₂ + 1, n − x₁ − x₂ + 2), so the share of A among them is Beta(x₁ + 1, x₂ + 1).
    """
    alone = max(cases * (higher - both_right), 0.0), max(cases * (lower - both_right), 0.0)
    return float(betainc(alone[0] + 1, alone[1] + 1, 0.5))


def false_mean_claim(difference: float, spreads: tuple[float, float], cases: int, correlation: float) -> float:
    """P(μ_A ≤ μ_B) of means over cases: t_{n−1}(−√n (m_A − m_B) / √(s_A² + s_B² − 2 s_A s_B r)).

    difference: of the reported means, A − B
    spreads: standard deviations over cases
    cases: of the test set
    correlation: of both systems' values over cases
    """
    spread = _of_difference(spreads, correlation)
    if not spread:
        return 0.0 if difference > 0 else 0.5
    return float(stdtr(cases - 1, -math.sqrt(cases) * difference / spread))


def smallest_share_claim(lower: float, cases: int, congruent: bool) -> float:
    """Smallest difference of shares that a test set can support; NaN where even the largest is none.

    lower: share of the worse system
    cases: of the test set
    congruent: whether the better system gets all right that the worse one does; else both err independently
    """

    def excess(difference: float) -> float:
        higher = lower + difference
        return false_share_claim(higher, lower, cases, lower if congruent else higher * lower) - LEVEL

    most = 1.0 - lower
    if most <= 0 or excess(most) > 0:
        return math.nan
    from scipy.optimize import brentq  # a second of CPU time, which not every audit needs

    return float(brentq(excess, 0.0, most, xtol=1e-6))


def smallest_mean_claim(spreads: tuple[float, float], cases: int, correlation: float) -> float:
    """Smallest difference of means that a test set can support.

    spreads: standard deviations over cases
    cases: of the test set
    correlation: of both systems' values over cases
    """
    return float(stdtrit(cases - 1, 1 - LEVEL)) * _of_difference(spreads, correlation) / math.sqrt(cases)


def accuracy_of_f1(first: float, second: float) -> float:
    """Accuracy that follows from F1 of both of two classes.

    With e the share of errors, F1 = 2 t / (2 t + e) of the right cases t of a class, and both t and e sum to 1.
    """
    if max(first, second) >= 1:
        return 1.0
    odds = sum(f1 / (2 * (1 - f1)) for f1 in (first, second))
    return 1 - 1 / (1 + odds)


def _of_difference(spreads: tuple[float, float], correlation: float) -> float:
    """Standard deviation over cases of the difference of two systems."""
    a, b = spreads
    return math.sqrt(max(a**2 + b**2 - 2 * a * b * correlation, 0.0))
