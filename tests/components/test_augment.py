"""Augmentations against Pillow, operation by operation, and what the batch adds: draws, masks, swaps."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image, ImageEnhance, ImageOps
from torch import Tensor

from mmtk.api import Augment, MmtkError
from mmtk.components.augment._operations import MATRICES, OPERATIONS, Operation, lift, operate
from mmtk.components.augment.none import NoAugment
from mmtk.components.augment.strong import Strong
from mmtk.components.augment.weak import Weak

GEOMETRIC = ("rotate", "shear-x", "shear-y", "translate-x", "translate-y")
INTENSITY = (
    "autocontrast",
    "brightness",
    "contrast",
    "equalize",
    "identity",
    "posterize",
    "sharpness",
    "solarize",
)


def pillow(name: str, image: Image.Image, v: int, sign: int = 1) -> Image.Image:
    """The operation as the released code calls it, by Pillow."""
    factor, share = 0.05 + 0.09 * v, sign * 0.03 * v
    width, height = image.size

    def affine(*data: float) -> Image.Image:
        return image.transform(image.size, Image.Transform.AFFINE, data, Image.Resampling.NEAREST, fillcolor=0)

    calls = {
        "autocontrast": lambda: ImageOps.autocontrast(image),
        "brightness": lambda: ImageEnhance.Brightness(image).enhance(factor),
        "contrast": lambda: ImageEnhance.Contrast(image).enhance(factor),
        "equalize": lambda: ImageOps.equalize(image),
        "identity": lambda: image,
        "posterize": lambda: ImageOps.posterize(image, 4 + int(0.4 * v)),
        "rotate": lambda: image.rotate(sign * 3 * v, Image.Resampling.NEAREST, fillcolor=0),
        "sharpness": lambda: ImageEnhance.Sharpness(image).enhance(factor),
        "shear-x": lambda: affine(1, share, 0, 0, 1, 0),
        "shear-y": lambda: affine(1, 0, 0, share, 1, 0),
        "solarize": lambda: ImageOps.solarize(image, 256 - int(25.6 * v)),
        "translate-x": lambda: affine(1, 0, share * width, 0, 1, 0),
        "translate-y": lambda: affine(1, 0, 0, 0, 1, share * height),
    }
    return calls[name]()


def ours(name: Operation, image: np.ndarray, v: int, sign: int = 1) -> np.ndarray:
    batch = torch.from_numpy(image.copy())[None, None]
    operate([name], batch, None, [v], [sign])
    return batch[0, 0].numpy()


def levels_apart(name: str, image: np.ndarray, v: int, sign: int = 1) -> np.ndarray:
    expected = np.asarray(pillow(name, Image.fromarray(image), v, sign), dtype=int)
    return np.abs(expected - ours(name, image, v, sign).astype(int))


def picture(height: int = 48, width: int = 40, seed: int = 0) -> np.ndarray:
    """A smooth bright blob on a ramp with some noise: gray levels of very different frequency."""
    noise = np.random.default_rng(seed).normal(0, 6, (height, width))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    gray = 40 + 60 * (x + 1) / 2 + 120 * np.exp(-4 * (x**2 + (y - 0.2) ** 2)) + noise
    return gray.clip(0, 255).astype(np.uint8)


def batch(count: int = 6, channels: int = 1, size: int = 32) -> Tensor:
    pictures = np.stack([picture(size, size, seed) for seed in range(count)])
    return (torch.from_numpy(pictures)[:, None] / 255).repeat(1, channels, 1, 1)


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# The operations, with Pillow as oracle.


def test_pool_has_the_papers_operations() -> None:
    """With flip and crop the fifteen of the paper; exactly five of them move pixels."""
    assert sorted(OPERATIONS) == sorted((*GEOMETRIC, *INTENSITY))
    assert len(OPERATIONS) == 13
    assert set(MATRICES) == set(GEOMETRIC)


@pytest.mark.parametrize("v", range(1, 10))
@pytest.mark.parametrize("name", INTENSITY)
def test_intensity_equals_pillow(name: Operation, v: int) -> None:
    apart = levels_apart(name, picture(), v)
    assert apart.max() <= 1
    assert (apart == 0).mean() >= 0.99


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("v", [1, 2, 5, 9])
@pytest.mark.parametrize("name", GEOMETRIC)
@pytest.mark.parametrize("shape", [(48, 40), (37, 64), (128, 128)])
def test_geometry_equals_pillow(name: Operation, v: int, sign: int, shape: tuple[int, int]) -> None:
    assert (levels_apart(name, picture(*shape), v, sign) == 0).mean() >= 0.995


@pytest.mark.parametrize("value", [0, 1, 100, 255])
@pytest.mark.parametrize("name", INTENSITY)
def test_flat_images_equal_pillow(name: Operation, value: int) -> None:
    flat = np.full((24, 24), value, dtype=np.uint8)
    for v in (1, 5, 9):
        assert levels_apart(name, flat, v).max() <= 1


@settings(max_examples=60, deadline=None)
@given(
    image=arrays(np.uint8, st.tuples(st.integers(1, 24), st.integers(1, 24))),
    name=st.sampled_from(OPERATIONS),
    v=st.integers(1, 9),
    sign=st.sampled_from([-1, 1]),
)
def test_any_image_equals_pillow(image: np.ndarray, name: Operation, v: int, sign: int) -> None:
    apart = levels_apart(name, image, v, sign)
    if name in GEOMETRIC:  # a nearest tie may fall to either side: as much as a line of a tiny image
        assert (apart > 0).sum() <= max(image.shape)
    else:
        assert apart.max() <= 1


@pytest.mark.parametrize("name", OPERATIONS)
def test_three_channels_are_treated_alike(name: Operation) -> None:
    gray = torch.from_numpy(picture())[None, None].repeat(1, 3, 1, 1)
    changed = gray.clone()
    operate([name], changed, None, [6], [1])
    colour = np.asarray(pillow(name, Image.fromarray(picture()).convert("RGB"), 6), dtype=int)
    assert torch.equal(changed, changed[:, :1].repeat(1, 3, 1, 1))
    wrong = np.abs(colour - changed[0].permute(1, 2, 0).numpy().astype(int))
    assert (wrong > 1).mean() <= (0.005 if name in GEOMETRIC else 0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_images_of_a_batch_keep_their_own_level(name: Operation) -> None:
    images = torch.from_numpy(np.stack([picture(seed=seed) for seed in range(4)]))[:, None]
    level, sign = [1, 4, 7, 9], [1, -1, -1, 1]
    together = images.clone()
    operate([name] * 4, together, None, level, sign)
    for i in range(4):
        alone = images[i : i + 1].clone()
        operate([name], alone, None, level[i : i + 1], sign[i : i + 1])
        assert torch.equal(together[i : i + 1], alone)


def test_every_image_gets_its_own_operation_and_masks_move_with_the_geometric_ones() -> None:
    images = torch.from_numpy(np.stack([picture(seed=seed) for seed in range(len(OPERATIONS))]))[:, None]
    masks = (images > 100).float()
    together, moved = images.clone(), masks.clone()
    operate(OPERATIONS, together, moved, [5] * len(images), [-1] * len(images))
    for i, name in enumerate(OPERATIONS):
        alone, mask = images[i : i + 1].clone(), masks[i : i + 1].clone()
        operate([name], alone, mask, [5], [-1])
        assert torch.equal(together[i : i + 1], alone)
        assert torch.equal(moved[i : i + 1], mask)
        assert torch.equal(mask, masks[i : i + 1]) == (name not in GEOMETRIC)
        assert torch.equal(alone, images[i : i + 1]) == (name == "identity")


@pytest.mark.parametrize("augment", [NoAugment(), Weak(), Strong(), Strong(n="any")])
@pytest.mark.parametrize("geometric", [True, False])
def test_gray_levels_go_the_same_way_as_floats(augment: Augment, geometric: bool) -> None:
    assert augment.uint8
    levels = torch.from_numpy(np.stack([picture(seed=seed) for seed in range(16)]))[:, None]
    before, masks = levels.clone(), (levels > 100).float()
    as_bytes, moved = augment(levels, seeded(), masks, geometric)
    as_floats, also = augment(levels.float().div_(255), seeded(), masks, geometric)
    assert as_bytes.dtype == torch.uint8
    assert torch.equal(as_bytes.float().div_(255), as_floats)
    assert moved is not None
    assert also is not None
    assert torch.equal(moved, also)
    assert torch.equal(levels, before)


# The components.


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "augment", [NoAugment(), Weak(), Strong(), Strong(n="any")], ids=lambda a: type(a).__name__
)
def test_shape_range_dtype_and_untouched_input(augment: Augment, dtype: torch.dtype, channels: int) -> None:
    images = batch(channels=channels).to(dtype)
    masks = (images[:, :1] > 0.4).long()
    before = images.clone(), masks.clone()
    for geometric in (True, False):
        out, moved = augment(images, seeded(), masks, geometric)
        assert out.shape == images.shape
        assert out.dtype == dtype
        assert out.min() >= 0
        assert out.max() <= 1
        assert moved is not None
        assert moved.shape == masks.shape
        assert moved.dtype == masks.dtype
        assert set(moved.unique().tolist()) <= {-1, 0, 1}
        assert torch.equal(images, before[0])
        assert torch.equal(masks, before[1])
    assert augment(images, seeded())[1] is None


@pytest.mark.parametrize("augment", [Weak(), Strong(), Strong(n="any")])
def test_draws_belong_to_the_image_and_the_generator(augment: Augment) -> None:
    same = batch(1).repeat(12, 1, 1, 1)
    out, _ = augment(same, seeded())
    assert torch.equal(out, augment(same, seeded())[0])
    assert not torch.equal(out, augment(same, seeded(1))[0])
    assert len({image.numpy().tobytes() for image in out}) >= 10
    # What the neighbours look like shifts nobody's draws.
    others = torch.cat([torch.rand(11, *same.shape[1:]), same[-1:]])
    assert torch.equal(augment(others, seeded())[0][-1], out[-1])
    # Nor does leaving out the geometry, or an image at the end of the batch.
    generator, other = seeded(), seeded()
    augment(same, generator)
    augment(same, other, None, False)
    assert torch.equal(generator.get_state(), other.get_state())
    assert torch.equal(augment(same[:5], seeded())[0], out[:5])


def test_none_returns_what_it_gets() -> None:
    images = batch()
    out, masks = NoAugment()(images, seeded(), images)
    assert out is images
    assert masks is images


def test_weak_is_a_crop_of_the_reflected_image_perhaps_flipped() -> None:
    images = batch(100)
    size, pad = images.shape[-1], images.shape[-1] // 8
    out, _ = Weak()(images, seeded())
    flips = Counter()
    offsets = set()
    for image, changed in zip(images.numpy(), out.numpy(), strict=True):
        wide = np.pad(image[0], pad, mode="reflect")
        found = [
            (flip, y, x)
            for flip in (False, True)
            for y in range(2 * pad + 1)
            for x in range(2 * pad + 1)
            if np.array_equal((changed[0, :, ::-1] if flip else changed[0]), wide[y : y + size, x : x + size])
        ]
        assert len(found) == 1
        flips[found[0][0]] += 1
        offsets.add(found[0][1:])
    assert 30 <= flips[True] <= 70
    assert len(offsets) > 40
    assert {y for y, _ in offsets} == {x for _, x in offsets} == set(range(2 * pad + 1))


def test_weak_keys() -> None:
    images = batch()
    assert torch.equal(Weak(flip=0, padding=0)(images, seeded())[0], images)
    assert torch.equal(Weak(flip=1, padding=0)(images, seeded())[0], images.flip(3))
    tiny = torch.rand(8, 1, 3, 2)
    assert Weak(padding=0.49)(tiny, seeded())[0].shape == tiny.shape


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int8])
@pytest.mark.parametrize(
    "augment", [Weak(), Strong(pool=GEOMETRIC, n=3, probability=1), Strong(pool=GEOMETRIC, n="any")]
)
def test_masks_move_with_their_image(augment: Augment, dtype: torch.dtype) -> None:
    images = batch(16)
    masks = torch.cat([images > 0.4, images > 0.6], 1).to(dtype)
    masks[:, :, 3:6, 4:9] = -1
    images[:, :, 3:6, 4:9] = 1 / 255  # marks what is ignored
    out, moved = augment(images, seeded(), masks)
    assert moved is not None
    assert moved.dtype == dtype
    level = (out * 255).round()
    expected = torch.cat([level > 0.4 * 255, level > 0.6 * 255], 1).to(dtype)
    expected[(level <= 1).expand_as(expected)] = -1  # ignored there, or from outside (0)
    assert torch.equal(moved, expected)
    assert not torch.equal(moved, masks)


def test_from_outside_come_black_and_ignored() -> None:
    strong = Strong(pool=("translate-x",), n=1, probability=1, flip=0, padding=0)
    images, masks = torch.ones(32, 1, 100, 100), torch.ones(32, 2, 100, 100)
    out, moved = strong(images, seeded(), masks)
    assert moved is not None
    assert torch.equal(moved, torch.where(out == 0, -1.0, 1.0).expand(-1, 2, -1, -1))
    widths = set((out == 0).sum((1, 2, 3)).div(100).tolist())
    assert widths == {3.0 * v for v in range(1, 10)}
    left = (out[:, 0, 0, 0] == 0).float().mean()
    assert 0.2 < left < 0.8
    unsigned = strong(images, seeded(), masks.to(torch.uint8))[1]
    assert unsigned is not None
    assert torch.equal(unsigned, (out > 0).to(torch.uint8).expand(-1, 2, -1, -1))


def test_intensity_leaves_masks() -> None:
    images = batch()
    masks = (images > 0.4).float()
    out, same = Strong(pool=INTENSITY, n="any", flip=0, padding=0)(images, seeded(), masks)
    assert same is not None
    assert torch.equal(same, masks)
    assert not torch.equal(out, images)


@pytest.mark.parametrize("augment", [Weak(((1, 2),), padding=0), Strong(((1, 2),), probability=0, padding=0)])
def test_flipped_masks_exchange_their_pairs(augment: Augment) -> None:
    images = batch(20)
    masks = torch.rand(20, 4, 32, 32).round()
    out, moved = augment(images, seeded(), masks)
    assert moved is not None
    flips = 0
    for i in range(20):
        flipped = not torch.equal(out[i], images[i])
        flips += flipped
        expected = masks[i].flip(2)[[0, 2, 1, 3]] if flipped else masks[i]
        assert torch.equal(moved[i], expected)
    assert 0 < flips < 20


@pytest.mark.parametrize("n", [2, "any"])
def test_without_geometry_every_pixel_stays(n: int) -> None:
    images = batch(20)
    masks = (images > 0.4).float()
    out, same = Weak()(images, seeded(), masks, False)
    assert torch.equal(out, images)
    assert same is masks
    out, same = Strong(n=n, pool=(*GEOMETRIC, "identity"))(images, seeded(), masks, False)
    assert torch.equal(out, images)
    assert same is masks
    # Operations without neighbourhood map equal gray levels to equal gray levels, wherever they are.
    pool = tuple(name for name in OPERATIONS if name != "sharpness")
    out, _ = Strong(n=n, pool=pool, probability=1)(images, seeded(), None, False)
    assert not torch.equal(out, images)
    for before, after in zip(images, out, strict=True):
        pairs = set(zip(before.flatten().tolist(), after.flatten().tolist(), strict=True))
        assert len(pairs) == before.unique().numel()


def counted(monkeypatch: pytest.MonkeyPatch, strong: Strong, images: int) -> list[list[tuple[str, int, int]]]:
    """Per image the (operation, level, sign) that ``strong`` really applied, in order."""
    seen: list[list[tuple[str, int, int]]] = [[] for _ in range(images)]

    def spy(names, gray, masks, levels, signs):
        for one, *drawn in zip(seen, names, levels, signs, strict=True):
            if drawn[0] != "identity":
                one.append(tuple(drawn))

    monkeypatch.setattr("mmtk.components.augment.strong.operate", spy)
    strong(torch.arange(images).view(-1, 1, 1, 1) / 255, seeded())
    return seen


def test_operations_and_levels_are_drawn_uniformly(monkeypatch: pytest.MonkeyPatch) -> None:
    pool = tuple(name for name in OPERATIONS if name != "identity")  # which is never called
    seen = counted(monkeypatch, Strong(n=20, pool=pool), 250)
    everything = [one for image in seen for one in image]
    total = 250 * 20 * 0.5
    assert abs(len(everything) - total) < 4 * (total / 2) ** 0.5
    for position, possible in enumerate((pool, range(1, 10), (-1, 1))):
        counts = Counter(one[position] for one in everything)
        expected = len(everything) / len(possible)
        assert set(counts) == set(possible)
        chi2 = sum((count - expected) ** 2 / expected for count in counts.values())
        free = len(possible) - 1
        assert chi2 < free + 4 * (2 * free) ** 0.5


def test_any_draws_every_number_of_distinct_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    pool: tuple[Operation, ...] = ("rotate", "equalize", "solarize", "posterize")
    seen = [[name for name, _, _ in image] for image in counted(monkeypatch, Strong(n="any", pool=pool), 250)]
    assert all(len(set(image)) == len(image) for image in seen)
    counts = Counter(len(image) for image in seen)
    assert set(counts) == {0, 1, 2, 3, 4}
    assert min(counts.values()) > 25
    orders = {tuple(image) for image in seen if len(image) == 4}
    assert len(orders) > 12
    assert len({image[0] for image in seen if image}) == 4


def test_strong_applies_its_draws_one_after_the_other() -> None:
    images = batch(12)
    out, _ = Strong(pool=("solarize", "posterize"), probability=1, flip=0, padding=0)(images, seeded())
    orders = set()
    for image, changed in zip(images, out, strict=True):
        gray = Image.fromarray((image[0] * 255).round().numpy().astype(np.uint8))
        got = (changed[0] * 255).round().numpy()
        names = ("solarize", "posterize")
        once = [(one, pillow(one, gray, v)) for one in names for v in range(1, 10)]
        explained = {
            (one, other)
            for one, between in once
            for other in names
            for v in range(1, 10)
            if np.array_equal(np.asarray(pillow(other, between, v)), got)
        }
        assert explained
        orders |= explained
    assert len(orders) == 4


def test_strong_begins_with_the_weak_view() -> None:
    """Without operations it is weak's view in whole gray levels; the first draws are the same."""
    images = batch(1, size=40)
    views = {Strong(probability=0)(images, seeded(s))[0].numpy().tobytes() for s in range(5)}
    assert views == {Weak()(images, seeded(s))[0].numpy().tobytes() for s in range(5)}
    assert len(views) == 5


