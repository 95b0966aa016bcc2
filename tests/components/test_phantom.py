from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from scipy import ndimage
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mmtk.api import MmtkError
from mmtk.components.source._phantom_chest import Chest
from mmtk.components.source._phantom_shortcuts import SHORTCUTS
from mmtk.components.source.phantom import Phantom

DOMAINS = ("chex", "jsrt", "mcu", "nihx")


def pictures(source: Phantom, split: str) -> np.ndarray:
    return np.stack([source.image(item) for item in source.items(split)])


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_film_is_a_function_of_seed_domain_and_index(domain):
    first = Phantom("segmentation", domain=domain, train=6, val=0, test=0, size=48)
    again = Phantom("segmentation", domain=domain, train=3, val=9, test=2, size=48)
    items = first.items("train")
    with ThreadPoolExecutor(4) as pool:
        drawn = list(pool.map(first.image, reversed(items)))[::-1]
    for item, same, image in zip(items, again.items("train"), drawn, strict=False):
        assert item == same
        assert image.shape == (48, 48)
        assert image.dtype == np.uint8
        np.testing.assert_array_equal(image, again.image(same))
        np.testing.assert_array_equal(first.mask(item), again.mask(same))
    other = Phantom("segmentation", domain=domain, train=1, size=48, seed=1)
    assert (other.image(other.items("train")[0]) != drawn[0]).mean() > 0.5


@pytest.mark.parametrize("domain", DOMAINS)
def test_boxes_around_organs_lose_nothing(domain, monkeypatch):
    source = Phantom("segmentation", domain=domain, train=8, size=32)
    items = source.items("train")
    masks, films = [source.mask(item) for item in items], [source.image(item) for item in items]
    np.testing.assert_array_equal(source.mask(items[-1]), masks[-1])  # with the shapes of the film drawn last
    columns = Chest.columns
    monkeypatch.setattr(Chest, "rows", lambda self, low, high: slice(0, self.size))
    monkeypatch.setattr(Chest, "columns", lambda self, low, high: columns(self, low - 0.1, high + 0.1))
    np.testing.assert_array_equal([source.image(item) for item in items], films)
    np.testing.assert_array_equal([source.mask(item) for item in items[:-1]], masks[:-1])


def test_splits_share_no_id_and_no_patient():
    source = Phantom("classification", domain="chex", train=101, val=52, test=77)
    parts = {split: source.items(split) for split in ("train", "val", "test")}
    assert {split: len(items) for split, items in parts.items()} == {"train": 101, "val": 52, "test": 77}
    for one, two in combinations(parts.values(), 2):
        assert not {item.id for item in one} & {item.id for item in two}
        assert not {item.patient for item in one} & {item.patient for item in two}
    everything = [item.id for item in source.items("all")]
    assert everything == sorted(set(everything))
    assert everything[0] == "phantom-chex-000000"


def test_some_patients_have_two_films_of_one_body():
    source = Phantom("classification", train=5, size=48)
    items = source.items("train")
    assert [item.patient for item in items] == [f"jsrt-0-p00000{person}" for person in (0, 1, 2, 3, 3)]
    assert items[3].target == items[4].target
    assert (source.image(items[3]) != source.image(items[4])).mean() > 0.5


