"""What a quick command must not import: the layers that keep ``--help`` instant."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = {
    "torch",
    "torchvision",
    "pydantic",
    "pydantic_core",
    "mlflow",
    "rich",
    "numpy",
    "matplotlib",
    "timm",
    "scipy",
    "monai",
    "pandas",
    "PIL",
    "lightning_fabric",
    "torchmetrics",
    "segmentation_models_pytorch",
    "pyarrow",
}


def imported(*arguments: str) -> set[str]:
    """The modules that a Python process with these arguments imports, from its own account of them."""
    command = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip() for line in lines}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "mmtk", "--help"], "mmtk.cli.main"),
        (["-c", "import mmtk, mmtk.cli.main, mmtk.errors"], "mmtk.cli.main"),
        (
            ["-c", "import mmtk.registry.catalog, mmtk.recipe.toml; mmtk.registry.catalog.entries()"],
            "mmtk.recipe.toml",
        ),
    ],
)
def test_the_quick_layers_import_nothing_heavy(arguments, expected):
    modules = imported(*arguments)
    assert expected in modules
    assert {module.partition(".")[0] for module in modules} & HEAVY == set()


@pytest.mark.parametrize("command", [["--version"], ["list"], ["plugins"], ["run", "--help"]])
def test_quick_commands_import_no_more_than_typer_does(command):
    modules = imported("-m", "mmtk", *command)
    assert "mmtk.cli.main" in modules
    # Recent versions of typer themselves convert arguments by pydantic.
    assert {module.partition(".")[0] for module in modules} & HEAVY <= {"pydantic", "pydantic_core"}


def test_recipes_need_pydantic_and_no_torch():
    modules = imported(
        "-c",
        "import mmtk.recipe.recipe, mmtk.registry.signature, mmtk.recipe.tables, mmtk.recipe.describe, "
        "mmtk.recipe.compatibility, mmtk.study.plan",
    )
    assert {module.partition(".")[0] for module in modules} & HEAVY == {"pydantic", "pydantic_core"}


def test_components_are_not_imported_before_a_recipe_names_them():
    modules = imported("-c", "import mmtk.api")
    assert "torch" in modules
    assert not [module for module in modules if module.startswith("mmtk.components.")]


def test_a_run_reaches_its_first_step_without_what_only_scores_or_draws():
    modules = imported("-c", "from mmtk.training.fabric import make_fabric; make_fabric('cpu', 'fp32')")
    assert "lightning_fabric" in modules
    assert {"torchmetrics", "torchvision", "matplotlib", "mlflow", "monai", "timm"} & modules == set()
