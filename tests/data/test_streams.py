"""Label budgets, orders and batches: every batch a pure function of (seed, step)."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from tiny import tiny

from mmtk.api import StepContext, View
from mmtk.components.source.phantom import Phantom
from mmtk.data.batches import BatchLoader, EpochSampler, masks, normalise, pixels
from mmtk.data.dataset import prepare
from mmtk.data.label_budget import choose_labelled, permutation, split_part
from mmtk.data.store import open_store
from mmtk.errors import MmtkError
from mmtk.recipe import parts

TASKS = ("classification", "segmentation")


@pytest.fixture(scope="module", autouse=True)
def _cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MMTK_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


def make(name="multimix", views=None, needs=True, epoch=1, **changes):
    """The streams of a tiny recipe; ``views`` for classification, by default those of MultiMix."""
    recipe = tiny(name, **changes)
    data = prepare(recipe, None)
    weak = {"weak": View(), "strong": View()} if views is None else views
    return BatchLoader(
        recipe,
        data.stores,
        data.parts,
        {"classification": weak, "segmentation": {}},
        dict.fromkeys(recipe.tasks, needs),
        epoch,
    ), data


def tensors(batch):
    """All tensors of a batch by name."""
    found = {}
    for task in TASKS:
        known, others = getattr(batch, task)
        found |= {f"{task}.{name}": value for name, value in vars(known).items()}
        if len(others.image):
            found |= {f"{task}.unlabelled.{n}": v for n, v in vars(others).items() if isinstance(v, torch.Tensor)}
            found |= {f"{task}.{v}-{k}": x for v, copies in others.views.items() for k, x in enumerate(copies)}
    return found


def same(first, second):
    return {name for name, value in first.items() if name in second and torch.equal(value, second[name])}


# --- label budgets -------------------------------------------------------------------------------------------

LABELS = [0] * 30 + [1] * 70 + [2] * 3


@pytest.mark.parametrize("labels", [None, LABELS], ids=["masks", "classes"])
def test_budgets_nest(labels):
    rows = list(range(1000, 1103))
    chosen = [choose_labelled(rows, labels, count, 0, "labels") for count in range(3, 104)]
    for smaller, larger in pairwise(chosen):
        assert set(smaller) < set(larger)
    assert chosen[-1] == rows
    assert chosen[10] == sorted(chosen[10])
    assert chosen[10] != choose_labelled(rows, labels, 13, 1, "labels")


@pytest.mark.parametrize("count", [10, 20, 50, 100])
def test_budgets_are_stratified(count):
    chosen = choose_labelled(list(range(103)), LABELS, count, 0, "labels")
    found = np.bincount([LABELS[row] for row in chosen], minlength=3)
    np.testing.assert_allclose(found, count * np.array([30, 70, 3]) / 103, atol=1)


def test_the_smallest_budget_leaves_no_class_out():
    for seed in range(5):
        assert sorted(LABELS[row] for row in choose_labelled(list(range(103)), LABELS, 3, seed)) == [0, 1, 2]


def test_labelled_and_unlabelled_images_share_the_training_part():
    _, data = make()
    for task, labels in (("classification", 8), ("segmentation", 4)):
        part = data.parts[task]
        assert len(part.labelled) == labels
        assert sorted(part.labelled + part.unlabelled) == list(range(24))
        assert not {*part.labelled, *part.unlabelled} & {*part.val, *part.test}
        assert (len(part.val), len(part.test)) == (8, 10)
    labels = data.stores["classification"].targets
    share = labels[:24].mean()
    assert abs(labels[data.parts["classification"].labelled].sum() - 8 * share) <= 1


@pytest.mark.parametrize(("budget", "include"), [("full", False), (8, True), (24, False)])
def test_labelled_images_serve_as_unlabelled_too(budget, include):
    changes = {"data.classification.labels": budget, "data.classification.include_labelled": include}
    part = make(**changes)[1].parts["classification"]
    assert sorted(part.unlabelled) == list(range(24))
    assert len(part.labelled) == (24 if budget == "full" else budget)


def test_label_subsets_and_orders_are_those_of_the_seed_not_of_the_system():
    parts = {name: make(name)[1].parts for name in ("multimix", "umtl")}
    assert parts["multimix"] == parts["umtl"]
    enc = prepare(tiny("enc"), None).parts
    assert enc["classification"] == parts["multimix"]["classification"]
    other = make(seed=1)[1].parts
    assert all(other[task] != parts["multimix"][task] for task in TASKS)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (
            {"data.classification.labels": 25},
            r'labels: 25 labels asked for, but the training part has 24\.\n  Ask for at most 24, or for "full"',
        ),
        ({"data.segmentation.labels": 99}, r"data\.segmentation\.labels: 99 labels asked for"),
        ({"data.classification.source.prevalence": 1.0}, r"one class only \(pneumonia\)"),
        ({"data.classification.source.prevalence": 0.0}, r"one class only \(normal\)"),
        ({"data.classification.labels": 1}, "1 label cannot cover 2 classes"),
    ],
)
def test_budgets_that_cannot_be(changes, text):
    with pytest.raises(MmtkError, match=text):
        make(**changes)


class Blank(Phantom):
    """Nobody has labelled these images."""

    def items(self, split):
        return [replace(item, target=None) for item in super().items(split)]


def test_a_source_without_any_label():
    source = Blank("classification", train=4, val=0, test=0, size=32)
    with pytest.raises(MmtkError, match=r"data\.classification\.source: no training image has a label"):
        split_part(tiny(), "classification", source, open_store(source, 32))


# --- orders --------------------------------------------------------------------------------------------------


def test_every_row_comes_once_per_epoch_in_a_fresh_order():
    order = EpochSampler(list(range(50, 60)), None, 0, "order")
    epochs = [[order.at(10 * epoch + i) for i in range(10)] for epoch in range(5)]
    assert all(sorted(epoch) == list(range(50, 60)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 5
    drawn = [row for step in range(10) for row in order.batch(step, 5)]
    assert drawn == [row for epoch in epochs for row in epoch]
    assert sorted(order.batch(0, 30)) == sorted(3 * list(range(50, 60)))


def test_the_order_is_the_same_whenever_it_is_asked_for():
    ahead, back = (EpochSampler(list(range(7)), [0, 1, 0, 1, 0, 0, 0], 0, "order") for _ in range(2))
    steps = range(40)
    forwards = {step: ahead.batch(step, 3) for step in steps}
    assert {step: back.batch(step, 3) for step in reversed(steps)} == forwards
    first, other = (EpochSampler(list(range(7)), None, seed, "order").batch(0, 7) for seed in (0, 1))
    assert first != other


def test_class_balanced_batches():
    labels = [0] * 3 + [1] * 12
    order = EpochSampler(list(range(15)), labels, 0, "order")
    drawn = [row for step in range(12) for row in order.batch(step, 4)]
    assert [labels[row] for row in drawn] == [0, 1] * 24
    rare, common = drawn[::2], drawn[1::2]
    assert all(sorted(rare[i : i + 3]) == [0, 1, 2] for i in range(0, 24, 3))
    assert all(sorted(common[i : i + 12]) == list(range(3, 15)) for i in (0, 12))


def test_balanced_sampling_is_for_labelled_classes_alone():
    plain, _ = make()
    balanced, data = make(train__balance="sample", train__batch=4)
    targets = data.stores["classification"].targets
    for step in range(3):
        index = tensors(balanced.batch(StepContext(0, step, 4)))["classification.index"]
        rows = np.array(data.parts["classification"].labelled)[index]
        assert targets[rows].tolist() == [0, 1, 0, 1]
    assert plain.ids(0)["segmentation"] + plain.ids(1)["segmentation"] == balanced.ids(0)["segmentation"]


def test_permutations_depend_on_the_key_alone():
    torch.manual_seed(1)
    first = permutation(20, 0, "a")
    torch.manual_seed(2)
    assert permutation(20, 0, "a") == first
    assert sorted(first) == list(range(20)) != first != permutation(20, 0, "b")


def rows_of(data, found, task, stream="labelled"):
    """The store's rows of a batch: its index counts within the stream."""
    name = f"{task}.index" if stream == "labelled" else f"{task}.{stream}.index"
    return np.array(getattr(data.parts[task], stream))[found[name].numpy()]


