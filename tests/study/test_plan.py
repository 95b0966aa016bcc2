from __future__ import annotations

import functools
import re
import tomllib
from io import StringIO
from pathlib import Path

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from mmtk.errors import MmtkError
from mmtk.recipe import toml
from mmtk.recipe.load import load_recipe
from mmtk.recipe.recipe import Recipe
from mmtk.recipe.toml import locate
from mmtk.study import axes as study_axes
from mmtk.study.budgets import parse_budgets
from mmtk.study.plan import plan_components, plan_suite
from mmtk.study.plan_table import differences, plan_table, wrapped


def test_the_grid_of_the_paper_is_three_hundred_runs() -> None:
    plan = plan_suite("paper")
    assert len(plan.cells) == 60  # 2 × 3 segmentation, 3 × 3 classification, 5 × 9 both
    assert len(plan.runs) == 300
    assert len({cell.recipe.digest for cell in plan.cells}) == 60
    assert [cell.title for cell in plan.cells][:3] == ["U-Net 10 masks", "U-Net 50 masks", "U-Net all masks"]
    assert {cell.name for cell in plan.cells if cell.reference} == {"MultiMix"}


def test_a_seed_of_all_cells_comes_before_the_next_seed() -> None:
    plan = plan_components("multimix", "saliency,ssl", seeds=range(2))
    assert [seed for _, seed in plan.runs] == [0] * 5 + [1] * 5


def test_budgets_multiply_and_collapse_for_a_system_without_the_task() -> None:
    budgets = parse_budgets(["classification=50,100", "segmentation=5,10,full"])
    plan = plan_components("multimix", "tasks", budgets=budgets, seeds=[0])
    count = {name: sum(cell.name == name for cell in plan.cells) for name in ("MultiMix", "Enc", "U-Net")}
    assert count["MultiMix"] == 6
    # With others off the single tasks are the paper's Enc and U-Net, once per budget of their own task.
    assert (count["Enc"], count["U-Net"]) == (2, 3)


def test_cells_that_cannot_be_are_left_out_with_the_reason() -> None:
    plan = plan_components("multimix", "encoder.depth=5+6,data.size=48+64", seeds=[0])
    assert [name for name, _ in plan.dropped] == ["UMTL (encoder.depth=6, data.size=48)"]
    assert "not divisible by 32" in plan.dropped[0][1]


def test_a_baseline_without_the_key_that_is_varied_is_one_cell() -> None:
    plan = plan_components("multimix", "ssl=none+confidence+mixmatch,ssl.weight=0.25+1", seeds=[0])
    assert plan.remarks == ["ssl none has no weight: one cell"]
    assert plan.dropped == []
    assert [cell.name for cell in plan.cells] == [
        "UMTL",
        "UMTL-SSL (ssl.weight=0.25)",
        "UMTL-SSL (ssl.weight=1)",
        "UMTL + mixmatch (ssl.weight=0.25)",
        "UMTL + mixmatch (ssl.weight=1)",
        "MultiMix",
    ]


def test_the_plan_names_everything_that_differs(tmp_path: Path) -> None:
    plan = plan_components("multimix", "saliency,ssl=none+mixmatch")
    found = differences(plan)
    assert list(found) == ["bridge", "ssl", "consistency", "ssl.weight"]
    assert found["consistency"] == ["none"] * 4 + ["kl"]
    assert found["ssl.weight"] == ["–", "75.0", "–", "75.0", "0.25"]
    table, rest = plan_table(plan, {(plan.cells[0].recipe.digest, 0)})
    heads = [column.header for column in table.columns]
    assert heads == ["system", "bridge", "ssl", "consistency", "labels", "done"]
    assert rest == ["ssl.weight 75.0 / 0.25"]
    row = [next(iter(column.cells)) for column in table.columns]
    assert row == ["UMTL", "none", "none", "none", "100-10", "1/1"]
    own(tmp_path, 'extends = "multimix"\n[loss.segmentation]\nuse = "cross-entropy"\nweight = 2.0\n')
    own(tmp_path, 'extends = "multimix"\nname = "Clipped"\n[train]\nclip = 1.0\n', "clipped")
    suite = tmp_path / "suite.toml"
    suite.write_text('systems = ["enc", "multimix", "mine.toml", "clipped.toml"]\n')
    assert differences(plan_suite(str(suite))) == {
        "bridge": ["none", "saliency", "saliency", "saliency"],
        "consistency": ["none", "kl", "kl", "kl"],
        "ssl": ["none", "confidence", "confidence", "confidence"],
        "loss.segmentation": ["–", "dice", "cross-entropy", "dice"],
        "loss.segmentation.smoothing": ["–", "1.0", "0.0", "1.0"],
        "loss.segmentation.weight": ["–", "5.0", "2.0", "5.0"],
        "tasks": ["classification", *["classification and segmentation"] * 3],
        "train.clip": ["–", "–", "–", "1.0"],
    }


