from __future__ import annotations

import pytest

from mmtk.errors import MmtkError
from mmtk.recipe import toml
from mmtk.study import axes as study_axes
from mmtk.study import cell_names


def values(name: str = "multimix") -> toml.Values:
    """A shipped recipe as it is written, unchecked."""
    return toml.with_parents(toml.locate(name)).values


def axes(text: str, name: str = "multimix") -> list[study_axes.Axis]:
    return study_axes.parse_axes(text, values(name))


def keys(kind: str, use: str) -> list[str]:
    known = {"none": [], "confidence": ["threshold", "weight"], "mixmatch": ["weight"], "saliency": ["stride"]}
    return known.get(use, ["weight"])


def cells(text: str, design: str, own: toml.Values) -> list[study_axes.Cell]:
    return study_axes.cells(study_axes.parse_axes(text, own), design, own, keys)[0]


def names(text: str, design: str = "factorial", name: str = "multimix", called: str = "") -> list[str]:
    """The names of the cells of a shipped recipe, or of a copy of it that is called something else."""
    own, known, levels = (
        values(name),
        cell_names.known_systems(),
        {axis.key: axis.recipe_level for axis in axes(text, name)},
    )
    return [
        cell_names.own_name(cell, called, levels)
        if called
        else cell_names.paper_name(cell, toml.merge(toml.Layer(own), toml.parse_set(cell.changes)).values, known)
        for cell in cells(text, design, own)
    ]


def test_cells_of_a_recipe_of_ones_own_are_its_variations() -> None:
    assert names("ssl=none+confidence,ssl.threshold=0.7+0.9", "one-at-a-time", called="Mine") == [
        "Mine (ssl=none)",
        "Mine (ssl.threshold=0.9)",
        "Mine",
    ]


def test_what_a_design_switches_off_is_in_the_names_of_a_recipe_of_ones_own() -> None:
    assert names("ssl=none+confidence", called="Mine") == [
        "Mine, without bridge and consistency (ssl=none)",
        "Mine, without bridge and consistency",
        "Mine",
    ]
    assert names("encoder=unet+timm", called="Mine") == [
        "Mine, without bridge, ssl and consistency",
        "Mine, without bridge, ssl and consistency (encoder=timm)",
        "Mine",
    ]


def test_a_strategy_s_kind_stands_before_a_name_that_two_kinds_have() -> None:
    known, own = cell_names.known_systems(), values("umtl")
    names = [cell_names.system_name({**own, kind: {"use": "entropy"}}, known) for kind in ("ssl", "consistency")]
    assert names == ["UMTL + ssl entropy", "UMTL + consistency entropy"]


def test_a_component_a_kind_and_levels_name_the_same_axis() -> None:
    assert axes("ssl.use=none+confidence") == axes("ssl")
    assert axes("saliency") == axes("bridge") == axes("bridge=none+saliency")
    axis = axes("saliency")[0]
    assert (axis.key, axis.recipe_level, axis.on.label, axis.off.label) == (
        "bridge",
        "saliency",
        "saliency",
        "none",
    )
    assert axis.on.changes == {}
    assert axis.off.changes == {"bridge.use": "none"}


def test_another_component_replaces_the_table_and_the_own_one_keeps_its_keys() -> None:
    ssl = axes("ssl=none+confidence+mixmatch")[0]
    assert [dict(level.changes) for level in ssl.levels] == [{"ssl.use": "none"}, {}, {"ssl.use": "mixmatch"}]
    assert axes("encoder=unet+timm")[0].levels[1].changes == {"encoder.use": "timm"}


def test_any_recipe_key_may_be_an_axis_with_typed_levels() -> None:
    axis = axes("ssl.threshold=0.5+0.7+0.95")[0]
    assert [level.changes["ssl.threshold"] for level in axis.levels] == [0.5, 0.7, 0.95]
    assert axis.recipe_level == "0.7"
    lists = axes('metric.segmentation.threshold=0.4+0.5,x.y=[1,2]+["a+b","c"]')
    assert lists[1].levels[1].changes["x.y"] == ["a+b", "c"]


@pytest.mark.parametrize("design", ["factorial", "one-at-a-time"])
def test_a_component_stays_on_where_one_of_its_keys_is_the_axis(design: str) -> None:
    """Also where the others are off: without its component the key means nothing."""
    own = values()
    found = cells("ssl.threshold=0.5+0.7+0.95", design, own)
    assert sorted({cell.levels["ssl.threshold"] for cell in found}) == ["0.5", "0.7", "0.95"]
    assert not any("ssl.use" in cell.changes for cell in found)
    off = [cell for cell in found if not cell.reference and "bridge.use" in cell.changes]
    assert len(off) == (3 if design == "factorial" else 0)


def test_combinations_in_which_an_axis_means_nothing_are_one_cell() -> None:
    own = values() | {"others": "keep"}
    found, remarks = study_axes.cells(
        study_axes.parse_axes("ssl=none+confidence+mixmatch,ssl.weight=0.25+1", own), "factorial", own, keys
    )
    assert [tuple(cell.levels.values()) for cell in found] == [
        ("none", "–"),
        ("confidence", "1"),
        ("mixmatch", "0.25"),
        ("mixmatch", "1"),
        ("confidence", "0.25"),
    ]
    assert found[0].changes == {"ssl.use": "none"}
    assert remarks == ["ssl none has no weight: one cell"]
    assert [cell.reference for cell in found] == [False] * 4 + [True]
    typo, remarks = study_axes.cells(study_axes.parse_axes("ssl.treshold=1+2", own), "factorial", own, keys)
    assert [cell.levels["ssl.treshold"] for cell in typo] == ["1", "2", ""]  # unknown to all: not meaningless


