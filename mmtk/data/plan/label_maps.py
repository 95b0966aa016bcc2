"""Label maps among masks: their numbers or colours, and names for these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from mmtk.data.plan.listing import Listing
from mmtk.errors import MmtkError

SAMPLES = 8
MOST = 20  # labels of a map; arbitrary gray values are at most LABEL_VALUES, as in mmtk.images.masks
LABEL_VALUES = 8
IGNORED = 255
FOREGROUNDS = {1, 127, 128, 254, 255}  # as programs write a plain mask
COLOURS = {
    0x000000: "background",
    0xFF0000: "red",
    0x00FF00: "green",
    0x0000FF: "blue",
    0xFFFF00: "yellow",
    0x00FFFF: "cyan",
    0xFF00FF: "magenta",
    0xFFFFFF: "white",
    0x808080: "gray",
    0x008000: "dark green",
    0x800000: "dark red",
    0x000080: "dark blue",
}


@dataclass(frozen=True)
class LabelMap:
    """Keys of the source ``folder`` for label maps, and a note that describes them."""

    keys: dict[str, object] = field(default_factory=dict)
    note: str = ""


def label_map(listing: Listing, masks: Sequence[str]) -> LabelMap | None:
    """Find the labels of label maps, the background first; None for plain masks.

    Some masks are opened; where these are label maps, all are.
    """
    step = max(1, len(masks) // SAMPLES)
    samples = masks[::step][:SAMPLES]
    looks = [look for path in samples if (look := listing.look(path))]
    if not looks or any(look.values is None for look in looks) or any(look.lossy for look in looks):
        return None
    values = {value for look in looks for value in look.values or ()}
    names = _named_numbers(listing)
    if any(look.coloured for look in looks):
        colours = Counter[int]()
        if len(values) > 2:
            for path in masks:
                colours.update(_counts(listing.root / path, colours=True))
        return _coloured(colours) if 2 < len(colours) <= MOST else None
    if names and values <= {*names, IGNORED}:
        return _keys(names)
    if len(values) < 3 or (max(values) > MOST and len(values) > LABEL_VALUES):
        return None
    values_of = [{*_counts(listing.root / path)} for path in masks]
    all_values = set().union(*values_of)
    if all_values <= FOREGROUNDS | {0} and all(len(values) < 3 for values in values_of):
        return None  # plain masks of several programs
    labels = all_values - {IGNORED}
    if (
        labels != {*range(len(labels))} or len(labels) < 2
    ):  # 255 is a label beside 0 and 127, and is ignored beside 0, 1, 2
        labels = all_values
    if len(labels) > MOST or min(labels) < 0:
        return None
    return _keys({value: "background" if k == 0 else f"label {value}" for k, value in enumerate(sorted(labels))})


def _keys(names: dict[int, str]) -> LabelMap:
    keys: dict[str, object] = {"classes": [*names.values()], "exclusive": True}
    if [*names] != [*range(len(names))]:
        keys["values"] = [*names]
    description = ", ".join(f"{value} {name}" for value, name in names.items())
    unnamed = any(name.startswith("label ") for name in names.values())
    return LabelMap(keys, f"label maps: {description}{' (give them their names in classes)' if unnamed else ''}")


def _coloured(counts: Counter[int]) -> LabelMap:
    ground = 0 if 0 in counts else counts.most_common(1)[0][0]
    order = [ground, *sorted({*counts} - {ground}, reverse=True)]
    names = ["background", *(COLOURS.get(colour, f"#{colour:06x}") for colour in order[1:])]
    values = [f"#{colour:06x}" for colour in order]
    description = ", ".join(f"{value} {name}" for value, name in zip(values, names, strict=True))
    keys: dict[str, object] = {"classes": names, "exclusive": True, "values": values}
    return LabelMap(keys, f"label maps in colours: {description} (give them their names in classes)")


def _named_numbers(listing: Listing) -> dict[int, str]:
    """Names by number from nnU-Net's dataset.json, old or new."""
    for path in listing.jsons:
        if PurePosixPath(path).name == "dataset.json" and isinstance(about := listing.json(path), dict):
            labels = about.get("labels")
            if isinstance(labels, dict) and len(labels) > 1:
                pairs = [
                    (int(b), str(a)) if str(b).isdigit() else (int(a), str(b))
                    for a, b in labels.items()
                    if str(a).isdigit() or str(b).isdigit()
                ]
                return dict(sorted(pairs))
    return {}


def _counts(path: Path, colours: bool = False) -> Counter[int]:
    """Count the pixels of a mask by number, or by colour as 65536 red + 256 green + blue."""
    from mmtk.images.loader import read_colours, read_labels

    try:
        values = (read_colours if colours else read_labels)(path)
    except MmtkError:
        return Counter()
    numbers, counts = np.unique(values, return_counts=True)
    return Counter(dict(zip(numbers.tolist(), counts.tolist(), strict=True)))
