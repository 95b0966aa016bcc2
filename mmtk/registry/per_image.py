"""Values per image of several metrics, joined by id."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmtk import api
from mmtk.errors import MmtkError


def case_columns(metrics: Mapping[str, api.Metric]) -> dict[str, list[Any]]:
    """Values per image of all metrics of a task, joined by id; None where a metric has none.

    A column that another metric has already carries the name of the later table in front, as in scores.
    """
    tables = {name: cases for name, metric in metrics.items() if (cases := metric.per_image())}
    for name, cases in tables.items():
        if "id" not in cases:
            raise MmtkError(
                f"metric.{name}: per_image() gives columns without 'id', so its values belong to no image.",
                hint="Put the ids first, or return {}. Then run the folder again: what was trained is kept.",
            )
    ids = sorted({image_id for cases in tables.values() for image_id in cases["id"]})
    columns: dict[str, list[Any]] = {"id": ids}
    for name, cases in tables.items():
        row_of = {image_id: row for row, image_id in enumerate(cases["id"])}
        for key, values in cases.items():
            if key != "id":
                free = f"{name}/{key}" if key in columns else key
                columns[free] = [values[row_of[image_id]] if image_id in row_of else None for image_id in ids]
    return columns