def test_strategies_of_a_task_that_is_not_trained_are_off() -> None:
    own = values() | {"others": "keep"}
    found, remarks = study_axes.cells(study_axes.parse_axes("tasks,ssl", own), "factorial", own, keys)
    assert [tuple(cell.levels.values()) for cell in found] == [
        ("both", "none"),
        ("classification", "none"),
        ("classification", "confidence"),
        ("segmentation", "–"),
        ("both", "confidence"),
    ]
    assert found[3].changes == {"tasks": ["segmentation"], "bridge.use": "none", "ssl.use": "none"}
    assert found[1].changes["consistency.use"] == "none"
    assert remarks == ["segmentation alone has no ssl: one cell"]


def test_tasks_are_an_axis() -> None:
    axis = axes("tasks")[0]
    assert [level.label for level in axis.levels] == ["both", "classification", "segmentation"]
    assert axis.recipe_level == "both"


def test_the_sentence_of_the_readme_is_the_five_systems_of_the_paper() -> None:
    assert names("saliency,ssl") == ["UMTL", "UMTL-SSL", "UMTL-S", "UMTL-SSL-S", "MultiMix"]


def test_the_factorial_of_all_three_has_eight_cells_and_no_extra_reference() -> None:
    found = names("saliency,ssl,consistency")
    assert found == [
        "UMTL",
        "UMTL + kl",
        "UMTL-SSL",
        "UMTL-SSL + kl",
        "UMTL-S",
        "UMTL-S + kl",
        "UMTL-SSL-S",
        "MultiMix",
    ]


@pytest.mark.parametrize(
    ("design", "expected"),
    [
        ("leave-one-out", {"UMTL-SSL-S", "UMTL-S + kl", "UMTL-SSL + kl", "MultiMix"}),
        ("add-one-in", {"UMTL", "UMTL-S", "UMTL-SSL", "UMTL + kl", "MultiMix"}),
        ("one-at-a-time", {"UMTL-SSL-S", "UMTL-S + kl", "UMTL-SSL + kl", "MultiMix"}),
    ],
)
def test_designs(design: str, expected: set[str]) -> None:
    found = names("saliency,ssl,consistency", design)
    assert set(found) == expected
    assert len(found) == len(expected)


def test_taking_away_leaves_what_no_axis_names_in_place() -> None:
    own = values()
    without = cells("saliency", "leave-one-out", own)
    assert [dict(cell.changes) for cell in without] == [{"bridge.use": "none"}, {}]
    built = cells("saliency", "factorial", own)
    off = {"ssl.use": "none", "consistency.use": "none"}
    assert [dict(cell.changes) for cell in built] == [off | {"bridge.use": "none"}, off, {}]
    kept = cells("ssl", "factorial", values("enc-ssl"))
    assert [dict(cell.changes) for cell in kept] == [{"ssl.use": "none"}, {}]


def test_levels_that_the_name_does_not_tell_stand_behind_it() -> None:
    assert names("ssl.threshold=0.5+0.7", "one-at-a-time") == ["MultiMix (ssl.threshold=0.5)", "MultiMix"]
    assert "UMTL + mixmatch" in names("ssl=none+mixmatch")


@pytest.mark.parametrize(
    ("text", "message", "cure"),
    [
        ("salency", "neither a part of this recipe nor a recipe key. Did you mean 'saliency'?", "Known here: "),
        ("ssl=none+confidense", "No ssl component is called 'confidense'. Did you mean 'confidence'?", ""),
        ("mixmatch", "this recipe does not use it; its ssl is 'confidence'", "ssl=confidence+mixmatch"),
        ("ssl=none", "one level only", "ssl=none+OTHER"),
        ("ssl=none+none", "one level only", ""),
        ("ssl=none+confidence+none", "a level is named twice", ""),
        ("ssl,confidence", "'ssl' is named twice", ""),
        ("encoder", "a recipe cannot do without encoder", "encoder=unet+OTHER"),
        ("loss", "the recipe has it in 2 places", "loss.classification, loss.segmentation"),
        ("unet", "the recipe has it in 2 places", "decoder, encoder"),
        ("ssl.threshold", "an axis needs its levels", "ssl.threshold=A+B"),
        ("tasks=both+clasification", "no level 'clasification'. Did you mean 'classification'?", "Known: "),
        ("", "names nothing", "--components saliency,ssl"),
    ],
)
def test_mistakes_are_named_with_their_cure(text: str, message: str, cure: str) -> None:
    with pytest.raises(MmtkError) as caught:
        axes(text)
    assert message in str(caught.value)
    assert cure in (caught.value.hint or "")


def test_a_component_that_the_recipe_lacks() -> None:
    with pytest.raises(MmtkError, match="the recipe has none, so there is nothing to take away") as caught:
        axes("ssl", "umtl")
    assert caught.value.hint == "Name the levels: ssl=none+confidence."


def test_an_unknown_design_names_the_others() -> None:
    with pytest.raises(MmtkError, match="Did you mean 'leave-one-out'") as caught:
        cells("ssl", "leave-one", values())
    assert "add-one-in" in (caught.value.hint or "")


def test_every_system_of_the_paper_is_known_by_what_it_is_made_of() -> None:
    known = cell_names.known_systems()
    assert sorted(known.values()) == sorted(
        ["U-Net", "U-Net-SSL", "Enc", "Enc-SSL", "Enc-MM", "UMTL", "UMTL-S", "UMTL-SSL", "UMTL-SSL-S", "MultiMix"]
    )
    assert cell_names.system_name(values("umtl-s"), known) == "UMTL-S"
