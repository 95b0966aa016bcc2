"""A corrected column of labels beside the first one is taken, where it has nearly all of them."""

from __future__ import annotations

from mmtk.data.plan.columns import find_columns
from mmtk.data.plan.doubts import doubts
from mmtk.data.plan.tables import Table

FILMS = [f"f{n}.png" for n in range(20)]
FIRST = ["normal", "ill"] * 10
SECOND = [*FIRST[:3], "normal", *FIRST[4:]]


def test_the_revised_column_is_taken_where_it_has_the_labels() -> None:
    few = ["", "", "", "normal", *[""] * 16]
    names = [f"reader {n}" for n in range(20)]
    for columns, label, note in (
        (
            {"label": FIRST, "label_revised": SECOND},
            "label_revised",
            'a revision of "label", which differs in 1 row ',
        ),
        ({"LabelFinal": SECOND, "Label": FIRST}, "LabelFinal", 'a revision of "Label", which differs in 1 row '),
        ({"diagnosis": FIRST, "consensus": SECOND}, "consensus", 'a revision of "diagnosis"'),
        ({"Befund": FIRST, "Befund korrigiert": SECOND}, "Befund korrigiert", 'a revision of "Befund"'),
        ({"label": FIRST, "label_corrected": few}, "label", '"label_corrected" revises 1 row of "label", 1 to'),
        ({"label": FIRST, "reviewed": ["yes", "no"] * 10}, "label", ""),  # whether it was
        ({"label": FIRST, "final_report": names}, "label", ""),
        ({"label": FIRST, "other": SECOND}, "label", ""),
    ):
        table = Table(("image", *columns), tuple(zip(FILMS, *columns.values(), strict=True)))
        columns_of_table = find_columns(table, FILMS, {})
        assert columns_of_table is not None
        assert columns_of_table.label == label, columns
        notes = " ".join(doubts(table, columns_of_table))
        assert note in notes if note else not notes, notes
    table = Table(("image", "label", "label_revised"), tuple(zip(FILMS, FIRST, SECOND, strict=True)))
    columns_of_table = find_columns(table, FILMS, {"label": "label"})
    assert columns_of_table is not None
    assert columns_of_table.label == "label"
