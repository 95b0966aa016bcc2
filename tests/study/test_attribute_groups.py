"""Attributes of images as groups, of whatever a table may hold."""

from __future__ import annotations

import numpy as np
import pytest

from mmtk.study.attributes import OTHER, Attribute, attributes_of

PART = ("in-domain", "classification")


def of(values, prefix: str = "metadata:") -> tuple[list[Attribute], list[str]]:
    texts = any(isinstance(value, str) for value in values)
    column = np.array(values, object) if texts else np.array([values] * 2, float)
    ids = np.array([str(n) for n in range(len(values))], object)
    return attributes_of({PART: {"id": ids, f"{prefix}x": column, "target": np.zeros((2, len(ids)))}}, *PART)


def test_numbers_are_cut_at_their_thirds():
    ((age,), notes) = of(range(1, 91))
    assert age.groups == ("up to 30", "30 to 60", "above 60")
    assert np.bincount(age.codes).tolist() == [30, 30, 30]
    assert [side for side, _ in age.sides()] == ["x above 45.5"]
    assert notes == []


@pytest.mark.parametrize(
    ("values", "groups"),
    [
        ([0] * 50 + [1] * 10, ("0", "1")),
        ([0] * 10 + [1] * 50, ("0", "1")),
        ([0] * 50 + [1, 2, 3, 4], ("0", "above 0")),
        ([4] * 50 + [0, 1, 2, 3], ("up to 3", "4")),
        ([1, 2, 3] * 9, ("1", "2", "3")),
    ],
)
def test_few_or_lopsided_numbers_have_the_groups_that_they_allow(values, groups):
    ((one,), _) = of(values)
    assert one.groups == groups
    assert one.codes.min() == 0
    assert one.codes.max() == len(groups) - 1
    for _, above in one.sides():
        assert 0 < above.sum() < len(values)


def test_texts_are_groups_by_name_the_rare_ones_together():
    ((site,), _) = of([*"aaaaabbbbccccddddeee", *"fgh"])
    assert site.groups == ("a", "b", "c", "d", "e", OTHER)
    assert np.bincount(site.codes)[-1] == 3
    assert [side for side, _ in site.sides()] == [f"x {name}" for name in site.groups]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([3.0] * 9, "x has one value"),
        (["PA"] * 9, "x has one value"),
        ([f"{n} lines of a report" for n in range(300)], "x has 300 different values, too many to be groups"),
        (["2017-03-01", "2018-03-01", "20190301"], "x holds dates, which are not looked at"),
    ],
)
def test_what_makes_no_groups_is_said(values, sentence):
    assert of(values) == ([], [sentence])


def test_images_without_a_value_are_in_no_group():
    ((view,), notes) = of(["PA", None, "AP", "PA", None])
    assert view.codes.tolist() == [1, -1, 0, 1, -1]
    assert np.isnan(view.features()[:, 0]).tolist() == [False, True, False, False, True]
    assert notes == ["x is not known of 2 of 5 images"]
    ((age,), notes) = of([1.0, np.nan, 3.0])
    assert age.codes.tolist() == [0, -1, 1]
    assert notes == ["x is not known of 1 of 3 images"]


def test_what_pixels_show_is_named_so_and_needs_no_sentence():
    ((one,), _) = of([1.0, 2.0], "image:")
    assert one.name == "x (image)"
    assert not one.from_source
    assert of([1.0, 1.0], "image:") == ([], [])
