"""Findings that stand behind the patient in the name of a folder: ``Pat 1 (Pneumonie)``, ``007_normal``."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from mmtk.data.plan import words
from mmtk.data.plan.films import Labels
from mmtk.data.plan.listing import parent
from mmtk.data.plan.patient_words import are_persons
from mmtk.errors import listing

TEXT = r"[^\W\d_][^\d()\[\]{}]*"
FORMS = tuple(
    re.compile(form)
    for form in (
        rf"(?P<patient>.+?)\s*[(\[{{]\s*(?P<finding>{TEXT})[)\]}}]",  # Pat 1 (Pneumonie)
        rf"(?P<finding>{TEXT}?)\s*[(\[{{](?P<patient>[^()\[\]{{}}]*\d)[)\]}}]",  # Pneumonie (Pat 1)
        rf"(?P<patient>.*\d)[-\s_,;–—]+(?P<finding>{TEXT})",  # Pat 1 - Pneumonie, P001_no_finding
        r"(?P<patient>.+?)(?:\s[-–—]\s|_+)(?P<finding>[^\W\d_][^\d_]*)",  # Öztürk_Pneumonie
        rf"(?P<patient>(?P<finding>{TEXT}?)[-\s_]*\d+)",  # Pneumonie 12
    )
)
MOST_FINDINGS = 20
VISIT = re.compile(r"(?:study|visit|exam|session|ses)[-_ ]?\d+", re.IGNORECASE)  # of the patient above


def take_patient_findings(labels: Labels) -> None:
    """Take the finding, and the patient, from the folders of one level where all have one form."""
    folders = {path: PurePosixPath(parent(path)).parts for path in labels.films}
    for level in range(min(map(len, folders.values()), default=0)):
        names = {path: parts[level] for path, parts in folders.items()}
        if split := _split({*names.values()}):
            break
    else:
        return
    lacking = {*names.values()} - {*split}
    example = f'"{min({*names.values()} - lacking)}"'
    if lacking:
        labels.notes.append(
            f"the folders may say the finding, as {example}, but not all do: {listing(lacking, 3)}. Give each its "
            "finding, or write a table with the columns image and label"
        )
    elif all(VISIT.fullmatch(visit) for visit, _ in split.values()):
        for path, name in names.items():
            labels.films[path].label = split[name][1]
        labels.reasons.append(f"the finding is a folder of the path, as {example}")
    elif are_persons(split[name][0] for name in names.values()):
        for path, name in names.items():
            labels.films[path].patient, labels.films[path].label = split[name]
        labels.reasons.append(f"the patient and the finding are a folder of the path, as {example}")


def _split(names: Collection[str]) -> Mapping[str, tuple[str, str]]:
    """Patient and finding by name, by the first form that most have and that makes findings, one a normal one."""
    for form in FORMS:
        matches = {name: match for name in names if (match := form.fullmatch(name))}
        split = {
            name: (match["patient"].strip(), match["finding"].strip(" -_,")) for name, match in matches.items()
        }
        findings = Counter(finding for _, finding in split.values())
        are_visits = all(VISIT.fullmatch(patient) for patient, _ in split.values())
        are_few = 1 < len(findings) <= MOST_FINDINGS and (min(findings.values()) > 1 or are_visits)
        if 2 * len(split) > len(names) and are_few and any(words.is_healthy(finding) for finding in findings):
            return split
    return {}
