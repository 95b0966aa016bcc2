"""Checks of augmentations and sources."""

from __future__ import annotations

from itertools import combinations
from math import isfinite
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mmtk.api import Split
from mmtk.components.source._personal_columns import is_personal
from mmtk.errors import MmtkError
from mmtk.testing.check import ContractError, Subject, expect

SIZE, COUNT = 32, 8


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _smooth() -> Tensor:
    """The same image eight times: a bright corner, so that every move and every change of level shows."""
    ramp = torch.linspace(0.1, 0.9, SIZE)
    image = (ramp[:, None] * 0.6 + ramp[None] * 0.4)[None].expand(COUNT, 1, SIZE, SIZE).clone()
    image[:, :, 4:12, 6:14] = 1.0
    return image


def _masks() -> Tensor:
    masks = torch.zeros(COUNT, 2, SIZE, SIZE)
    masks[:, 0, 4:12, 6:14], masks[:, 1, 20:28, 18:30] = 1, 1
    return masks


# --- augment ---------------------------------------------------------------------------------------------------


def stays_in_range_and_shape(subject: Subject) -> None:
    """Images keep shape, dtype and [0, 1]; the input is not changed."""
    augment = subject.make(swap=())
    for channels in (1, 3):
        images = torch.rand(COUNT, channels, SIZE, SIZE)
        before = images.clone()
        augmented, masks = augment(images, _generator())
        expect(
            augmented.shape == images.shape and augmented.dtype == images.dtype,
            f"{tuple(images.shape)}, {images.dtype}",
            f"{tuple(augmented.shape)}, {augmented.dtype}",
            "keep shape and dtype.",
        )
        low, high = float(augmented.min()), float(augmented.max())
        expect(low >= 0 and high <= 1, "values in [0, 1]", f"{low:.3f} to {high:.3f}", "clamp to [0, 1].")
        expect(torch.equal(images, before), "an unchanged input", "changed images", "work on a copy.")
        expect(masks is None, "no masks where none are given", "masks", "return (images, None).")


def draws_belong_to_the_generator(subject: Subject) -> None:
    """The same generator gives the same images; the global generator has no say."""
    augment, images = subject.make(swap=()), _smooth()
    first = augment(images, _generator(3))[0]
    torch.rand(7)
    second = augment(images, _generator(3))[0]
    expect(
        torch.equal(first, second),
        "the same images from the same generator",
        "other ones",
        "pass generator= to every draw.",
    )


def parameters_are_drawn_per_image(subject: Subject) -> None:
    """Of equal images in a batch not all come out alike, unless nothing is ever changed."""
    augment, images = subject.make(swap=()), _smooth()
    batches = [augment(images, _generator(seed))[0] for seed in range(4)]
    if all(torch.equal(batch, images) for batch in batches):
        return
    alike = all(torch.equal(batch, batch[:1].expand_as(batch)) for batch in batches)
    expect(not alike, "different draws for the images of a batch", "the same for all", "draw len(images) numbers.")


def masks_stay_masks_and_move_along(subject: Subject) -> None:
    """Masks hold 0, 1 and −1 only, and where the image's square goes, its mask goes."""
    augment = subject.make(swap=())
    images, masks = _smooth() * 0, _masks()
    images[masks[:, :1] > 0] = 1.0
    augmented, augmented_masks = augment(images, _generator(5), masks)
    expect(
        augmented_masks is not None and augmented_masks.shape == masks.shape,
        "masks of the same shape",
        "none or others",
        "return the moved masks.",
    )
    assert augmented_masks is not None
    values = sorted(set(augmented_masks.unique().tolist()) - {0.0, 1.0, -1.0})
    expect(not values, "masks of 0, 1 and −1", f"{values[:3]}", "move masks with nearest neighbours.")
    # The square is the brightest or, inverted, the darkest part: its mean differs from the rest's where it is.
    for image, mask in zip(augmented, augmented_masks[:, 0], strict=True):
        inside, outside = image[0][mask == 1], image[0][mask == 0]
        if len(inside) > 20 and float(image.max() - image.min()) > 0.2:
            apart = abs(float(inside.mean() - outside.mean())) > 0.3 * float(image.max() - image.min())
            expect(apart, "the mask on its square", "the mask elsewhere", "apply one geometry to both.")


def geometry_can_be_left_out(subject: Subject) -> None:
    """With ``geometric=False`` masks, and so pixels, stay where they are."""
    augment, masks = subject.make(swap=()), _masks()
    for seed in range(3):
        augmented_masks = augment(_smooth(), _generator(seed), masks.clone(), geometric=False)[1]
        expect(
            augmented_masks is not None and torch.equal(augmented_masks, masks),
            "unmoved masks",
            "moved masks",
            "leave out flips, crops and warps when geometric is False.",
        )


