"""Checks of masks: empty, full, inverted, turned or misaligned, the last two by edges shared with their images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from mmtk.api import Item
from mmtk.data.store import IGNORED, ImageStore

SIDE = 64
FULL = 0.995
BORDER = (
    0.9  # of the image's border in a mask: real masks of 385 films have 0.05 at most, inverted ones 0.95 at least
)
OUTSIDE = {"background", "outside", "body", "thorax", "chest", "patient", "air", "field"}  # may reach every border
CLEAR = 0.3  # median agreement of a set from which single masks are judged
MOST_TURNED = 0.6  # a set lies better turned if it agrees by less than this share of what it does when turned
_CHUNK = 256

Turn = Callable[[np.ndarray], np.ndarray]
TURNS: dict[str, Turn] = {
    "90° to the left": lambda masks: np.rot90(masks, 1, (-2, -1)),
    "180°": lambda masks: np.rot90(masks, 2, (-2, -1)),
    "90° to the right": lambda masks: np.rot90(masks, 3, (-2, -1)),
    "upside down": lambda masks: masks[..., ::-1, :],
}


@dataclass
class MaskCheck:
    """Ids of masks that need a look; ``turn`` names how all masks of the set seem to be turned."""

    empty: list[str] = field(default_factory=list)
    full: list[str] = field(default_factory=list)
    inverted: list[str] = field(default_factory=list)
    turned: list[str] = field(default_factory=list)
    misaligned: list[str] = field(default_factory=list)
    tagged: list[str] = field(default_factory=list)
    turn: str = ""


def check_masks(store: ImageStore, items: list[Item]) -> MaskCheck:
    """Check every mask of a segmentation store; ``items``, in any order, give the files with orientation tags."""
    first = 1 if store.labels.exclusive and len(store.labels.names) > 1 else 0
    organs = np.array([name.casefold() not in OUTSIDE for name in store.labels.names[first:]], bool)
    check = MaskCheck(tagged=[item.id for item in items if _tag_differs(item)])
    agreements: list[np.ndarray] = []
    usable_rows: list[int] = []
    for start in range(0, len(store.ids), _CHUNK):
        rows = np.arange(start, min(start + _CHUNK, len(store.ids)))
        masks = np.asarray(store.targets[start : start + _CHUNK])[:, first:]
        known_pixels, inside = (masks != IGNORED).sum((2, 3)), (masks == 1).sum((2, 3))
        labelled = known_pixels.any(1)
        empty, full = labelled & ~inside.any(1), labelled & (inside >= FULL * np.maximum(known_pixels, 1)).any(1)
        check.empty += [store.ids[row] for row in rows[empty]]
        check.full += [store.ids[row] for row in rows[full]]
        inverted = labelled & ~full & (_border_share(masks) >= BORDER)[:, organs].any(1)
        check.inverted += [store.ids[row] for row in rows[inverted]]
        usable = labelled & ~empty & ~full & ~inverted
        usable_rows += rows[usable].tolist()
        images = np.asarray(store.images[start : start + _CHUNK, 0])
        agreements.append(_agreements(images[usable], (masks[usable] == 1)))
    _judge(check, np.concatenate(agreements, axis=1), [store.ids[row] for row in usable_rows])
    return check


def _border_share(masks: np.ndarray) -> np.ndarray:
    """Share of the known border of masks [N,K,H,W] that lies in them: [N,K]."""
    lines = [masks[..., 0, :], masks[..., -1, :], masks[..., 1:-1, 0], masks[..., 1:-1, -1]]
    border = np.concatenate(lines, axis=-1)
    return np.asarray((border == 1).sum(-1) / np.maximum((border != IGNORED).sum(-1), 1))


def _judge(check: MaskCheck, agreements: np.ndarray, ids: list[str]) -> None:
    """Add turned and misaligned masks to ``check``, by ``agreements`` [turns, N, K], without a turn first.

    A channel without clear edges is not judged.
    """
    if len(ids) < 3:
        return
    typical = np.median(agreements, axis=1)
    strength = np.abs(typical).max(1)
    best = int(strength.argmax())
    if best and strength[best] >= CLEAR and strength[0] < MOST_TURNED * strength[best]:
        check.turn = list(TURNS)[best - 1]
        check.turned = list(ids)
        return
    clear = np.abs(typical[0]) >= CLEAR
    if not clear.any():
        return
    shares = (agreements[:, :, clear] / typical[0, clear]).mean(2)
    for name, share, *turned_shares in zip(ids, *shares, strict=True):
        if share < 0.5:
            (check.turned if max(turned_shares) >= 0.7 else check.misaligned).append(name)


def _agreements(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Agreement of the edges of masks [N,K,S,S] with those of images [N,S,S]: [1 + turns, N, K] in −1…1.

    The sign says whether the organ is brighter (+) or darker (−) than what is around it.
    """
    small = np.stack([_small(image) for image in images]) if len(images) else np.zeros((0, SIDE, SIDE))
    outlines = np.array([[_small(channel) for channel in mask] for mask in masks]).reshape(
        *masks.shape[:2], SIDE, SIDE
    )
    ways: list[Turn] = [lambda image: image, *TURNS.values()]
    return np.stack([_agreement(small[:, None], way(outlines)) for way in ways])


def _agreement(images: np.ndarray, masks: np.ndarray) -> np.ndarray:
    down, right = np.gradient(images, axis=(-2, -1))
    mask_down, mask_right = np.gradient(masks, axis=(-2, -1))
    length = mask_down**2 + mask_right**2
    edge = (down**2 + right**2) * (length > 0)
    both = (down * mask_down + right * mask_right).sum((-2, -1))
    return np.asarray(both / np.sqrt(np.maximum(edge.sum((-2, -1)) * length.sum((-2, -1)), 1e-12)))


def _small(picture: np.ndarray) -> np.ndarray:
    image = Image.fromarray(picture.astype(np.float32))
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float64)


def _tag_differs(item: Item) -> bool:
    """Whether the image file is turned by an orientation tag and a mask file is not, or otherwise."""
    masks = list(_paths(item.target))
    if not masks or not isinstance(item.image, Path):
        return False
    tag = _orientation(item.image)
    return any(_orientation(path) != tag for path in masks)


def _paths(target: object) -> Iterator[Path]:
    for part in target if isinstance(target, tuple | list) else (target,):
        if isinstance(part, Path):
            yield part


def _orientation(path: Path) -> int:
    try:
        with Image.open(path) as image:
            tag = image.getexif().get(0x0112, 1)
    except Exception:  # a file that Pillow does not know has no tag that it would turn by
        return 1
    return tag if isinstance(tag, int) and 1 <= tag <= 8 else 1
