"""Dates as cells of tables have them."""

from __future__ import annotations

import re

_YEAR = r"(?:18|19|20)\d\d"
_MONTH, _DAY = r"(?:0?[1-9]|1[0-2])", r"(?:0?[1-9]|[12]\d|3[01])"
_NAME = r"[^\W\d]{3,}\.?"  # of a month, in any language
_DATE = re.compile(
    rf"(?:{_YEAR}[-/.]{_MONTH}[-/.]{_DAY}\.?"  # 2017-03-04, 2017/3/4
    rf"|{_YEAR}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"  # 20170304
    rf"|{_DAY}[-/.]{_DAY}[-/.](?:{_YEAR}|\d\d)"  # 4.3.2017, 03/04/17
    rf"|{_DAY}\.?[-/ ]{_NAME}[-/ ](?:{_YEAR}|\d\d)"  # 4-Mar-2017, 4. März 2017
    rf"|{_NAME} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"  # March 4th, 2017
    rf"|{_YEAR}[年년] ?{_MONTH}[月월](?: ?{_DAY}[日일])?)"  # 2017年3月4日
    r"(?:[T ,]+\d.*)?"  # with the time
)


def is_date(cell: str) -> bool:
    """Whether a text is a day of the calendar, with or without the time of day."""
    return bool(_DATE.fullmatch(cell.strip()))
