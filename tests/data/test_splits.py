"""What is refused or noted of a source's splits before training, in every role, as of a plugin's source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny

from mmtk.api import Item, LabelSpec, Source, Split
from mmtk.components.source._splitting import SHARES, split_by_patient
from mmtk.data import sources
from mmtk.data.dataset import Data, TestSet, prepare
from mmtk.data.store import open_store
from mmtk.errors import MmtkError

COUNTS = {"train": 12, "val": 4, "test": 6}
Change = Callable[[Split, list[Item]], list[Item]]


class Noise(Source):
    """A plugin's source: noise of an own seed, bright halves as masks; ``change`` alters what a split lists."""

    def __init__(self, task: str, seed: int, change: Change = lambda split, items: items) -> None:
        names = ("normal", "ill") if task == "classification" else ("lung",)
        self.labels = LabelSpec(task, names, exclusive=task == "classification")  # type: ignore[arg-type]
        self.seed, self.change = seed, change

    def items(self, split: Split) -> list[Item]:
        if split == "all":
            return [item for part in COUNTS for item in self.items(part)]  # type: ignore[arg-type]
        items = [
            Item(f"{self.seed}-{split}-{n:02d}", None, n % 2, f"{self.seed}-{split}-p{n}")
            for n in range(COUNTS[split])
        ]
        return self.change(split, items)

    def image(self, item: Item) -> np.ndarray:
        return np.random.default_rng([self.seed, *item.id.encode()]).integers(0, 256, (32, 32), dtype=np.uint8)

    def mask(self, item: Item) -> np.ndarray:
        mask = np.zeros((1, 32, 32), np.uint8)
        mask[:, 4:20, 4:20] = item.target != 9
        if item.target == 8:
            mask[:] = 255
        return mask

    def digest(self) -> str:
        return repr([self.seed, [(i.id, i.target, i.patient) for i in self.items("all")]])


def read(monkeypatch: pytest.MonkeyPatch, task: str, domain: str, change: Change, **values: Any) -> Data:
    """``prepare`` with sources of noise, of which that of ``domain`` is changed."""

    def source(recipe: object, task_: str, domain_: str = "source", root: Path | None = None) -> Source:
        changed = {"change": change} if (task_, domain_) == (task, domain) else {}
        return Noise(task_, {"source": 1, "cross": 2}[domain_] + 2 * (task_ == "segmentation"), **changed)

    monkeypatch.setattr(sources, "source", source)
    recipe = tiny("enc" if task == "classification" else "unet", **values)
    return prepare(recipe, None)


def without(part: str) -> Change:
    return lambda split, items: [] if split == part else items


def unlabelled(part: str, count: int | None = None) -> Change:
    return lambda split, items: (
        [replace(item, target=None) if count is None or n < count else item for n, item in enumerate(items)]
        if split == part
        else items
    )


def labelled(part: str, target: object) -> Change:
    return lambda split, items: [replace(item, target=target) for item in items] if split == part else items


TASKS = ["classification", "segmentation"]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MMTK_CACHE", str(tmp_path / "cache"))


@pytest.mark.parametrize("task", TASKS)
def test_nothing_to_say_of_a_whole_set(monkeypatch, task):
    data = read(monkeypatch, task, "source", lambda split, items: items)
    assert data.notes == []
    assert [len(data.parts[task].val), len(data.parts[task].test), len(data.cross[task])] == [4, 6, 6]


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("domain", "part"), [("source", "val"), ("source", "test"), ("cross", "test")])
def test_a_part_without_images_or_labels_is_refused(monkeypatch, task, domain, part):
    role = rf'data\.{task}\.{domain} \("phantom \w+"\): '
    with pytest.raises(MmtkError, match=role + rf"has no images for {part}: no row with split = \"{part}\""):
        read(monkeypatch, task, domain, without(part))
    with pytest.raises(MmtkError, match=role + rf"no image of {part} has a (class|mask) \(of {COUNTS[part]}\)"):
        read(monkeypatch, task, domain, unlabelled(part))


@pytest.mark.parametrize("task", TASKS)
def test_a_source_without_training_images_is_refused(monkeypatch, task):
    with pytest.raises(MmtkError, match="no training image has a label"):
        read(monkeypatch, task, "source", without("train"))


def test_masks_that_are_ignored_everywhere_are_no_labels(monkeypatch):
    with pytest.raises(MmtkError, match=r"no image of test has a mask \(of 6\)"):
        read(monkeypatch, "segmentation", "source", labelled("test", 8))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("domain", "part"), [("source", "val"), ("source", "test"), ("cross", "test")])
def test_unlabelled_images_of_a_scored_part_are_noted_and_left_out(monkeypatch, task, domain, part):
    data = read(monkeypatch, task, domain, unlabelled(part, 2))
    count = COUNTS[part]
    assert f"2 of {count} {part} images without a label, not scored" in " ".join(data.notes)
    rows = data.cross[task] if domain == "cross" else getattr(data.parts[task], part)
    assert len(rows) == count - 2


