from __future__ import annotations

from pathlib import Path

import pytest

from mmtk.errors import MmtkError
from mmtk.plan import parse_budgets, plan_components, plan_suite


def test_the_grid_of_the_paper_is_three_hundred_runs() -> None:
    plan = plan_suite("paper")
    assert len(plan.cells) == 60  # 2 × 3 segmentation, 3 × 3 classification, 5 × 9 both
    assert len(plan.runs) == 300
    assert len({cell.recipe.digest for cell in plan.cells}) == 60
    assert [cell.title for cell in plan.cells][:3] == ["U-Net –-10", "U-Net –-50", "U-Net –-full"]
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
    plan = plan_components("multimix", "ssl,ssl.threshold=0.5+0.7", seeds=[0])
    assert {name for name, _ in plan.dropped} == {"UMTL (ssl.threshold=0.5)", "UMTL (ssl.threshold=0.7)"}
    assert all("ssl.threshold: unknown key" in reason for _, reason in plan.dropped)


def test_a_size_that_does_not_fit_is_left_out() -> None:
    plan = plan_components("multimix", "data.size=48+64+70", "one-at-a-time", seeds=[0])
    assert [name for name, _ in plan.dropped] == ["MultiMix (data.size=70)"]
    assert "not divisible by 16" in plan.dropped[0][1]


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
