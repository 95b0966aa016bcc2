"""Headlines of reports: tasks, their leading metrics, and label budgets by which systems are compared."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mmtk.study.results import Cell, Study

Labels = Mapping[str, int | str]

ALPHA = 0.05


def kind_of(study: Study) -> str:
    """Word for what the page is of: runs of other programs, one run, or a study."""
    single = sum(len(cell.runs) for cell in study.cells) == 1
    return "Comparison" if study.origin else "Run" if single else "Ablation study"


def worded(text: str, study: Study) -> str:
    """A text on seeds, of a study of folds with the words for those."""
    if not study.folds:
        return text
    folded = re.sub(r"\bseed(s?)\b", r"fold\1", text)
    folded = re.sub(r"\bSeed(s?)\b", r"Fold\1", folded)
    folded = folded.replace("two-way test", "leading test")
    where = where_folded(study)
    return folded.replace("(two-way)", f"({where}the corrected t over folds{', elsewhere two-way' * bool(where)})")


def where_folded(study: Study) -> str:
    """The test set that folds divide, with a space, as words of a sentence; "" where there is no other."""
    return f"{study.folded_set} " if study.folds and len(study.domains) > 1 else ""


def at(study: Study, labels: Labels) -> list[Cell]:
    """The cells at a budget; what a cell does not train does not count."""
    return [c for c in study.cells if all(labels.get(task) == label for task, label in c.labels.items())]