def own(folder: Path, text: str, name: str = "mine") -> str:
    (folder / f"{name}.toml").write_text(text)
    return str(folder / f"{name}.toml")


GENTLE = 'extends = "multimix"\nname = "MultiMix with gentle"\n[ssl]\nuse = "pseudo-label"\n'


def test_a_recipe_of_ones_own_keeps_its_other_parts_unless_it_says_so_itself(tmp_path: Path) -> None:
    plan = plan_components(own(tmp_path, GENTLE), "ssl=none+confidence+pseudo-label")
    names = {cell.name: cell.reference for cell in plan.cells}
    assert names == {
        "MultiMix with gentle (ssl=none)": False,
        "MultiMix with gentle (ssl=confidence)": False,
        "MultiMix with gentle": True,
    }
    assert {cell.recipe["bridge.use"] + cell.recipe["consistency.use"] for cell in plan.cells} == {"saliencykl"}
    off = plan_components(own(tmp_path, f'others = "off"\n{GENTLE}'), "ssl=none+confidence+pseudo-label")
    assert [(cell.name, cell.recipe["bridge.use"]) for cell in off.cells] == [
        ("MultiMix with gentle, without bridge and consistency (ssl=none)", "none"),
        ("MultiMix with gentle, without bridge and consistency (ssl=confidence)", "none"),
        ("MultiMix with gentle, without bridge and consistency", "none"),
        ("MultiMix with gentle", "saliency"),
    ]


def test_a_name_that_was_inherited_from_a_shipped_recipe_is_not_taken_for_it(tmp_path: Path) -> None:
    mixed = own(tmp_path, 'extends = "multimix"\n[ssl]\nuse = "mixmatch"\n')
    plan = plan_components(mixed, "ssl=confidence+mixmatch")
    assert [cell.name for cell in plan.cells] == ["MultiMix (mine) (ssl=confidence)", "MultiMix (mine)"]
    same = own(tmp_path, 'extends = "multimix"\nothers = "off"\n[train]\nsteps = 7\n', "same")
    overrides = {"train.steps": 7}
    assert [cell.name for cell in plan_components(same, "ssl", overrides=overrides).cells] == [
        "UMTL",
        "UMTL-SSL",
        "MultiMix",
    ]
    by_set = plan_components("multimix", "ssl=confidence+mixmatch", overrides={"ssl.use": "mixmatch"})
    assert [cell.name for cell in by_set.cells] == ["UMTL-SSL", "UMTL + mixmatch", "UMTL-S + kl + mixmatch"]


def test_a_single_task_of_a_recipe_of_ones_own_goes_without_the_strategies_of_the_other(tmp_path: Path) -> None:
    plan = plan_components(own(tmp_path, GENTLE), "tasks")
    uses = {c.name: [c.recipe.get(f"{kind}.use") for kind in ("bridge", "ssl", "consistency")] for c in plan.cells}
    assert uses == {
        "MultiMix with gentle (tasks=classification)": [None, "pseudo-label", None],
        "MultiMix with gentle (tasks=segmentation)": ["none", None, "kl"],
        "MultiMix with gentle": ["saliency", "pseudo-label", "kl"],
    }


def test_systems_of_a_suite_that_share_a_name_are_told_apart(tmp_path: Path) -> None:
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        own(folder, f'extends = "multimix"\n[ssl]\nthreshold = 0.{len(folder.name)}{ord(folder.name)}\n')
    own(tmp_path, 'extends = "multimix"\n[ssl]\nthreshold = 0.9\n', "surer")
    suite = tmp_path / "suite.toml"
    suite.write_text('systems = ["umtl", "multimix", "surer.toml", "a/mine.toml", "b/mine.toml"]\n')
    assert [cell.name for cell in plan_suite(str(suite)).cells] == [
        "UMTL",
        "MultiMix (multimix)",
        "MultiMix (surer)",
        "MultiMix (a/mine.toml)",
        "MultiMix (b/mine.toml)",
    ]


