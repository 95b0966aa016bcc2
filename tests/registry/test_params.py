"""Signatures as schemas: strict types, every problem at once, wiring by name."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from mmtk.errors import MmtkError
from mmtk.registry import signature


class Plain:
    def __init__(
        self,
        supervised: object,
        classes: int = 2,
        *,
        threshold: Annotated[float, Field(ge=0, le=1)] = 0.7,
        count: int = 1,
        on: bool = False,
        word: str = "a",
        mode: Literal["fast", "slow"] = "fast",
        labels: Annotated[int, Field(ge=1)] | Literal["full"] = "full",
        limit: float | None = None,
        names: tuple[str, ...] = (),
        pair: tuple[int, int] = (1, 2),
        sizes: list[Annotated[int, Field(ge=1)]] = [1],  # noqa: B006 - never changed
        pairs: tuple[tuple[str, int], ...] = (),
    ) -> None:
        self.given = {key: value for key, value in locals().items() if key != "self"}


class Needs:
    def __init__(self, *, weight: float, name: str) -> None:
        self.weight, self.name = weight, name


class Bare:
    pass


class Open:
    def __init__(self, **keys: int) -> None: ...


class OpenPositions:
    def __init__(self, *things: int) -> None: ...


class Untyped:
    def __init__(self, *, weight=1.0) -> None: ...


class Unknown:
    def __init__(self, *, weight: NoSuchName = 1.0) -> None: ...  # noqa: F821


class Unspeakable:
    def __init__(self, *, thing: Bare = Bare()) -> None: ...  # noqa: B008


def check(component, values, where=None, tables=()):
    return signature.validate(
        signature.schema(component), {"use": "x", **values}, "ssl", (where or {}).get, tables
    )


def problems(component, values, **rest):
    values, found = check(component, values, **rest)
    assert values == {}
    return [str(problem) for problem in found]


def test_keyword_only_parameters_are_the_keys_and_positional_ones_are_wired():
    assert set(signature.schema(Plain).model_fields) == {
        "use",
        "threshold",
        "count",
        "on",
        "word",
        "mode",
        "labels",
        "limit",
        "names",
        "pair",
        "sizes",
        "pairs",
    }
    assert signature.wired(Plain) == {"supervised": True, "classes": False}


def test_a_class_without_an_init_has_no_keys():
    assert set(signature.schema(Bare).model_fields) == {"use"}
    assert signature.wired(Bare) == {}


def test_defaults_are_filled_in_and_none_is_left_out():
    values, found = check(Plain, {})
    assert not found
    assert values == {
        "use": "x",
        "threshold": 0.7,
        "count": 1,
        "on": False,
        "word": "a",
        "mode": "fast",
        "labels": "full",
        "names": [],
        "pair": [1, 2],
        "sizes": [1],
        "pairs": [],
    }


@pytest.mark.parametrize(
    ("key", "value", "kept"),
    [
        ("threshold", 1, 1.0),
        ("threshold", 0, 0.0),
        ("threshold", 0.25, 0.25),
        ("count", -3, -3),
        ("on", True, True),
        ("labels", 5, 5),
        ("labels", "full", "full"),
        ("limit", 2, 2.0),
        ("names", ["a", "b"], ["a", "b"]),
        ("names", ("a", "b"), ["a", "b"]),
        ("pair", [3, 4], [3, 4]),
        ("sizes", [1, 2], [1, 2]),
        ("pairs", [["a", 1], ["b", 2]], [["a", 1], ["b", 2]]),
    ],
)
def test_what_fits_is_kept(key, value, kept):
    values, found = check(Plain, {key: value})
    assert not found
    assert values[key] == kept
    assert type(values[key]) is type(kept)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("threshold", "0.5", 'ssl.threshold: should be a number, got "0.5".'),
        ("threshold", True, "ssl.threshold: should be a number, got true."),
        ("threshold", 1.5, "ssl.threshold: should be less than or equal to 1, got 1.5."),
        ("threshold", -1, "ssl.threshold: should be greater than or equal to 0, got -1."),
        ("threshold", math.nan, "ssl.threshold: should be a finite number, got NaN."),
        ("threshold", math.inf, "ssl.threshold: should be a finite number, got Infinity."),
        ("threshold", {"a": 1}, 'ssl.threshold: should be a number, got {"a": 1}.'),
        ("threshold", [0.5], "ssl.threshold: should be a number, got [0.5]."),
        ("count", "3", 'ssl.count: should be an integer, got "3".'),
        ("count", 3.0, "ssl.count: should be an integer, got 3.0."),
        ("count", True, "ssl.count: should be an integer, got true."),
        ("on", 1, "ssl.on: should be true or false, got 1."),
        ("on", "true", 'ssl.on: should be true or false, got "true".'),
        ("word", 3, "ssl.word: should be text, got 3."),
        ("mode", "quick", "ssl.mode: should be 'fast' or 'slow', got \"quick\"."),
        ("labels", "ful", "ssl.labels: should be an integer or 'full', got \"ful\"."),
        ("labels", 0, "ssl.labels: should be greater than or equal to 1 or 'full', got 0."),
        ("names", "ab", 'ssl.names: should be a list, got "ab".'),
        ("names", [1], "ssl.names: should be text, got 1."),
        ("sizes", [0], "ssl.sizes: should be greater than or equal to 1, got 0."),
        ("word", "x" * 100, None),
    ],
)
def test_what_does_not_fit_is_one_sentence(key, value, text):
    if text is None:
        assert check(Plain, {key: value})[0][key] == value
    else:
        assert problems(Plain, {key: value}) == [text]


@pytest.mark.parametrize("value", [[1], [1, 2, 3], ["a", "b"]])
def test_a_pair_is_two_numbers(value):
    assert all(text.startswith("ssl.pair: should ") for text in problems(Plain, {"pair": value}))


def test_a_long_value_is_cut():
    (text,) = problems(Plain, {"count": "x" * 1000})
    assert len(text) < 120


def test_an_unknown_key_gets_the_nearest_and_the_list():
    (text,) = problems(Needs, {"weigth": 1.0, "weight": 1.0, "name": "a"})
    assert text == "ssl.weigth: unknown key. Did you mean 'weight'? Keys here: name, weight."
    (text,) = problems(Bare, {"weight": 1.0})
    assert text == "ssl.weight: unknown key. Keys here: none."
    (text,) = problems(Bare, {"sorce": 1.0}, tables=["source"])
    assert text == "ssl.sorce: unknown key. Did you mean 'source'? Keys here: source."


def test_all_problems_come_at_once_with_their_lines():
    where = {"ssl": "r.toml:3", "ssl.threshold": "r.toml:4", "ssl.treshold": "r.toml:5"}
    found = problems(Plain, {"threshold": 2, "treshold": 0.5, "count": "a", "on": 3}, where=where)
    assert len(found) == 4
    assert any(text.startswith("r.toml:4: ssl.threshold: should be less") for text in found)
    assert any(text.startswith("r.toml:5: ssl.treshold: unknown key") for text in found)
    assert any(text.startswith("r.toml:3: ssl.count: should be an integer") for text in found)


def test_a_key_without_default_is_missing():
    assert problems(Needs, {"weight": 1}, where={"ssl": "r.toml:3"}) == [
        "r.toml:3: ssl.name: missing. It has no default."
    ]


def test_keys_of_the_host_are_added():
    weight: signature.HostKey = ("weight", Annotated[float, Field(ge=0)], 1.0)
    model = signature.schema(Bare, (weight,))
    assert signature.validate(model, {"use": "x"}, "loss", {}.get) == ({"use": "x", "weight": 1.0}, [])
    _, found = signature.validate(model, {"use": "x", "weight": -1}, "loss", {}.get)
    assert "greater than or equal to 0" in str(found[0])
    assert set(signature.schema(Bare).model_fields) == {"use"}


@pytest.mark.parametrize(
    ("component", "words"),
    [
        (Open, ["Open.__init__ takes **keys", "cannot be known", "keyword-only"]),
        (OpenPositions, ["OpenPositions.__init__ takes *things"]),
        (Untyped, ["Untyped: the key 'weight' has no type", "weight: float = 0.5"]),
        (Unknown, ["annotations of Unknown.__init__ cannot be read", "NoSuchName", "importable"]),
        (Unspeakable, ["Unspeakable", "type that no recipe can hold", "Bare"]),
    ],
)
def test_signatures_that_are_no_schema_are_refused(component, words):
    with pytest.raises(MmtkError) as caught:
        signature.schema(component)
    for word in words:
        assert word in str(caught.value)


def test_construct_wires_by_name_and_gives_the_declared_types():
    keys = {"threshold": 1, "names": ["a"], "pair": [3, 4], "pairs": [["a", 1]]}
    made = signature.construct(Plain, "ssl/plain", {"supervised": "S", "unused": 1}, keys)
    assert made.given["supervised"] == "S"
    assert made.given["classes"] == 2
    assert made.given["names"] == ("a",)
    assert made.given["pair"] == (3, 4)
    assert made.given["pairs"] == (("a", 1),)
    assert made.given["threshold"] == 1.0
    assert made.given["limit"] is None
    assert signature.construct(Plain, "ssl/plain", {"supervised": "S", "classes": 7}, {}).given["classes"] == 7


def test_construct_names_what_is_offered():
    with pytest.raises(MmtkError) as caught:
        signature.construct(Plain, "ssl/plain", {"supervise": 1, "root": 2}, {})
    text = str(caught.value)
    assert "ssl/plain asks for 'supervised', which is not offered to it." in text
    assert "Did you mean 'supervise'? Offered here: root, supervise." in text
    assert "put them behind a '*'" in text


class Fails:
    def __init__(self, *, error: str = "value") -> None:
        if error == "value":
            raise ValueError("these keys exclude each other\nand a long story")
        if error == "ours":
            raise MmtkError("as it is", hint="cure")
        raise FileNotFoundError(2, "No such file", "there")


def test_what_a_component_raises_is_a_message_that_names_it():
    with pytest.raises(MmtkError) as caught:
        signature.construct(Fails, "ssl/fails", {}, {})
    assert "ssl/fails cannot be made with these keys: ValueError: these keys exclude each other\n" in str(
        caught.value
    )
    assert isinstance(caught.value.__cause__, ValueError)


@pytest.mark.parametrize(("error", "kind"), [("ours", MmtkError), ("file", FileNotFoundError)])
def test_what_explains_itself_passes(error: str, kind: Any):
    with pytest.raises(kind, match=r"as it is|No such file"):
        signature.construct(Fails, "ssl/fails", {}, {"error": error})


def test_text_that_is_not_unicode_is_refused():
    (text,) = problems(Plain, {"word": "\udcff"})
    assert text.startswith("ssl: ")
    assert "surrogate" in text
