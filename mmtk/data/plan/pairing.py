"""Pairs of masks and films, by their names."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from mmtk.data.plan.listing import stem
from mmtk.data.plan.part_folders import part_words

END = re.compile(r"[-_. ]+[^\W_]+$|[^\W\d_]+$")


@dataclass(frozen=True)
class Pairs:
    """Masks by film, and the affixes of their names around the part that they share."""

    of: Mapping[str, list[str]]
    mask: str = ""
    image: str = ""
    side: str = "suffix"


def pair(films: Sequence[str], masks: Sequence[str]) -> Pairs:
    """Pair masks and films by the endings, or else the beginnings, of names that match most of them."""
    best = Pairs({})
    for side in ("suffix", "prefix"):
        film_stems, mask_stems = ({_oriented(stem(path), side) for path in paths} for paths in (films, masks))
        for image_tail in _tails(film_stems, mask_stems):
            for mask_tail in _tails(mask_stems, film_stems):
                pairs = _pairs(films, masks, mask_tail, image_tail, side)
                if len(pairs) > len(best.of):
                    best = Pairs(pairs, _oriented(mask_tail, side), _oriented(image_tail, side), side)
        if len(best.of) >= min(len(films), len(mask_stems)) / 2:
            break
    return best


def _oriented(name: str, side: str) -> str:
    return name if side == "suffix" else name[::-1]


def _tails(names: Collection[str], counterparts: Collection[str]) -> list[str]:
    """Endings that names may have: none, those that most share, and rests behind a name of ``counterparts``."""
    counts: Counter[str] = Counter()
    rests: Counter[str] = Counter()
    for name in names:
        cut, end = name, ""
        for _ in range(2):
            if match := END.search(cut):
                end, cut = match[0] + end, cut[: match.start()]
                counts[end] += 1
        if (k := next((k for k in range(len(name) - 1, 0, -1) if name[:k] in counterparts), 0)) > 0:
            rests[name[k:]] += 1
    shared = [tail for tail, count in counts.most_common(3) if count > len(names) / 3]
    return list(dict.fromkeys(["", *(tail for tail, _ in rests.most_common(2)), *shared]))


def _pairs(
    films: Sequence[str], masks: Sequence[str], mask_tail: str, image_tail: str, side: str
) -> dict[str, list[str]]:
    by_stem: dict[str, list[str]] = defaultdict(list)
    for path in films:
        if (name := _oriented(stem(path), side)).endswith(image_tail):
            by_stem[name.removesuffix(image_tail)].append(path)
    pairs: dict[str, list[str]] = defaultdict(list)
    for path in masks:
        if (name := _oriented(stem(path), side)).endswith(mask_tail):
            near = by_stem.get(name.removesuffix(mask_tail), [])
            if len(near) > 1:
                folders = part_words(path)
                near = sorted(near, key=lambda film: -len(folders & part_words(film)))
            if near:
                pairs[near[0]].append(path)
    return pairs


def shifted_numbers(pairs: Collection[str], films: Collection[str], masks: Collection[str]) -> str:
    """Sentence on films and masks whose numbers are shifted, as 1…40 and 0…39; "" where they are not.

    pairs: films with a mask
    films: without a mask
    masks: without a film
    """
    numbers, film_numbers, mask_numbers = (
        [int(digits[-1]) for path in paths if (digits := re.findall(r"\d+", stem(path)))]
        for paths in (pairs, films, masks)
    )
    if len(film_numbers) != len(films) or len(mask_numbers) != len(masks) or len(films) != len(masks):
        return ""
    if not (films and numbers) or len(films) > len(numbers):
        return ""
    low, high = sorted((film_numbers, mask_numbers))
    if not max(low) < min(numbers) <= max(numbers) < min(high):
        return ""
    row, mask_row = (f"{min(kind + numbers)} to {max(kind + numbers)}" for kind in (film_numbers, mask_numbers))
    return (
        f"films are numbered {row}, masks {mask_row}: if the first mask is of the first film, every mask is taken "
        "for the film beside its own. Look at inspect's pictures, and rename the masks"
    )