COMPONENTS = {
    "bridge": ["none", "saliency"],
    "ssl": ["none", "confidence", "mixmatch", "pseudo-label", "entropy", "mmtk-ssl-zoo/entropy"],
    "consistency": ["none", "kl", "entropy"],
    "loss.segmentation": ["dice", "cross-entropy"],
}
AXES = (
    "bridge",
    "ssl",
    "consistency",
    "ssl=none+confidence",
    "ssl=confidence+entropy",
    "ssl=none+mmtk/mixmatch",
    "consistency=none+kl+entropy",
    "bridge=none+saliency",
    "tasks",
    "tasks=both+segmentation",
    "train.batch=4+5",
    "ssl.weight=0.25+1",
    "ssl.threshold=0.7+0.9",
    "loss.segmentation=dice+cross-entropy",
    "loss.segmentation.weight=1+5",
    "data.segmentation.labels=5+10",
    "consistency.weight=0.01+0.1",
)


@functools.cache
def shipped() -> dict[str, list[str | None]]:
    """The strategies of every system of the paper, by its name."""
    recipes = map(load_recipe, tomllib.loads(locate("paper", "suites").read_text())["systems"])
    return {recipe.name: [recipe.get(f"{kind}.use") for kind in study_axes.STRATEGIES] for recipe in recipes}


@st.composite
def plans(draw: st.DrawFn) -> tuple[str, str, str, str, list[int]]:
    """A shipped recipe, the text of one that extends it (may be empty), axes, a design and label budgets."""
    parent = draw(st.sampled_from(["multimix", "umtl", "umtl-ssl-s", "enc-mm", "unet-ssl"]))
    places = draw(st.lists(st.sampled_from(list(COMPONENTS)), max_size=3, unique=True))
    head = draw(st.sampled_from(["", 'name = "Mine"\n', 'name = "UMTL"\n']))
    head += draw(st.sampled_from(["", 'others = "off"\n']))
    tables = [f'[{place}]\nuse = "{draw(st.sampled_from(COMPONENTS[place]))}"\n' for place in places]
    text = draw(st.sampled_from(["", f'extends = "{parent}"\n{head}{"".join(tables)}']))
    axes = draw(st.lists(st.sampled_from(AXES), min_size=1, max_size=2, unique=True))
    budgets = draw(st.sampled_from([[], [50, 100]]))
    return parent, text, ",".join(axes), draw(st.sampled_from(study_axes.DESIGNS)), budgets


@pytest.mark.long
@given(drawn=plans())
@hypothesis.settings(max_examples=50, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture])
def test_names_of_cells_are_unique_and_true(drawn: tuple[str, str, str, str, list[int]], tmp_path: Path) -> None:
    """Whatever is drawn, no two systems of a plan share a name, and what a name says of a system is so."""
    parent, text, axes, design, budgets = drawn
    try:
        recipe = own(tmp_path, text) if text else parent
        plan = plan_components(recipe, axes, design, budgets={"classification": budgets} if budgets else {})
    except MmtkError as error:
        if "mistake of mmtk's own" in str(error):
            raise
        hypothesis.reject()  # an axis of what this recipe has not, or two cells that are the same
    assert len({cell.title for cell in plan.cells}) == len({cell.recipe.digest for cell in plan.cells}) > 1
    for cell in plan.cells:
        _check_name(cell.name, cell.recipe, bool(text))


def _check_name(name: str, recipe: Recipe, own: bool) -> None:
    """What a name says against the recipe that bears it: levels, parts that are off, a system of the paper."""
    levels = re.search(r" \(([^()]*=[^()]*)\)$", name)
    for key, label in (level.split("=") for level in levels[1].split(", ")) if levels else ():
        if key == "tasks":
            assert recipe.tasks == {"both": ["classification", "segmentation"]}.get(label, [label])
        else:
            assert str(recipe.get(f"{key}.use", recipe.get(key))).removesuffix(".0") == label
    off = re.search(r", without ([^(]*)", name)
    for kind in re.split(", | and ", off[1].strip()) if off else ():
        assert recipe.get(f"{kind}.use", "none") == "none"
    if name in shipped() and not own:
        used = [recipe.get(f"{kind}.use") for kind in study_axes.STRATEGIES]
        assert [use and use.removeprefix("mmtk/") for use in used] == shipped()[name]


