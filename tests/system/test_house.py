"""Names say what things are, and rules are switched off in few places."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest
from house import FILLER, bound_names, marks, survey, vague_openings

pytestmark = pytest.mark.xdist_group("house")  # one worker surveys the code, once


def test_names_have_a_noun() -> None:
    result = survey()
    assert result.names > 10_000
    assert result.filler_share < 0.01, result.filler


def test_every_binding_of_a_name_is_counted() -> None:
    text = "class A:\n    def f(self, place):\n        self.found, own = place, [each for each in place]\n"
    names = sorted(name for name, _ in bound_names(ast.parse(text)))
    assert names == ["A", "each", "f", "found", "own", "place", "self"]
    assert {"each", "found", "own", "place"} <= FILLER


def test_rules_are_switched_off_in_few_places() -> None:
    assert len(marks("noqa")) <= 10, marks("noqa")
    assert len(marks("fmt")) <= 5, marks("fmt")


def test_functions_describe_their_parameters() -> None:
    """All but one of four or more."""
    assert not survey().undescribed, survey().undescribed


def test_docstrings_begin_with_a_verb_or_a_noun() -> None:
    assert not survey().vague, survey().vague


def test_a_relative_clause_is_no_beginning() -> None:
    tree = ast.parse('"""Notes."""\ndef f():\n    """What it is."""\ndef g():\n    """Of two, the first."""\n')
    assert [line for _, line in vague_openings(tree)] == [2, 4]


def test_functions_and_modules_are_short() -> None:
    result = survey()
    assert len(result.long) <= 3, result.long
    long_modules = {name: lines for name, lines in result.modules.items() if lines > 350}
    assert not long_modules, long_modules


def test_modules_of_tests_have_names_of_their_own() -> None:
    """Two of one name cannot be collected in one session, and one of them then tests nothing."""
    root = Path(__file__).parents[2]
    names = [path.name for folder in ("tests", "plugins") for path in (root / folder).rglob("test_*.py")]
    assert [name for name, count in Counter(names).items() if count > 1] == []
