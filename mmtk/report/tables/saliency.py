"""Tables of measured saliency maps."""

from __future__ import annotations

from collections.abc import Sequence

from mmtk.report.saliency import HOLDS, MapClaim, MapScore, verdicts
from mmtk.report.tables.strata import interval_entry
from mmtk.report.tables.table import Entry, Table, count_entry, headings, p_entry, value_entry


def scores(rows: Sequence[MapScore]) -> Table:
    """Scores of maps, a row per system, map, test set and score."""
    caption = (
        "Means over images, with 95 % intervals for new trainings on new patients (one seed: for new patients). "
        "Mass: share of the sum of the map. Pointing game: how often the largest value lies in a box. Deletion: "
        "mean probability of the predicted class while pixels become the mean of the image, the largest values of "
        "the map first (low is good); insertion: while they come back into the blurred image (high is good; 8 "
        "steps; Petsiuk et al. 2018). Shuffled: rank correlation with the map after the weights of these layers "
        "were shuffled, from the head down (Adebayo et al. 2018). Noise and centre are maps that look at no "
        "image. Lungs are reference masks on sets with masks, else the network's own masks."
    )
    names = ("System", "Map", "Test set", "Metric", "*Score", "*Share of the area", "*Images", "*Seeds")
    body = [
        [
            Entry(row.maps.cell.name),
            Entry(row.maps.name),
            Entry(row.maps.test_set),
            Entry(row.info.heading),
            interval_entry(row.interval),
            value_entry(row.area),
            count_entry(row.images),
            count_entry(row.interval.seeds),
        ]
        for row in rows
    ]
    return Table("saliency", "Scores of saliency maps", caption, headings(*names), body)


def claims(rows: Sequence[MapClaim]) -> Table:
    """Sentences on maps, and whether they hold."""
    caption = (
        "The paper says that its maps consistently highlight the crucial regions. Each row is one thing that "
        "this would mean, with the difference that it rests on and its 95 % interval. It holds, or does not hold, "
        "where p is below 0.05 after Holm's adjustment over all rows; else it is open. The first rows sum up "
        "those of a map: the paper's sentence holds where all of them do, and does not where one does not."
    )
    names = ("System", "Map", "Test set", "Sentence", "*Difference", "*p (Holm)", "Verdict")
    body = [
        [
            *(Entry(text) for text in (system, name, "all", "the paper's: it highlights the crucial regions")),
            interval_entry(None),
            p_entry(None),
            Entry(word, best=word == HOLDS),
        ]
        for (system, name), word in verdicts(rows).items()
    ]
    body += [
        [
            Entry(row.maps.cell.name),
            Entry(row.maps.name),
            Entry(row.maps.test_set),
            Entry(row.sentence),
            interval_entry(row.difference, sign=True),
            p_entry(row.adjusted),
            Entry(row.verdict, best=row.verdict == HOLDS),
        ]
        for row in rows
    ]
    return Table("saliency-claims", "Do the maps highlight what matters?", caption, headings(*names), body)
