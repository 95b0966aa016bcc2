"""What a quick command must not import: the layers that keep ``--help`` instant."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny import tiny

import mmtk

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


@pytest.mark.long
def test_neither_components_nor_what_only_scores_or_draws_is_imported_before_the_first_step():
    none = "assert not [name for name in sys.modules if name.startswith('mmtk.components.')]"
    modules = imported("-c", f"import sys, mmtk.api; {none}; import mmtk.training.trainer")
    assert {"torch", "mmtk.training.assembly"} <= modules
    assert {"torchmetrics", "torchvision", "matplotlib", "mlflow", "monai", "timm"} & modules == set()


@pytest.mark.long
def test_a_run_imports_neither_compiler_nor_drawing_nor_libraries_of_scores(tmp_path):
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(tiny(train__steps=1, train__validate_every=1).toml())
    imported("-m", "mmtk", "check", str(recipe))  # a pass without data, which torch traces; its answer is kept
    modules = imported("-m", "mmtk", "run", str(recipe), "--no-pictures", "--out", str(tmp_path / "run"))
    assert {"torch", "pyarrow.parquet", "scipy.spatial"} <= modules
    costly = {"torch._dynamo", "sympy", "matplotlib", "mlflow", "torchmetrics", "torchvision", "timm"}
    assert (costly | {"scipy.stats"}) & modules == set()


POSIX = {"crypt", "fcntl", "grp", "nis", "posix", "pty", "pwd", "resource", "spwd", "syslog", "termios", "tty"}


def module_imports(tree: ast.AST) -> Iterator[str]:
    """The modules that a file imports when it is imported: not those of its functions and of type checking."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from module_imports(node)


def test_no_module_needs_a_posix_system_to_be_imported():
    package = Path(mmtk.__file__).parent
    found = {
        f"{path.relative_to(package)}: {name}"
        for path in package.rglob("*.py")
        for name in module_imports(ast.parse(path.read_text(encoding="utf-8")))
        if name.partition(".")[0] in POSIX
    }
    assert found == set()
    assert "fcntl" in set(module_imports(ast.parse("class A:\n    if True:\n        import fcntl")))
