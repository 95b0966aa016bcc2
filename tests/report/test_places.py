"""Decimal places: every spread of a column has two significant digits."""

from __future__ import annotations

from mmtk.report.places import places


def test_every_spread_of_a_column_has_two_significant_digits() -> None:
    for spreads, least, expected in (
        ([0.014], 2, 3),  # mm: 0.047 ± 0.014, not 0.05 ± 0.01
        ([3.2, 0.4], 2, 2),
        ([0.012, 0.31], 3, 3),
        ([0.0022, 0.0058], 3, 4),
        ([0.0022, 0.00031], 3, 5),
        ([0.0022, 0.0, None, float("nan"), float("inf"), 1e-9], 3, 4),  # runs that are all alike
        ([], 3, 3),
        ([None], 2, 2),
    ):
        assert places(spreads, least) == expected, spreads
        printed = [one for one in spreads if one and 1e-5 < one < 100]
        assert all(round(one, expected) >= 10 ** (1 - expected) * 0.99 for one in printed), spreads
