"""Days of the calendar in the spellings of tables."""

from mmtk.io.dates import is_date

DATES = (
    "2017-03-04|2017/3/4|2017.03.04|20170304|4.3.2017|04/03/17|3-4-2017|4-Mar-2017|4. März 2017|"
    "4 mars 2017|March 4, 2017|Mar 4th 2017|2017年3月4日|2017년 3월 4일|2017-03-04 10:11:12|"
    "2017-03-04T10:11:12Z| 4-Mar-17 "
)
OTHERS = "12345678|20171304|2017|3.4|1.2.3|58|PA|line 4|4 of 17|10 opacities 2017 x|0.2017|B-03-2017|"


def test_dates_of_many_spellings_and_what_is_none():
    assert [text for text in DATES.split("|") if not is_date(text)] == []
    assert [text for text in OTHERS.split("|") if is_date(text)] == []