@pytest.mark.parametrize("domain", DOMAINS)
def test_masks_are_binary_and_anatomical(domain):
    source = Phantom("segmentation", domain=domain, organs="separate", train=15, size=64)
    union = Phantom("segmentation", domain=domain, train=15, size=64)
    assert source.labels.names == ("left lung", "right lung", "heart")
    assert union.labels.names == ("lung",)
    for item in source.items("train"):
        mask = source.mask(item)
        assert mask.shape == (3, 64, 64)
        assert mask.dtype == np.uint8
        assert set(np.unique(mask)) == {0, 1}
        left, right, heart = mask.astype(bool)
        np.testing.assert_array_equal(union.mask(item)[0], left | right)
        assert not (left & right).any()
        assert not (heart & (left | right)).any()
        # The lungs do not touch, and each organ is one piece but for slivers beside the heart.
        assert not (ndimage.binary_dilation(left) & right).any()
        for organ in (left, right, heart):
            pieces = np.bincount(ndimage.label(organ)[0].ravel())[1:]
            assert pieces.max() > 0.95 * pieces.sum()
        (_, x_left), (_, x_right), (_, x_heart) = (ndimage.center_of_mass(m) for m in (left, right, heart))
        assert x_right < x_heart < x_left
        assert x_heart > (x_left + x_right) / 2 - 1  # the heart lies to the patient's left
        assert 0.12 < (left | right).mean() < 0.55
        assert 0.02 < heart.mean() < 0.25


def test_swap_keeps_left_and_right_right_under_a_flip():
    source = Phantom("segmentation", organs="separate", train=3, size=64)
    ((a, b),) = source.labels.swap
    assert Phantom("segmentation").labels.swap == ()
    for item in source.items("train"):
        mask = source.mask(item)
        flipped = mask[:, :, ::-1].copy()
        flipped[[a, b]] = flipped[[b, a]]
        for one in (mask, flipped):
            assert ndimage.center_of_mass(one[0])[1] > ndimage.center_of_mass(one[1])[1]


@pytest.mark.parametrize("domain", DOMAINS)
def test_pneumonia_changes_the_lungs_and_nothing_else(domain):
    source = Phantom("segmentation", domain=domain, train=12, size=96)
    changes = []
    for item in source.items("train"):
        healthy, ill = (
            replace(item, image=(film := replace(item.image, ill=is_ill)), target=film) for is_ill in (False, True)
        )
        np.testing.assert_array_equal(source.mask(healthy), source.mask(ill))
        change = source.image(ill).astype(int) - source.image(healthy)
        lung = source.mask(item)[0].astype(bool)
        # The point spread carries a change a little way past the border.
        assert not change[~ndimage.binary_dilation(lung, iterations=3)].any()
        assert np.abs(change[~lung]).mean() < 0.1 * np.abs(change[lung]).mean()
        changes.append(change[lung].mean())
    assert min(changes) > 1  # fluid is brighter than air
    assert np.mean(changes) > 8


@pytest.mark.parametrize("prevalence", [0, 0.34, 0.73, 1])
def test_prevalence_is_met_in_every_split(prevalence):
    source = Phantom("classification", domain="nihx", prevalence=prevalence, train=400, val=60, test=120)
    for split, tolerance in (("train", 0.02), ("val", 0.05), ("test", 0.05)):
        share = np.mean([item.target for item in source.items(split)])
        assert share == pytest.approx(prevalence, abs=tolerance)


def test_the_four_domains_differ_in_intensity():
    def histogram(domain: str) -> np.ndarray:
        films = pictures(Phantom("classification", domain=domain, train=40, prevalence=0.5, size=48), "train")
        return np.histogram(films, 32, (0, 256))[0] / films.size

    drawn = {domain: histogram(domain) for domain in DOMAINS}
    for one, two in combinations(DOMAINS, 2):
        # Total variation: the share of pixels that would have to change their bin.
        assert np.abs(drawn[one] - drawn[two]).sum() / 2 > 0.10, (one, two)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_size_shows_the_same_patient(domain):
    small, large = (Phantom("segmentation", domain=domain, train=5, size=size) for size in (64, 256))
    for one, two in zip(small.items("train"), large.items("train"), strict=True):
        assert one.id == two.id
        assert one.spacing == (350 / 64, 350 / 64)
        shrunk = large.mask(two)[0].reshape(64, 4, 64, 4).mean((1, 3)) >= 0.5
        mask = small.mask(one)[0].astype(bool)
        assert 2 * (mask & shrunk).sum() / (mask.sum() + shrunk.sum()) > 0.97
        image = large.image(two).reshape(64, 4, 64, 4).mean((1, 3))
        assert np.corrcoef(image.ravel(), small.image(one).ravel())[0, 1] > 0.97