def test_bad_input_is_explained() -> None:
    images = batch()
    for augment in (Weak(((0, 3),)), Strong(((0, 3),))):
        with pytest.raises(MmtkError, match="floating-point"):
            augment((images * 255).to(torch.int16), seeded())
        with pytest.raises(MmtkError, match="floating-point"):
            augment(images[0], seeded())
        with pytest.raises(MmtkError, match="do not fit"):
            augment(images, seeded(), images[:, :, :-1])
        with pytest.raises(MmtkError, match="swap"):
            augment(images, seeded(), images)


# lift


def jitter(image: Tensor, generator: torch.Generator) -> Tensor:
    """Draws as often as the image is bright, and changes it in place."""
    for _ in range(1 + int(10 * image.mean())):
        image.mul_(0.9 + 0.1 * torch.rand((), generator=generator))
    return image


def test_lift_gives_every_image_its_own_draws() -> None:
    images = torch.rand(5, 1, 8, 8)
    before = images.clone()
    lifted = lift(jitter)
    out = lifted(images, seeded())
    assert torch.equal(images, before)
    assert torch.equal(out, lifted(images, seeded()))
    assert not torch.equal(out, lifted(images, seeded(1)))
    brighter = torch.cat([images[:4] * 0.1, images[4:]])
    assert torch.equal(lifted(brighter, seeded())[4], out[4])
    factor = (out / images).flatten(1).mean(1)
    assert len({round(f, 6) for f in factor.tolist()}) == 5


def test_lift_refuses_another_shape() -> None:
    def smaller(image: Tensor, generator: torch.Generator) -> Tensor:
        return image[:, 1:]

    with pytest.raises(MmtkError, match=r"smaller made \[1, 31, 32\] of an image \[1, 32, 32\]"):
        lift(smaller)(batch(), seeded())