# --- batches -------------------------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_seed_and_step():
    streams, _ = make()
    forwards = [tensors(streams.batch(StepContext(0, step, 9))) for step in range(4)]
    again, _ = make()
    torch.manual_seed(99)
    for step in (3, 1, 0, 2):
        found = tensors(again.batch(StepContext(0, step, 9)))
        assert same(forwards[step], found) == set(found)
    assert "classification.image" not in same(forwards[0], forwards[1])
    other = tensors(make(seed=1)[0].batch(StepContext(1, 0, 9)))
    assert not {"classification.image", "segmentation.image"} & same(forwards[0], other)


def test_labelled_views_are_drawn_anew_in_every_step():
    streams, _ = make("enc")
    seen = {}
    for step in range(16):  # 8 labelled images, 2 a step: four epochs
        known, _ = streams.batch(StepContext(0, step, 16)).classification
        for row, image in zip(known.index.tolist(), known.image, strict=True):
            seen.setdefault(row, set()).add(image.numpy().tobytes())
    assert len(seen) == 8
    assert all(len(views) > 1 for views in seen.values())


def test_frozen_views_stay_for_an_epoch_and_masks_stay_with_them():
    recipe = {"augment.segmentation.use": "weak", "train.frozen_views": True}
    streams, _ = make("umtl", epoch=8, **recipe)
    seen = {}
    for step in range(16):  # 8 labelled images, 2 a step: every image comes twice in each epoch of 8 steps
        batch = streams.batch(StepContext(0, step, 16))
        for task in TASKS:
            known, _ = getattr(batch, task)
            for index, image, target in zip(known.index.tolist(), known.image, known.target, strict=True):
                look = (image.numpy().tobytes(), target.numpy().tobytes())
                seen.setdefault((task, index), {}).setdefault(step // 8, set()).add(look)
    assert all(len(looks) == 1 for epochs in seen.values() for looks in epochs.values())
    changed = [len({*epochs[0], *epochs[1]}) == 2 for epochs in seen.values() if len(epochs) == 2]
    assert len(changed) >= 8
    assert sum(changed) > len(changed) / 2


def test_shapes_ranges_and_what_belongs_together():
    streams, data = make(train__batch=3, train__ratio=2)
    found = tensors(streams.batch(StepContext(0, 1, 9)))
    shapes = {name: tuple(value.shape) for name, value in found.items()}
    image, twice = (3, 1, 32, 32), (6, 1, 32, 32)
    assert shapes == {
        "classification.image": image,
        "classification.target": (3,),
        "classification.index": (3,),
        "classification.unlabelled.image": twice,
        "classification.unlabelled.index": (6,),
        "classification.unlabelled.truth": (6,),
        "classification.weak-0": twice,
        "classification.strong-0": twice,
        "segmentation.image": image,
        "segmentation.target": image,
        "segmentation.index": (3,),
        "segmentation.unlabelled.image": twice,
        "segmentation.unlabelled.index": (6,),
    }
    for name, value in found.items():
        if value.ndim == 4:
            low = 0 if "target" in name else -1
            assert low <= value.min() < value.max() <= 1
    stored = data.stores["classification"]
    labels = stored.targets[rows_of(data, found, "classification")]
    assert found["classification.target"].tolist() == labels.tolist()
    raw = pixels(stored, rows_of(data, found, "classification", "unlabelled"))
    assert torch.equal(found["classification.unlabelled.image"], normalise(raw))
    seg = data.stores["segmentation"]
    rows = rows_of(data, found, "segmentation")
    assert torch.equal(found["segmentation.image"], normalise(pixels(seg, rows)))
    assert torch.equal(found["segmentation.target"], torch.from_numpy(np.asarray(seg.targets[rows])).float())
    assert streams.ids(1)["segmentation"] == [seg.ids[row] for row in rows]


def test_labelled_and_unlabelled_images_come_from_their_parts():
    streams, data = make()
    for step in range(5):
        found = tensors(streams.batch(StepContext(0, step, 9)))
        for task in TASKS:
            plain = normalise(pixels(data.stores[task], rows_of(data, found, task, "unlabelled")))
            if task == "classification":
                assert torch.equal(found[f"{task}.unlabelled.image"], plain)
            for stream in ("labelled", "unlabelled"):
                index = found[f"{task}.index" if stream == "labelled" else f"{task}.unlabelled.index"]
                assert 0 <= index.min() <= index.max() < len(getattr(data.parts[task], stream))


def test_labelled_classification_images_are_weakly_augmented_and_masks_move_with_their_images():
    streams, data = make(
        **{
            "augment.segmentation.use": "weak",
            "augment.segmentation.padding": 0.0,
            "augment.segmentation.flip": 1.0,
        }
    )
    found = tensors(streams.batch(StepContext(0, 0, 9)))
    for task in TASKS:
        plain = normalise(pixels(data.stores[task], rows_of(data, found, task)))
        assert not torch.equal(found[f"{task}.image"], plain)
    rows = rows_of(data, found, "segmentation")
    assert torch.equal(found["segmentation.image"].flip(-1), normalise(pixels(data.stores["segmentation"], rows)))
    mask = torch.from_numpy(np.asarray(data.stores["segmentation"].targets[rows])).float()
    assert torch.equal(found["segmentation.target"].flip(-1), mask)


def test_what_a_task_does_not_need_is_not_made():
    streams, _ = make("umtl", needs=False)
    batch = streams.batch(StepContext(0, 0, 9))
    for labelled, unlabelled in (batch.classification, batch.segmentation):
        assert unlabelled.image.shape == (0, *labelled.image.shape[1:])
        assert not unlabelled.views


def test_a_stream_that_is_off_shifts_no_other():
    """Every labelled image, order and augmentation is the same for UMTL and MultiMix."""
    with_all = tensors(make()[0].batch(StepContext(0, 3, 9)))
    for views, needs in (({}, True), ({}, False), ({"weak": View(2)}, True)):
        found = tensors(make(views=views, needs=needs)[0].batch(StepContext(0, 3, 9)))
        assert same(found, with_all) >= found.keys() - {"classification.weak-1"}


def test_views_differ_and_may_start_from_one_another():
    views = {"strong": View(2, on="weak", geometric=False), "weak": View(2)}
    plain = {"augment.strong.pool": ["identity"], "augment.strong.flip": 1.0}
    found = tensors(make(views=views, **plain)[0].batch(StepContext(0, 0, 9)))
    assert not torch.equal(found["classification.weak-0"], found["classification.weak-1"])
    # Without geometry and without operations the strong view is the weak one that it starts from (in 8 bits).
    for k in range(2):
        torch.testing.assert_close(
            found[f"classification.strong-{k}"], found[f"classification.weak-{k}"], rtol=0, atol=1 / 255
        )


def test_a_view_may_start_from_a_view_that_starts_from_another():
    views = {"strong": View(on="segmentation", geometric=False), "segmentation": View(on="weak"), "weak": View()}
    plain = {"augment.strong.pool": ["identity"]}
    found = tensors(make(views=views, **plain)[0].batch(StepContext(0, 0, 9)))
    assert torch.equal(found["classification.segmentation-0"], found["classification.weak-0"])
    torch.testing.assert_close(
        found["classification.strong-0"], found["classification.weak-0"], rtol=0, atol=1 / 255
    )


def test_mask_views_keep_the_geometry_of_their_image():
    recipe = tiny(
        **{
            "augment.segmentation.use": "weak",
            "augment.strong.pool": ["brightness"],
            "augment.strong.probability": 1.0,
        }
    )
    data = prepare(recipe, None)
    views = {"weak": View(geometric=False), "strong": View(geometric=False)}
    streams = BatchLoader(
        recipe, data.stores, data.parts, {"classification": {}, "segmentation": views}, dict.fromkeys(TASKS, True)
    )
    _, others = streams.batch(StepContext(0, 0, 9)).segmentation
    assert torch.equal(others["weak"][0], others.image)
    strong = others["strong"][0]
    assert not torch.equal(strong, others.image)
    # Brightness is a factor ≤ 0.95 on gray levels: order within an image stays.
    for made, own in zip(strong.flatten(1), others.image.flatten(1), strict=True):
        assert (made.diff()[own.diff() > 0.1] >= 0).all()


def test_ignored_pixels_are_minus_1_and_normalisation_is_affine():
    stored = replace(make()[1].stores["segmentation"], targets=np.array([[[[0, 1, 255]]]], dtype=np.uint8))
    assert masks(stored, [0]).tolist() == [[[[0.0, 1.0, -1.0]]]]
    assert normalise(torch.tensor([0.0, 0.5, 1.0])).tolist() == [-1.0, 0.0, 1.0]


def test_strategies_ask_for_their_own_streams():
    asked = {name: parts.sketch_views(tiny(name), "ssl") for name in ("enc", "enc-ssl", "enc-mm")}
    assert asked == {"enc": {}, "enc-ssl": {"weak": View(1), "strong": View(1)}, "enc-mm": {"weak": View(2)}}