def test_digest_follows_every_key():
    keys = {"domain": "mcu", "train": 7, "val": 7, "test": 7, "size": 64, "organs": "separate", "seed": 3}
    digests = {Phantom("segmentation", **{key: value}).digest() for key, value in keys.items()}
    digests |= {Phantom("segmentation").digest(), Phantom("classification").digest()}
    digests.add(Phantom("classification", prevalence=0.5).digest())
    assert len(digests) == len(keys) + 3
    assert Phantom("segmentation").digest() == Phantom("segmentation", domain="jsrt").digest()


def test_classification_has_no_masks():
    source = Phantom("classification", train=1)
    assert source.labels.names == ("normal", "pneumonia")
    with pytest.raises(MmtkError, match="no masks"):
        source.mask(source.items("train")[0])


def test_brightness_and_a_linear_model_do_not_solve_it():
    source = Phantom("classification", domain="chex", train=100, test=200, size=64)
    truth = {split: [item.target for item in source.items(split)] for split in ("train", "test")}
    films = {split: pictures(source, split) / 255 for split in truth}
    brightness = roc_auc_score(truth["test"], films["test"].mean((1, 2)))
    assert 0.3 < brightness < 0.7
    flat = {split: x.reshape(-1, 32, 2, 32, 2).mean((2, 4)).reshape(len(x), -1) for split, x in films.items()}
    linear = make_pipeline(StandardScaler(), LogisticRegression(C=1e-3, class_weight="balanced", max_iter=500))
    linear.fit(flat["train"], truth["train"])
    score = balanced_accuracy_score(truth["test"], linear.predict(flat["test"]))
    assert 0.5 < score < 0.80


# Shortcuts


@pytest.mark.parametrize("shortcut", sorted(SHORTCUTS))
def test_a_shortcut_shows_on_half_of_the_films_and_goes_with_the_label(shortcut):
    source = Phantom("classification", train=60, val=1, test=1, size=32, prevalence=0.5, shortcut=shortcut)
    plain = Phantom("classification", train=60, val=1, test=1, size=32, prevalence=0.5)
    pairs = [*zip(source.items("train"), plain.items("train"), strict=True)]
    agrees = [(item.metadata[shortcut] == "yes") == bool(item.target) for item, _ in pairs]
    assert 0.85 <= np.mean(agrees) < 1
    for item, bare in pairs[:8]:
        assert item.target == bare.target
        same = np.array_equal(source.image(item), plain.image(bare))
        assert same == (item.metadata[shortcut] == "no")


def test_half_agreement_says_nothing_of_the_label():
    source = Phantom("classification", train=900, prevalence=0.5, shortcut="border", agreement=0.5)
    ill = np.array([item.target for item in source.items("train")])
    sign = np.array([item.metadata["border"] == "yes" for item in source.items("train")])
    assert abs(np.corrcoef(ill, sign)[0, 1]) < 0.1


def test_masks_move_with_their_film():
    plain = Phantom("segmentation", train=8, size=64)
    moved = Phantom("segmentation", train=8, size=64, shortcut="shift up", agreement=1)
    changed = [i for i, item in enumerate(moved.items("train")) if item.metadata["shift up"] == "yes"]
    for i in changed:
        before, after = plain.mask(plain.items("train")[i]), moved.mask(moved.items("train")[i])
        assert after.any(2).nonzero()[1].mean() < before.any(2).nonzero()[1].mean() - 2


def test_an_unknown_shortcut_is_refused_with_the_nearest():
    with pytest.raises(MmtkError, match="Did you mean 'border'"):
        Phantom("classification", shortcut="bordr")
    with pytest.raises(MmtkError, match="there is no shortcut"):
        Phantom("classification", agreement=0.9)
