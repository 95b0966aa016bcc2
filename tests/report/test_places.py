"""Decimal places: the median spread of a column has two significant digits."""

from __future__ import annotations

from mmtk.report.places import places


def test_the_median_spread_of_a_column_has_two_significant_digits() -> None:
    for spreads, least, expected in (
        ([0.014], 2, 3),  # mm: 0.047 ± 0.014, not 0.05 ± 0.01
        ([3.2, 0.4], 2, 2),
        ([0.012, 0.31], 3, 3),
        ([0.0022, 0.0058], 3, 4),
        ([0.0022, 0.00031], 3, 4),
        ([0.00022, 0.00031], 3, 5),
        ([0.0156, 0.0104, 0.0078, 0.0784], 3, 3),
        ([0.052, 0.031, 0.013, 0.036, 0.0058], 3, 3),
        ([0.0022, 0.0, None, float("nan"), float("inf"), 1e-9], 3, 4),  # runs that are all alike
        ([], 3, 3),
        ([None], 2, 2),
    ):
        assert places(spreads, least) == expected, spreads
