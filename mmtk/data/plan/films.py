"""Facts of single films: class, patient, part and spacing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from mmtk.counts import counted
from mmtk.data.plan.columns import SEVERAL


@dataclass
class Film:
    """Facts of one film; ``label`` is None where nothing speaks of a class, "" where it has none.

    ``metadata``: cells of the columns without a use, by name, but for those that name persons.
    """

    label: str | None = None
    patient: str = ""
    split: str = ""
    spacing: str = ""
    metadata: dict[str, str] = field(default_factory=dict)


@dataclass
class Labels:
    """Facts of films by path, the recipe keys that give them, and ``reasons`` why keys alone cannot."""

    films: dict[str, Film]
    keys: dict[str, object] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)
    listed: set[str] = field(default_factory=set)  # films with a row
    lateral: dict[str, set[str]] = field(default_factory=dict)  # lateral films by the column that says so
    modalities: dict[str, set[str]] = field(default_factory=dict)  # films of CT, say, by the column that says so
    left_out: list[str] = field(default_factory=list)  # films that the profile is not to read
    files: set[str] = field(default_factory=set)  # JSON, YAML and text files that are read
    possible_patients: list[str] = field(default_factory=list)  # notes on columns that repeat as patients do

    @property
    def counts(self) -> Counter[str]:
        """Number of films of each class."""
        return Counter(film.label for film in self.films.values() if film.label)


def metadata_columns(films: Iterable[Film]) -> list[str]:
    """Names of the metadata that any film has."""
    return list(dict.fromkeys(name for film in films for name, cell in film.metadata.items() if cell))


def leave_several(labels: Labels) -> None:
    """Unlabel films with several findings: mmtk learns from films of one class. One that is named twice is one."""
    several = 0
    for film in labels.films.values():
        findings = dict.fromkeys(filter(None, SEVERAL.split(film.label or "")))
        several += len(findings) > 1
        film.label = film.label and ("" if len(findings) > 1 else next(iter(findings), ""))
    if several:
        labels.reasons.append(f"{counted(several, 'image')} with several findings: unlabelled")
