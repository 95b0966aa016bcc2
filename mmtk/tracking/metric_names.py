"""Names that MLflow allows: letters, digits and ``_-. :``, in parts between single slashes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable

LONGEST = 250
LEVELS = 3  # of a metric, as in val/classification/macro-f1; a later slash belongs to a label


def allowed_names(keys: Iterable[str]) -> dict[str, str]:
    """The name of each metric: slashes of labels replaced, names that would meet numbered in the order given."""
    names: dict[str, str] = {}
    used_names: set[str] = set()
    for key in keys:
        *levels, label = key.split("/", LEVELS - 1)
        name = first = allowed_name("/".join([*levels, label.replace("/", "_")]))
        number = 2
        while name in used_names:
            name, number = f"{first[: LONGEST - 6]}-{number}", number + 1
        used_names.add(name)
        names[key] = name
    return names


def allowed_name(key: str) -> str:
    """A key as MLflow allows it: a part that is empty or of dots alone is spelled with ``_``."""
    parts = [re.sub(r"[^\w.\- :]", "_", part) for part in key.split("/")]
    name = "/".join("_" * max(1, len(part)) if not part.strip(".") else part for part in parts)
    if len(name) > LONGEST:
        name = f"{name[: LONGEST - 9]}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"
    return name
