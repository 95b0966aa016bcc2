"""Numbers of things in messages: 1 image, 2 images, all 3 images."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Number and noun: ``1 image``, ``2 images``.

    many: the plural, where it is more than an s behind ``one``; both may go on with their verbs, as ``image has``
    and ``images have``
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def share(number: int, total: int, noun: str, one: str = "", many: str = "") -> str:
    """So many of a number of things: ``1 of 3 images``, ``all 3 images``, ``both images``, ``the one image``.

    one, many: what goes on behind it, of one and of several, as ``has no mask`` and ``have no mask``
    """
    things = noun if total == 1 else f"{noun}s"
    whole = {1: "the one", 2: "both"}.get(total, f"all {total:,}")
    amount = whole if number == total else f"{number:,} of {total:,}"
    return f"{amount} {things} {one if number == 1 else many or one}".rstrip()
