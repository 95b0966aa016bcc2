"""The official layouts that a source of mmtk's own reads better than ``folder`` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmtk.data.plan.findings import FilmSet
from mmtk.data.plan.listing import Listing, stem

NAMES = {"chex": ("chest_xray", "CheX"), "jsrt": ("JSRT",), "mcu": ("MCU", "MontgomerySet"), "nihx": ("NIHX",)}
TASK = {"chex": "classification", "nihx": "classification", "jsrt": "segmentation", "mcu": "segmentation"}
NIH = ("labels.csv", "Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")


def recognise(listing: Listing, found: FilmSet) -> str:
    """The name of the source that reads a set of films in its official layout, or ""."""
    inside = listing.below(found.folder) if found.folder else listing
    folders = {path.rpartition("/")[0] for path in inside.images}
    layouts = {
        "chex": {"train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"} <= folders,
        "mcu": {"CXR_png", "ManualMask/leftMask", "ManualMask/rightMask"} <= folders,
        "jsrt": bool(found.folder or listing.root.resolve().name == "JSRT") and _jsrt(inside),
        "nihx": any(name in inside.tables and "Finding Labels" in inside.tables[name].columns for name in NIH),
    }
    return next((use for use, fits in layouts.items() if fits and found.folder in ("", *NAMES[use])), "")


def _jsrt(listing: Listing) -> bool:
    """Whether films named as JSRT's lie in ``images``, and their masks under the same names in ``masks``."""
    films, masks = (
        {stem(path) for path in listing.images if path.startswith(place)} for place in ("images/", "masks/")
    )
    return bool(films) and films == masks and all(name.startswith(("JPCLN", "JPCNN")) for name in films)


def official_uses(task: str, sets: Sequence[FilmSet], official: Mapping[int, str]) -> list[str]:
    """The sources of mmtk's own for the set that is trained on and the one that is scored, or "" for ``folder``.

    Both or none, because the names of classes and organs have to agree; NIH's set has no training part.
    """
    uses = [use if TASK.get(use := official.get(id(each), "")) == task else "" for each in sets]
    return uses if all(uses) and uses[0] != "nihx" else ["" for _ in uses]
