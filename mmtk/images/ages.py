"""Ages as tables and DICOM headers write them."""

from __future__ import annotations

import re

_AGE = re.compile(r"0*(\d{1,3}(?:\.\d+)?) ?([YMWD]?)", re.IGNORECASE)
_PER_YEAR = {"": 1.0, "Y": 1.0, "M": 12.0, "W": 365.25 / 7, "D": 365.25}


def age_in_years(text: str) -> float | None:
    """Age in years of ``058Y``, ``18M``, ``3W``, ``10D`` or ``58``; None of another text, and of 150 years on.

    NIH's table has patients of 400 years and more, which are slips of the pen.
    """
    match = _AGE.fullmatch(text.strip())
    years = float(match[1]) / _PER_YEAR[match[2].upper()] if match else 150.0
    return round(years, 3) if years < 150 else None
