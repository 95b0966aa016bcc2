"""Names of what masks show: in several languages, within words, and from the nearest folder on."""

from __future__ import annotations

from mmtk.components.source._organ_words import first_organ, organ


def test_an_organ_is_named_only_where_a_word_says_it() -> None:
    cases = {
        "lung": "Lungs, lungmask, LungMasks, masques poumons, 肺, Lunge_links, left lung",
        "heart": "heart_seg, Herz, corazón",
        "infection": "infection masks, InfectionMask, Infektion",
        "": "masks, gt, mask_covid_1, rippled, left, spin",
    }
    for name, texts in cases.items():
        for text in texts.split(", "):
            assert organ(text) == name, text


def test_the_nearest_folder_counts_and_nothing_is_a_mask() -> None:
    assert first_organ(("", "infection masks", "Lung Segmentation Data")) == "infection"
    assert first_organ(("", "masks", "Lung Segmentation Data")) == "lung"
    assert first_organ(("_gt", "masks", "hospital")) == "mask"