@pytest.mark.parametrize("way", ["axis", "set", "child"])
def test_the_weight_of_a_loss_stays_when_another_takes_its_place(way: str, tmp_path: Path) -> None:
    child = own(tmp_path, 'extends = "multimix"\n[loss.segmentation]\nuse = "cross-entropy"\n')
    if way == "axis":
        plan = plan_components("multimix", "loss.segmentation=dice+cross-entropy", overrides={"others": "keep"})
        recipe = next(cell.recipe for cell in plan.cells if not cell.reference)
    else:
        overrides = {"loss.segmentation.use": "cross-entropy"} if way == "set" else {}
        recipe = load_recipe(child if way == "child" else "multimix", overrides=overrides)
    assert (recipe["loss.segmentation.use"], recipe["loss.segmentation.weight"]) == ("cross-entropy", 5.0)
    expected = {"axis": "base.toml", "set": "base.toml", "child": "base.toml"}[way]
    assert expected in recipe.origins["loss.segmentation.weight"]
    smp = {"loss.segmentation.use": "smp", "loss.segmentation.name": "lovasz"}
    other = load_recipe(child, overrides={**smp, "loss.segmentation.weight": 2})
    assert other["loss.segmentation.weight"] == 2
    assert toml.get(load_recipe("multimix", overrides={"ssl.use": "mixmatch"}).values, "ssl.weight") == 75


def test_a_size_that_fits_no_system_is_a_mistake() -> None:
    with pytest.raises(MmtkError, match=r"data.size=70: data.size: 70 is not divisible by 16"):
        plan_components("multimix", "data.size=48+64+70", "one-at-a-time", seeds=[0])


def test_the_same_plan_has_the_same_digest_and_another_has_not() -> None:
    one, two = (plan_components("multimix", "saliency,ssl", seeds=[0]) for _ in range(2))
    more = plan_components("multimix", "saliency,ssl", seeds=[0, 1])
    assert one.digest == two.digest != more.digest


def test_overrides_hold_in_every_cell_where_they_mean_something() -> None:
    plan = plan_components("multimix", "saliency,ssl", overrides={"ssl.threshold": 0.9}, seeds=[0])
    assert plan.dropped == []
    thresholds = {cell.name: cell.recipe.get("ssl.threshold") for cell in plan.cells}
    assert thresholds == {"UMTL": None, "UMTL-S": None, "UMTL-SSL": 0.9, "UMTL-SSL-S": 0.9, "MultiMix": 0.9}


def test_a_suite_of_ones_own(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('extends = "multimix"\nname = "Mine"\n[ssl]\nthreshold = 0.9\n')
    suite = tmp_path / "suite.toml"
    suite.write_text('systems = ["umtl", "mine.toml"]\nseeds = 2\n[labels]\nsegmentation = [5, 10]\n')
    plan = plan_suite(str(suite))
    assert [cell.title for cell in plan.cells] == ["UMTL 100-5", "UMTL 100-10", "Mine 100-5", "Mine 100-10"]
    assert plan.seeds == [0, 1]
    assert [cell.name for cell in plan.cells if cell.reference] == ["Mine", "Mine"]
    assert len(plan_suite(str(suite), seeds=range(5), budgets={"segmentation": [7]}).runs) == 10


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('systms = ["umtl"]', "systms: unknown key. Did you mean 'systems'?"),
        ("systems = []", "systems: should be a list of recipes"),
        ('systems = ["umtl", "multimx"]', "No recipe 'multimx'"),
        ('systems = ["umtl", "multimix"]\nseeds = 0', "seeds: should be a whole number from 1 on, got 0"),
        ('systems = ["umtl", "multimix"]\nreference = "enc"', "reference: 'enc' is not among the systems"),
        ('systems = ["umtl"]', "a study needs two systems or more, and only 1 can be made"),
        ('systems = ["umtl", "enc"]\n[labels]\nclassification = ["all"]', 'numbers of labels or full, got "all"'),
        ('systems = ["umtl", "enc"]\n[labels]\nclasses = [1]', "classes: no such task"),
    ],
)
def test_mistakes_in_a_suite(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(text)
    with pytest.raises(MmtkError) as caught:
        plan_suite(str(tmp_path / "suite.toml"))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classification", "no '='"),
        ("classfication=1", "Did you mean 'classification'?"),
        ("classification=0", "numbers of labels or full, got 0"),
        ("classification=ten", 'numbers of labels or full, got "ten"'),
    ],
)
def test_mistakes_in_budgets(text: str, message: str) -> None:
    with pytest.raises(MmtkError) as caught:
        parse_budgets([text])
    assert message in str(caught.value)


