"""Numbers of things read as a person writes them, in every message."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmtk
from mmtk.counts import counted, share

NUMBER = re.compile(r"\b(len|sum)\(|:,")  # of an expression that gives a number of things
PLURAL = re.compile(r" (of the )?(new |other |test )?(?!has|takes)[a-z]+[^s\W]s\b")


@pytest.mark.parametrize(
    ("number", "words", "expected"),
    [
        (0, ("image",), "0 images"),
        (1, ("image",), "1 image"),
        (2, ("image",), "2 images"),
        (1234, ("image",), "1,234 images"),
        (1, ("class", "classes"), "1 class"),
        (2, ("class", "classes"), "2 classes"),
        (1, ("row has", "rows have"), "1 row has"),
        (3, ("row has", "rows have"), "3 rows have"),
    ],
)
def test_a_noun_has_the_number_in_front_of_it(number, words, expected):
    assert counted(number, *words) == expected


@pytest.mark.parametrize(
    ("number", "total", "expected"),
    [
        (0, 3, "0 of 3 images have no mask"),
        (1, 3, "1 of 3 images has no mask"),
        (2, 3, "2 of 3 images have no mask"),
        (3, 3, "all 3 images have no mask"),
        (2, 2, "both images have no mask"),
        (1, 1, "the one image has no mask"),
    ],
)
def test_a_share_is_never_three_of_the_three(number, total, expected):
    assert share(number, total, "image", "has no mask", "have no mask") == expected


def numbered_plurals(path: Path) -> Iterator[str]:
    """Places of a source file where an f-string puts a number of things before a plural."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if (
                    isinstance(value, ast.FormattedValue)
                    and isinstance(text, ast.Constant)
                    and NUMBER.search(ast.unparse(ast.JoinedStr([value])))
                    and (found := PLURAL.match(text.value))
                ):
                    yield f"{path.name}:{value.lineno}: {ast.unparse(value.value)}{found[0]}"


def test_no_message_writes_a_plural_behind_a_number_by_itself(tmp_path):
    folder = Path(mmtk.__file__).parent
    assert [place for path in sorted(folder.rglob("*.py")) for place in numbered_plurals(path)] == []
    (tmp_path / "wrong.py").write_text('say(f"{len(found)} images, {count:,} rows, {len(found)} of the files")')
    assert [place.split(": ")[1] for place in numbered_plurals(tmp_path / "wrong.py")] == [
        "len(found) images",
        "count rows",
        "len(found) of the files",
    ]
