"""Numbers of things in messages: 1 image, 2 images, all 3 images, 5 folds × 2 repeats."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """Number and noun: ``1 image``, ``2 images``.

    one: the singular; it may go on with its verb, as ``image has``
    many: the plural, where it is more than an s behind ``one``, as ``images have``
    """
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"


def share(number: int, total: int, noun: str, one: str = "", many: str = "") -> str:
    """Part of a whole in words: ``1 of 3 images``, ``all 3 images``, ``both images``, ``the one image``.

    number: from 0 to ``total``
    noun: in the singular; its plural has an s
    one: continuation where ``number`` is 1, as ``has no mask``
    many: continuation otherwise, as ``have no mask``; the same as ``one`` by default
    """
    things = noun if total == 1 else f"{noun}s"
    whole = {1: "the one", 2: "both"}.get(total, f"all {total:,}")
    amount = whole if number == total else f"{number:,} of {total:,}"
    return f"{amount} {things} {one if number == 1 else many or one}".rstrip()


def replicates(count: int, folds: int) -> str:
    """Number of the runs of a cell in words: ``5 seeds``, ``5 folds``, ``5 folds × 2 repeats``.

    count: of the runs
    folds: of a repeat; 0 where all runs test the same images
    """
    if not folds:
        return counted(count, "seed")
    if count > folds and count % folds == 0:
        return f"{counted(folds, 'fold')} × {counted(count // folds, 'repeat')}"
    return counted(count, "fold")


def replicate(seed: int, folds: int) -> str:
    """Name of one run of a cell: ``seed 3``, ``fold 0 of repeat 1``; numbers are from 0.

    seed: of the run
    folds: of a repeat; 0 where all runs test the same images
    """
    return f"fold {seed % folds} of repeat {seed // folds}" if folds else f"seed {seed}"