def test_levels_of_a_key_are_cells_of_the_recipe_s_own_component() -> None:
    plan = plan_components("multimix", "ssl.threshold=0.5+0.7+0.95")
    assert [cell.name for cell in plan.cells] == [
        *(f"UMTL-SSL (ssl.threshold={level})" for level in (0.5, 0.7, 0.95)),
        "MultiMix",
    ]
    with pytest.raises(MmtkError, match=r"ssl\.treshold: unknown key\. Did you mean 'threshold'"):
        plan_components("multimix", "ssl.treshold=0.5+0.7")


def test_a_precision_that_auto_stands_for_is_one_cell() -> None:
    changes = {"others": "keep"}
    plan = plan_components("multimix", "train.precision=fp32+bf16", overrides=changes, seeds=[0])
    assert [cell.name for cell in plan.cells][-1] == "MultiMix"
    chosen = plan.with_precision(lambda wanted: "bf16" if wanted == "auto" else wanted)
    assert [(cell.levels, cell.reference) for cell in chosen.cells] == [
        ({"train.precision": "fp32"}, False),
        ({"train.precision": "bf16"}, True),
    ]
    assert len({cell.recipe.digest for cell in chosen.cells}) == 2
    with pytest.raises(MmtkError, match="a study needs two systems or more"):
        plan.with_precision(lambda wanted: "fp32")


def test_the_papers_grid_has_a_column_for_every_part_on_80_signs() -> None:
    plan = plan_suite("paper", profile="phantom")
    table, rest = plan_table(plan, (), 80)
    assert [column.header for column in table.columns][1:4] == ["bridge", "consistency", "ssl"]
    assert [line.partition(" ")[0] for line in rest] == ["ssl.weight"]
    table, rest = plan_table(plan, (), 110)
    assert (table.columns[-3].header, rest) == ("ssl.weight", [])
    assert not any("\n" in str(name) for name in table.columns[0].cells)  # no name is wrapped for it


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize(
    ("axes", "name"),
    [
        ("ssl=none+mixmatch,ssl.weight=0.1+1", "MultiMix"),
        ("ssl=none+confidence,ssl.threshold=0.5+0.95,train.lr=0.001+0.0001", "Mine"),
        ("bridge,ssl,consistency,encoder.dropout=0.25+0.5", "With a-very/long_word.made=of,short/ones_at.once in"),
    ],
)
def test_the_plan_on_a_terminal_breaks_no_word(axes, name, width, tmp_path) -> None:
    file = own(tmp_path, f'extends = "multimix"\nname = "{name}"\n')
    plan = plan_components(str(file), axes)
    table, _ = plan_table(plan, (), width)
    console = Console(width=width, file=StringIO())
    console.print(table)
    text = console.file.getvalue()
    assert max(map(len, text.splitlines())) <= width
    for cell in plan.cells:
        for word in re.split(r"[\s/=_,.+-]+", cell.name):
            assert word in text
    for heading in (str(column.header) for column in table.columns):
        assert heading in text


@pytest.mark.parametrize(
    ("name", "width", "lines"),
    [
        ("UMTL + kl", 20, ["UMTL + kl"]),
        ("UMTL + code/Ent (ssl.weight=0.1)", 16, ["UMTL + code/Ent", "(ssl.weight=0.1)"]),
        ("MultiMix (studies/of_mine/a.toml)", 12, ["MultiMix", "(studies/of_", "mine/a.toml)"]),
        ("aaaaaaaaaaaaaaaa", 8, ["aaaaaaaaaaaaaaaa"]),
        ("a b", 1, ["a", "b"]),
    ],
)
def test_names_are_wrapped_at_spaces_and_separators(name, width, lines) -> None:
    assert wrapped(name, width) == "\n".join(lines)


@pytest.mark.parametrize("levels", ["0.5+2", "2+0.5", "2+3"])
def test_a_level_that_its_key_does_not_take_is_a_mistake(levels: str) -> None:
    with pytest.raises(MmtkError, match=r"--components ssl.threshold=2: ssl.threshold: should be less") as caught:
        plan_components("multimix", f"ssl.threshold={levels}")
    assert caught.value.where == "--components ssl.threshold=2"


def test_a_level_that_some_systems_take_leaves_the_others_out() -> None:
    plan = plan_components("enc-ssl", "ssl=confidence+mixmatch,ssl.weight=0.5+2", seeds=[0])
    assert plan.refused == []
    assert len(plan.cells) >= 3