@pytest.mark.parametrize("task", TASKS)
def test_of_a_set_that_is_scored_whole_the_note_counts_images(monkeypatch, task):
    data = read(monkeypatch, task, "cross", unlabelled("test", 2), **{f"data__{task}__cross_split": "all"})
    assert f"2 of {sum(COUNTS.values())} images without a label, not scored" in " ".join(data.notes)


@pytest.mark.parametrize(
    ("task", "target", "what"), [("classification", 0, "the class ill"), ("segmentation", 9, "mask with lung")]
)
@pytest.mark.parametrize(("domain", "part"), [("source", "val"), ("source", "test"), ("cross", "test")])
def test_a_class_that_a_part_lacks_is_noted(monkeypatch, task, target, what, domain, part):
    (note,) = read(monkeypatch, task, domain, labelled(part, target)).notes
    assert f'data.{task}.{domain} ("phantom ' in note
    assert f"{what} in {part}: scores of this part say nothing of it." in note


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (lambda s, items: [replace(i, id="") if n == 0 else i for n, i in enumerate(items)], "have an empty id"),
        (lambda s, items: [replace(i, patient=" ") for i in items], "22 items have an empty patient"),
        (lambda s, items: [*items, items[0]], "3 ids are given twice: '.-test-00', '.-train-00', '.-val-00'"),
        (lambda s, items: [replace(i, id=f"{n}") for n, i in enumerate(items)], "stand in more than one split"),
        (lambda s, items: [replace(i, target=2) for i in items], "22 labels are no class .*: 2.* 0 normal, 1 ill"),
        (lambda s, items: [replace(i, target=-1) for i in items], "labels are no class"),
        (lambda s, items: [replace(i, target="ill") for i in items], "labels are no class .*'ill'"),
        (lambda s, items: [replace(i, target=True) for i in items], "labels are no class .*True"),
    ],
)
@pytest.mark.parametrize("domain", ["source", "cross"])
def test_what_a_source_gets_wrong_is_named(monkeypatch, change, text, domain):
    with pytest.raises(MmtkError, match=text) as caught:
        read(monkeypatch, "classification", domain, change)
    assert f'data.classification.{domain} ("phantom ' in str(caught.value)


def test_mask_values_are_0_1_and_255(monkeypatch):
    class Odd(Noise):
        def mask(self, item: Item) -> np.ndarray:
            return super().mask(item) * 7

    monkeypatch.setattr(sources, "source", lambda recipe, task, domain="source", root=None: Odd(task, len(domain)))
    with pytest.raises(MmtkError, match="the mask has the value 7: 0 and 1 are allowed"):
        prepare(tiny("unet"), None)


@pytest.mark.parametrize(
    ("own", "foreign", "line"),
    [
        (("mask",), ("lung",), '[data.segmentation.source]: classes = ["lung"]'),
        (("heart",), ("lung",), '[data.segmentation.cross]: classes = ["heart"]'),
        (("lung",), ("mask",), '[data.segmentation.cross]: classes = ["lung"]'),
    ],
)
def test_other_organs_are_refused_with_the_line_that_mends_it(
    own: tuple[str, ...], foreign: tuple[str, ...], line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def source(recipe: Any, task: str, domain: str = "source", root: Path | None = None) -> Noise:
        made = Noise(task, ["source", "cross"].index(domain))
        made.labels = LabelSpec("segmentation", own if domain == "source" else foreign, False)
        return made

    monkeypatch.setattr(sources, "source", source)
    with pytest.raises(MmtkError) as caught:
        prepare(tiny("unet", data__segmentation__labels=4), None)
    labels = f"the source labels {', '.join(own)}, but the cross-domain source labels {', '.join(foreign)}."
    assert labels in str(caught.value)
    assert (caught.value.hint or "").endswith(line)


def test_a_patient_in_two_spellings_stays_in_one_part() -> None:
    items = [Item(f"{n}", None, n % 2, f"{'Pp'[n % 2]}{n // 4}") for n in range(80)]
    parts = split_by_patient(items, SHARES)
    persons = [{item.patient.casefold() for item in images} for images in parts.values()]
    assert sum(map(len, persons)) == len(set().union(*persons)) == 20
    assert [len(images) for images in parts.values()] == [56, 8, 16]


@pytest.mark.parametrize("task", ["classification", "segmentation"])
def test_of_another_hospital_the_scored_part_alone_is_read(tmp_path: Path, task: str) -> None:
    source = Noise(task, 5)
    whole, part = (open_store(source, 8, split=split, cache=tmp_path) for split in ("all", "test"))
    rows = whole.rows([item.id for item in source.items("test")])
    scored = TestSet(task, "cross-domain", part, [*range(COUNTS["test"])])
    assert scored.patients == TestSet(task, "cross-domain", whole, rows.tolist()).patients
    assert part.digest == whole.digest
    assert part.ids == [whole.ids[row] for row in rows]
    np.testing.assert_array_equal(part.images, whole.images[rows])
    np.testing.assert_array_equal(part.targets, whole.targets[rows])


def test_a_run_reads_the_scored_part_of_its_cross_domain_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    data = read(monkeypatch, "classification", "cross", lambda split, items: items)
    assert {len(store.ids) for store in data.stores.values()} == {sum(COUNTS.values())}
    assert {len(store.ids) for store in data.cross_stores.values()} == {COUNTS["test"]}