def gray_levels_go_the_same_way(subject: Subject) -> None:
    """Where it says that it takes uint8, it gives what it gives for floats, as gray levels."""
    augment = subject.make(swap=())
    if not augment.uint8:
        return
    levels = (_smooth() * 255).to(torch.uint8)
    before = levels.clone()
    augmented = augment(levels, _generator(2), _masks())[0]
    expect(
        augmented.dtype == torch.uint8, "uint8 images for uint8 images", f"{augmented.dtype}", "keep the dtype."
    )
    expect(torch.equal(levels, before), "an unchanged input", "changed images", "work on a copy.")
    floats = augment(levels.float() / 255, _generator(2), _masks())[0]
    apart = float((augmented.float() - floats * 255).abs().max())
    expect(apart < 0.51, "the gray levels of the float images", f"{apart:.1f} levels apart", "or drop uint8.")


AUGMENT = (
    stays_in_range_and_shape,
    draws_belong_to_the_generator,
    parameters_are_drawn_per_image,
    masks_stay_masks_and_move_along,
    geometry_can_be_left_out,
    gray_levels_go_the_same_way,
)


# --- source ----------------------------------------------------------------------------------------------------

SPLITS: tuple[Split, ...] = ("train", "val", "test")
LOOKED_AT = 3


def _sources(subject: Subject) -> list[Any]:
    """The source for every task that it serves."""
    sources, refusal = [], ""
    for task in ("classification", "segmentation"):
        try:
            source = subject.make(root=subject.root or "data", task=task)
            if source.labels.task == task:
                sources.append(source)
        except (ContractError, MmtkError) as error:
            refusal = str(error)
    expect(bool(sources), "a source of one of the tasks", refusal or "a target of no task", "see the message.")
    return sources


def ids_are_stable_and_ordered(subject: Subject) -> None:
    """A second instance lists the same ids, sorted, each once."""
    for first, second in zip(_sources(subject), _sources(subject), strict=True):
        for split in SPLITS:
            ids = [item.id for item in first.items(split)]
            expect(
                ids == [item.id for item in second.items(split)],
                "the same ids every time",
                f"others in {split}",
                "derive ids from file names, and sort.",
            )
            expect(ids == sorted(set(ids)), "ids in order, each once", f"{ids[:3]} …", "sort the items by id.")
        everything = sorted(item.id for split in SPLITS for item in first.items(split))
        expect(
            sorted(item.id for item in first.items("all")) == everything,
            '"all" to be the three splits',
            "more or less",
            'let items("all") list them.',
        )


def splits_are_disjoint(subject: Subject) -> None:
    """No id and no patient stands in two splits."""
    for source in _sources(subject):
        for what in ("id", "patient"):
            sets = {split: {getattr(item, what) for item in source.items(split)} for split in SPLITS}
            for a, b in combinations(SPLITS, 2):
                both = sorted(sets[a] & sets[b])
                expect(
                    not both,
                    f"disjoint splits by {what}",
                    f"{', '.join(both[:3])} in {a} and {b}",
                    "split by patient.",
                )


def images_and_masks_can_be_read(subject: Subject) -> None:
    """Images are uint8 [H,W] or [H,W,C]; masks uint8 [K,H,W] of 0, 1 and 255; classes are known indices."""
    for source in _sources(subject):
        names = source.labels.names
        for split in SPLITS:
            for item in source.items(split)[:LOOKED_AT]:
                image = source.image(item)
                fine = image.dtype == np.uint8 and image.ndim in (2, 3)
                expect(
                    fine, "uint8 [H,W] or [H,W,C]", f"{image.dtype} {image.shape}", "map deeper images to 8 bits."
                )
                if source.labels.task == "classification":
                    is_label = item.target is None or 0 <= item.target < len(names)
                    expect(is_label, f"a class index below {len(names)}", f"{item.target!r}", "index the names.")
                elif item.target is not None:
                    mask = source.mask(item)
                    shaped = mask.ndim == 3 and len(mask) == len(names) and mask.dtype == np.uint8
                    expect(
                        shaped,
                        f"a mask uint8 [{len(names)},H,W]",
                        f"{mask.dtype} {mask.shape}",
                        "one channel per name.",
                    )
                    values = sorted(set(np.unique(mask).tolist()) - {0, 1, 255})
                    expect(not values, "masks of 0, 1 and 255", f"{values[:3]}", "compare with a threshold.")


def the_digest_is_stable(subject: Subject) -> None:
    """Two instances have one digest."""
    digests = [[source.digest() for source in _sources(subject)] for _ in range(2)]
    fine = digests[0] == digests[1] and all(isinstance(digest, str) and digest for digest in digests[0])
    expect(fine, "the same text every time", f"{digests}", "hash content and labels, no times and no paths.")


def metadata_name_no_person(subject: Subject) -> None:
    """Metadata are texts and finite numbers by name, and no name speaks of a person."""
    for source in _sources(subject):
        for item in source.items("all"):
            for name, value in item.metadata.items():
                fine = isinstance(value, str) or (isinstance(value, int | float) and isfinite(value))
                expect(fine, "texts and finite numbers", f"{name} = {value!r} of {item.id}", "leave it out.")
                got = f"'{name}' of {item.id}"
                expect(
                    not is_personal(name), "metadata that name no person", got, "leave it out, or call it apart."
                )


SOURCE = (
    ids_are_stable_and_ordered,
    splits_are_disjoint,
    images_and_masks_can_be_read,
    the_digest_is_stable,
    metadata_name_no_person,
)
