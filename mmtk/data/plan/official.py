"""Official layouts of public sets, which mmtk's sources for them read better than ``folder``."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from mmtk.components.source._chex_names import NUMBERED, PATIENT
from mmtk.data.plan.findings import FilmSet
from mmtk.data.plan.listing import Listing, stem
from mmtk.io.files import real_path

NAMES = {"chex": ("chest_xray", "CheX"), "jsrt": ("JSRT",), "mcu": ("MCU", "MontgomerySet"), "nihx": ("NIHX",)}
TASK = {"chex": "classification", "nihx": "classification", "jsrt": "segmentation", "mcu": "segmentation"}
# Others have folders of these names, too: their parts and patients are not those of the public sets.
CHEX = re.compile(rf"{PATIENT.pattern}|{NUMBERED.pattern}", re.IGNORECASE)
NIH = ("labels.csv", "Data_Entry_2017.csv", "Data_Entry_2017_v2020.csv")


def recognise(listing: Listing, film_set: FilmSet) -> str:
    """Name of the source that reads a set of films in its official layout, or ""."""
    inside = listing.below(film_set.folder) if film_set.folder else listing
    folders = {path.rpartition("/")[0] for path in inside.images}
    layouts = {
        "chex": {"train/NORMAL", "train/PNEUMONIA", "test/NORMAL", "test/PNEUMONIA"} <= folders
        and all(CHEX.match(stem(path)) for path in inside.images),
        "mcu": "CXR_png" in folders
        and all(name.startswith("MCUCXR_") for name in _stems(inside, "CXR_png/"))
        and _stems(inside, "CXR_png/")
        == _stems(inside, "ManualMask/leftMask/")
        == _stems(inside, "ManualMask/rightMask/"),
        "jsrt": bool(film_set.folder or real_path(listing.root).name == "JSRT") and _jsrt(inside),
        "nihx": any(name in inside.tables and "Finding Labels" in inside.tables[name].columns for name in NIH),
    }
    return next((use for use, fits in layouts.items() if fits and film_set.folder in ("", *NAMES[use])), "")


def _jsrt(listing: Listing) -> bool:
    """Whether films named as JSRT's lie in ``images``, and their masks under the same names in ``masks``."""
    films, masks = (_stems(listing, folder) for folder in ("images/", "masks/"))
    return bool(films) and films == masks and all(name.startswith(("JPCLN", "JPCNN")) for name in films)


def _stems(listing: Listing, folder: str) -> set[str]:
    return {stem(path) for path in listing.images if path.startswith(folder)}


def official_uses(task: str, sets: Sequence[FilmSet], official: Mapping[int, str]) -> list[str]:
    """Names of the official sources of the sets that are trained on and scored, or "" for ``folder``.

    Both or none, because the names of classes and organs have to agree; NIH's set has no training part.
    """
    uses = [use if TASK.get(use := official.get(id(film_set), "")) == task else "" for film_set in sets]
    return uses if all(uses) and "nihx" not in uses[:1] else ["" for _ in uses]
