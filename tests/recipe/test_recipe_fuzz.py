"""Whatever stands in a recipe or behind --set: it loads, or it is a message; never a traceback."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmtk.errors import MmtkError
from mmtk.recipe import toml
from mmtk.recipe.load import load_recipe
from mmtk.recipe.recipe import Recipe

QUICK = settings(deadline=None, max_examples=100, database=None, suppress_health_check=list(HealthCheck))
LONG = settings(deadline=None, max_examples=500, database=None, suppress_health_check=list(HealthCheck))

TEXTS = [path.read_text(encoding="utf-8") for path in sorted(toml.recipe_folder().rglob("*.toml"))]
COMPLETE = load_recipe("multimix").toml()
# What names a network or reads files is left alone, so that no large encoder is ever built.
LEAVES = [
    leaf for leaf in toml.leaves(load_recipe("multimix").values) if leaf[0][:7] not in ("encoder", "decoder")
]
KEYS = [key for key, _ in LEAVES]
TABLES = sorted({key.rpartition(".")[0] for key in KEYS} - {""})
WORDS = [
    "none",
    "kl",
    "confidence",
    "mixmatch",
    "saliency",
    "weak",
    "strong",
    "phantom",
    "dice",
    "cross-entropy",
    "full",
    "any",
    "classification",
    "segmentation",
    "cosine",
    "a/b",
    "mmtk/none",
    "",
    "\\",
    '"',
    "ü",
    "\0",
]

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.integers()
    | st.floats()
    | st.sampled_from(WORDS)
    | st.text(max_size=8)
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["use", "x", "size", "", "a.b"]), inner, max_size=3)
    ),
    max_leaves=5,
)
names = st.sampled_from(KEYS + TABLES) | st.sampled_from(TABLES).flatmap(
    lambda table: st.text("abcdeiloprstuwz_-. 0\"'=[]", min_size=1, max_size=9).map(lambda name: f"{table}.{name}")
)


def near(leaf: tuple[str, Any]) -> st.SearchStrategy[tuple[str, Any]]:
    """The key with a value of the type that it has, so that many recipes load."""
    key, value = leaf
    other: st.SearchStrategy[Any] = st.sampled_from(WORDS)
    if isinstance(value, bool):
        other = st.booleans()
    elif isinstance(value, int):
        other = st.integers(0, 64)
    elif isinstance(value, float):
        other = st.floats(0, 1)
    elif isinstance(value, list):
        other = st.lists(st.sampled_from(value or WORDS), max_size=3)
    return st.tuples(st.just(key), st.just(value) | other)


pairs = st.sampled_from(LEAVES).flatmap(near) | st.tuples(names, values)


def loads_or_explains(*arguments: Any, **keywords: Any) -> Recipe | None:
    """A recipe that survives its own TOML, or an MmtkError with something to read."""
    try:
        recipe = load_recipe(*arguments, **keywords)
    except MmtkError as error:
        said = str(error)
    else:
        return check_way_back(recipe)
    assert said.strip()
    assert "Traceback" not in said
    return None


def check_way_back(recipe: Recipe) -> Recipe:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.toml"
        path.write_text(recipe.toml(), encoding="utf-8")
        again = load_recipe(folder)
    assert again.values == recipe.values
    assert again.run_name == recipe.run_name
    return recipe


def loads_or_explains_text(text: str) -> Recipe | None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.toml"
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        return loads_or_explains(path)


@st.composite
def mutated_texts(draw: st.DrawFn) -> str:
    """A shipped file after a few edits: characters or lines cut, doubled, swapped or put in."""
    lines = draw(st.sampled_from([*TEXTS, COMPLETE])).splitlines(keepends=True)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(lines) - 1))
        other = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["cut", "double", "swap", "character", "insert"])):
            case "cut" if len(lines) > 1:
                del lines[at]
            case "double":
                lines.insert(other, lines[at])
            case "swap":
                lines[at], lines[other] = lines[other], lines[at]
            case "character" if lines[at]:
                column = draw(st.integers(0, len(lines[at]) - 1))
                new = draw(
                    st.sampled_from(["", "=", "[", "]", '"', ".", "{", "}", "1", "-", "#", "\n", "e", "\0"])
                )
                lines[at] = lines[at][:column] + new + lines[at][column + 1 :]
            case _:
                new = draw(st.text("abs.=[]{}\"'\n#1_ ", max_size=12))
                lines.insert(at, new + "\n")
    return "".join(lines)


@st.composite
def changed_values(draw: st.DrawFn) -> str:
    """A recipe in which some keys have other values or other names; it is valid TOML."""
    tree: dict[str, Any] = {"extends": draw(st.sampled_from(["multimix", "enc-ssl", "unet-ssl", "base"]))}
    for _ in range(draw(st.integers(1, 4))):
        key, value = draw(pairs)
        try:
            toml.put(tree, key, _toml(value))
        except (TypeError, AttributeError):  # a key below a value that was put before
            tree[key] = _toml(value)
    return tomli_w.dumps(tree)


def _toml(value: Any) -> Any:
    """TOML has no null."""
    if isinstance(value, dict):
        return {key: _toml(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_toml(each) for each in value]
    return "" if value is None else value


assignments = pairs.map(lambda pair: f"{pair[0]}={_shown(pair[1])}") | st.builds(
    "{}{}{}".format, names | st.text(max_size=8), st.sampled_from(["=", " = ", ""]), st.text(max_size=12)
)


def _shown(value: Any) -> str:
    """A value as a user may type it: TOML, or text without quotes."""
    return value if isinstance(value, str) else tomli_w.dumps({"v": _toml(value)}).removeprefix("v = ").strip()


texts = mutated_texts() | changed_values()
sets = st.lists(assignments, min_size=1, max_size=3)
mappings = st.lists(pairs, min_size=1, max_size=3).map(dict)


@QUICK
@given(texts)
def test_texts(text: str) -> None:
    loads_or_explains_text(text)


@QUICK
@given(sets)
def test_set_options(given_sets: list[str]) -> None:
    loads_or_explains("multimix", overrides=given_sets)


@settings(QUICK, max_examples=50)
@given(mappings)
def test_mappings(mapping: dict[str, Any]) -> None:
    loads_or_explains("multimix", overrides=mapping)


@pytest.mark.long
@LONG
@given(texts)
def test_many_texts(text: str) -> None:
    loads_or_explains_text(text)


@pytest.mark.long
@LONG
@given(sets)
def test_many_set_options(given_sets: list[str]) -> None:
    loads_or_explains("multimix", overrides=given_sets)


@pytest.mark.long
@LONG
@given(mappings)
def test_many_mappings(mapping: dict[str, Any]) -> None:
    loads_or_explains("multimix", overrides=mapping)


@pytest.mark.long
@LONG
@given(st.binary(max_size=64))
def test_any_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "r.toml"
        path.write_bytes(content)
        loads_or_explains(path)


@pytest.mark.parametrize("text", [COMPLETE, 'extends = "multimix"\n'])
def test_the_fuzz_has_something_to_break(text: str) -> None:
    assert loads_or_explains_text(text) is not None
