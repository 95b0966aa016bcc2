"""Layers of TOML: extends, merging, the place of every key, --set."""

from __future__ import annotations

import os
import tomllib

import pytest

from mmtk.errors import MmtkError
from mmtk.recipe import tables, toml
from mmtk.recipe.load import load_recipe
from mmtk.recipe.toml import Layer
from mmtk.registry.kinds import KINDS


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty current folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def refusal(call, *arguments):
    with pytest.raises(MmtkError) as caught:
        call(*arguments)
    return str(caught.value)


# --- lines ----------------------------------------------------------------------------------------------------

TEXT = '''\
# a comment with [brackets] and key = value
name = "x"          # 2
tasks = [
  "classification",
]
data.size = 64
"quoted" = 1
'single'."both" = 2

[ssl]               # 10
use = "none"
prose = """
[not.a.table]
threshold = 3
it's "quoted" \\""" still prose
"""
after = 1
[loss . segmentation]
  weight = 5.0
literal = \'\'\'
weight = 6
\'\'\'
inline = { a = 1, b = { c = 2 } }
[[things]]
x = 1
[[things]]
x = 2
["a"."b"]
text = "#no comment" # '\'\'
c = 1
'''


def test_the_text_of_this_test_is_toml():
    assert tomllib.loads(TEXT)["loss"]["segmentation"]["inline"]["b"]["c"] == 2


@pytest.mark.parametrize(
    ("key", "line"),
    [
        ("name", 2),
        ("tasks", 3),
        ("data.size", 6),
        ("quoted", 7),
        ("single.both", 8),
        ("ssl", 10),
        ("ssl.use", 11),
        ("ssl.prose", 12),
        ("ssl.after", 17),
        ("loss.segmentation", 18),
        ("loss.segmentation.weight", 19),
        ("loss.segmentation.literal", 20),
        ("loss.segmentation.inline", 23),
        ("things", 24),
        ("things.x", 25),
        ("a.b", 28),
        ("a.b.text", 29),
        ("a.b.c", 30),
    ],
)
def test_every_key_has_its_line(key, line):
    assert toml.key_lines(TEXT)[key] == line


def test_prose_and_comments_set_no_keys():
    lines = toml.key_lines(TEXT)
    assert not {"not.a.table", "not.a.table.threshold", "key", "ssl.threshold"} & set(lines)


def test_windows_line_ends_and_a_byte_order_mark(here):
    path = here / "r.toml"
    path.write_bytes(b'\xef\xbb\xbfname = "x"\r\n\r\n[ssl]\r\nuse = "none"\r\n')
    layer = toml.read(path)
    assert layer.values == {"name": "x", "ssl": {"use": "none"}}
    assert layer.places["ssl.use"] == f"{path}:4"


def test_a_key_of_an_inline_table_has_the_line_of_its_table(here):
    layer = toml.read(write(here / "r.toml", '\n\nssl = { use = "none", deep = { x = 1 } }\n'))
    assert layer.places["ssl.use"] == layer.places["ssl.deep.x"] == f"{here}/r.toml:3"


def test_a_table_that_only_dotted_keys_make_has_their_place(here):
    layer = toml.read(write(here / "r.toml", "\ndata.size = 3\n"))
    assert layer.location("data") == f"{here}/r.toml:2"
    assert layer.location("dat") is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[data\nsize = 3", ["r.toml: is not valid TOML:", "line 1"]),
        (b"a = 1\n\nb = = 2\n", ["line 3"]),
        (b"a = 1\na = 2\n", ["not valid TOML", "overwrite"]),
        (b"\xff\xfe", ["r.toml: cannot be read"]),
        (b"a = " + b"9" * 5000, ["not valid TOML"]),
        (b"a = " + b"[" * 3000 + b"]" * 3000, ["not valid TOML"]),
        (b"a = 2020-13-45", ["not valid TOML"]),
        (b"[" + b".".join([b"a"] * 3000) + b"]\nx = 1", ["a: is nested too deeply"]),
        (b"a = " + b"[" * 40 + b"]" * 40, ["r.toml:1: a: is nested too deeply"]),
        (b'\n"data.size" = 3', ['r.toml:2: "data.size" is not a key']),
        (b'[train]\n"" = 3', ['r.toml:2: "" is not a key']),
        (b'x = [{ "a b" = 1 }]', ['r.toml:1: "a b" is not a key']),
    ],
)
def test_a_file_that_cannot_be_read_is_named_with_the_line(here, content, words):
    (here / "r.toml").write_bytes(content)
    text = refusal(toml.read, here / "r.toml")
    for word in words:
        assert word in text


def test_a_missing_file_is_named(here):
    assert "nowhere.toml: cannot be read: No such file" in refusal(toml.read, here / "nowhere.toml")


# --- finding --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["multimix", "multimix.toml", "recipes/multimix.toml", "recipes/multimix"])
def test_shipped_recipes_are_found_from_anywhere(here, name):
    assert toml.locate(name) == toml.recipe_folder() / "multimix.toml"


@pytest.mark.parametrize("name", ["phantom", "phantom.toml", "recipes/profiles/phantom.toml", "profiles/phantom"])
def test_shipped_profiles_are_found_from_anywhere(here, name):
    assert toml.locate(name, "profiles") == toml.recipe_folder() / "profiles" / "phantom.toml"


def test_a_folder_of_the_same_name_does_not_hide_what_ships(here):
    (here / "multimix").mkdir()
    (here / "phantom").mkdir()
    assert toml.locate("multimix").parent == toml.recipe_folder()
    assert toml.locate("phantom", "profiles").stem == "phantom"


def test_a_file_comes_before_what_ships(here):
    write(here / "multimix.toml", "")
    assert toml.locate("multimix.toml").resolve() == here / "multimix.toml"
    assert toml.locate("multimix").parent == toml.recipe_folder()


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("multimx", ["No recipe 'multimx'", "Did you mean 'multimix'?", "Shipped: base, enc"]),
        ("other/multimix.toml", ["No recipe 'other/multimix.toml'", "no such file"]),
        ("phantom", ["No recipe 'phantom'"]),
        (".", [". is a folder, not a recipe", "recipe.toml"]),
        ("..", ["is a folder, not a recipe"]),
        ("", ["No recipe ''"]),
        ("\0", ["No recipe"]),
        ("x" * 5000, ["No recipe"]),
        ("../recipes/../mmtk", ["No recipe"]),
    ],
)
def test_what_is_no_recipe_is_said(here, name, words):
    text = refusal(toml.locate, name)
    for word in words:
        assert word in text


def test_data_in_place_of_a_recipe_come_with_the_way_to_train_on_them(here):
    plan = "mmtk data plan FOLDER writes a profile"
    kinds = {
        "films.csv": "a table",
        "labels.XLSX": "a table",
        "films.zip": "an archive",
        "f.dcm": "an image",
        "l.csv.gz": "a table",
    }
    for name, kind in kinds.items():
        (here / name).write_bytes(b"")
        for what in ("recipe", "profile", "suite"):
            text = refusal(toml.locate, name, {"recipe": "", "profile": "profiles", "suite": "suites"}[what])
            assert f"{name} is {kind}, not a {what}." in text
            assert plan in text
    assert "films.csv is a table, not a profile." in refusal(load_recipe, "multimix", str(here / "films.csv"))
    (here / "my films").mkdir()
    assert "For films in it, mmtk data plan 'my films' writes a profile." in refusal(toml.locate, "my films")
    (here / "my films/study.json").write_text("{}")
    assert "It is a study: mmtk ablate 'my films' continues it." in refusal(toml.locate, "my films")


# --- extends --------------------------------------------------------------------------------------------------


def test_parents_come_in_order_and_the_file_last(here):
    write(here / "one.toml", "a = 1\nb = 1\nc = 1\n")
    write(here / "two.toml", "\nb = 2\nc = 2\n")
    path = write(here / "sub" / "three.toml", 'extends = ["../one.toml", "../two.toml"]\nc = 3\n')
    layer = toml.with_parents(path)
    assert layer.values == {"a": 1, "b": 2, "c": 3}
    assert [os.path.relpath(layer.places[key], here / "sub") for key in "abc"] == [
        "../one.toml:1",
        "../two.toml:2",
        "three.toml:2",
    ]
    assert "extends" not in layer.places


@pytest.mark.parametrize("parent", ["base.toml", "base", "multimix"])
def test_a_recipe_anywhere_extends_what_ships(here, parent):
    layer = toml.with_parents(write(here / "far" / "mine.toml", f'extends = "{parent}"\nname = "mine"\n'))
    assert layer.values["name"] == "mine"
    assert layer.values["encoder"]["use"] == "unet"


def test_the_file_beside_comes_before_what_ships(here):
    write(here / "base.toml", "a = 1")
    assert toml.with_parents(write(here / "mine.toml", 'extends = "base.toml"')).values == {"a": 1}


def test_a_grandparent_is_relative_to_its_child(here):
    write(here / "top.toml", "a = 1")
    write(here / "x" / "mid.toml", 'extends = "../top.toml"')
    assert toml.with_parents(write(here / "leaf.toml", 'extends = "x/mid.toml"')).values == {"a": 1}


def test_a_circle_is_named(here):
    write(here / "a.toml", 'extends = "b.toml"')
    write(here / "b.toml", 'extends = "a.toml"')
    assert "extends itself: a.toml → b.toml → a.toml" in refusal(toml.with_parents, here / "a.toml")
    write(here / "c.toml", 'extends = ["c.toml"]')
    assert "extends itself: c.toml → c.toml" in refusal(toml.with_parents, here / "c.toml")


def test_a_diamond_is_no_circle(here):
    write(here / "top.toml", "a = 1")
    write(here / "l.toml", 'extends = "top.toml"')
    write(here / "r.toml", 'extends = "top.toml"')
    assert toml.with_parents(write(here / "d.toml", 'extends = ["l.toml", "r.toml"]')).values == {"a": 1}


def test_a_missing_parent_is_named_with_line_and_nearest(here):
    path = write(here / "mine.toml", '# mine\nextends = "multimx.toml"')
    text = refusal(toml.with_parents, path)
    assert text.startswith(f"{path}:2: extends: No recipe 'multimx.toml'")
    assert "Did you mean 'multimix'?" in text


@pytest.mark.parametrize("value", ["3", "true", "[1]", "{ a = 1 }", '[["base.toml"]]'])
def test_extends_of_another_type(here, value):
    text = refusal(toml.with_parents, write(here / "mine.toml", f"extends = {value}"))
    assert text == f"{here}/mine.toml:1: extends: should be a name, a path or a list of them."


# --- merging --------------------------------------------------------------------------------------------------


def layer(text, source):
    return Layer(tomllib.loads(text), {key: f"{source}:{line}" for key, line in toml.key_lines(text).items()})


def test_tables_merge_key_by_key_and_lists_replace():
    base = layer("a = 1\nlist = [1, 2]\n[t]\nx = 1\n[t.u]\ny = 1\n", "base")
    over = layer("list = [3]\n[t]\nz = 2\n[t.u]\ny = 5\n", "over")
    merged = toml.merge(base, over)
    assert merged.values == {"a": 1, "list": [3], "t": {"x": 1, "z": 2, "u": {"y": 5}}}
    assert merged.places["a"] == "base:1"
    assert merged.places["list"] == "over:1"
    assert merged.places["t.x"] == "base:4"
    assert merged.places["t.u.y"] == "over:5"
    assert not merged.problems


def test_merging_changes_neither_layer():
    base, over = layer("[t]\nx = 1\n[t.u]\ny = 1\n", "base"), layer("[t.u]\ny = 2\n", "over")
    toml.merge(base, over).values["t"]["new"] = 1
    assert base.values == {"t": {"x": 1, "u": {"y": 1}}}
    assert over.values == {"t": {"u": {"y": 2}}}


def test_another_use_replaces_the_whole_table_and_forgets_its_lines():
    base = layer('[ssl]\nuse = "confidence"\nthreshold = 0.9\n', "base")
    merged = toml.merge(base, layer('[ssl]\nuse = "mixmatch"\n', "over"))
    assert merged.values == {"ssl": {"use": "mixmatch"}}
    assert "ssl.threshold" not in merged.places


@pytest.mark.parametrize("over", ['[ssl]\nuse = "confidence"\nweight = 1.0\n', "[ssl]\nweight = 1.0\n"])
def test_the_same_use_or_none_keeps_the_keys(over):
    base = layer('[ssl]\nuse = "confidence"\nthreshold = 0.9\n', "base")
    merged = toml.merge(base, layer(over, "over"))
    assert merged.values["ssl"] == {"use": "confidence", "threshold": 0.9, "weight": 1.0}


@pytest.mark.parametrize(
    ("base", "over", "text"),
    [
        ("[ssl]\nuse = 'a'", "ssl = 'none'", "over:1: ssl: a value here, but a table in base:1.\n  Write ssl.use"),
        ("data = 3", "[data]\nsize = 1", "base:1: data: a value here, but a table in over:1."),
        ("[data]\nsize = 1", "data = []", "over:1: data: a value here, but a table in base:1."),
        ("[data]\nsize = 1", "[data.size]\nx = 1", "base:2: data.size: a value here, but a table in over:1."),
    ],
)
def test_a_value_and_a_table_do_not_merge_and_the_table_stays(base, over, text):
    one, two = layer(base, "base"), layer(over, "over")
    merged = toml.merge(one, two)
    assert str(merged.problems[0]).startswith(text)
    assert len(merged.problems) == 1
    assert isinstance(merged.values["ssl" if "ssl" in base else "data"], dict)
    assert toml.merge(merged, Layer({})).problems == merged.problems


# --- --set ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "key", "value"),
    [
        ("ssl.threshold=0.9", "ssl.threshold", 0.9),
        ("train.steps = 10", "train.steps", 10),
        ("train.lr=1e-3", "train.lr", 1e-3),
        ("data.x=true", "data.x", True),
        ("encoder.use=timm", "encoder.use", "timm"),
        ('name="a = b"', "name", "a = b"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("labels=full", "labels", "full"),
        ('tasks=["segmentation"]', "tasks", ["segmentation"]),
        ("ssl={use='none', x=1}", "ssl", {"use": "none", "x": 1}),
        ("name=1\nother=2", "name", "1\nother=2"),
        ("name=" + "[" * 3000, "name", "[" * 3000),
        ("seed=" + "9" * 5000, "seed", "9" * 5000),
        ("train.lr=1 # as in the paper", "train.lr", 1),
    ],
)
def test_an_assignment_is_toml_or_plain_text(text, key, value):
    assert toml.assignment(text) == (key, value)


def test_an_assignment_without_equals_sign():
    assert refusal(toml.assignment, "train.lr") == "--set train.lr: no '='. Write it like ssl.threshold=0.9."


def test_a_list_and_a_mapping_make_the_same_layer():
    one = toml.parse_set(["ssl.use=none", "train.lr=0.5", "ssl.x=1"])
    two = toml.parse_set({"ssl.use": "none", "train.lr": 0.5, "ssl.x": 1})
    assert one == two
    assert one.values == {"ssl": {"use": "none", "x": 1}, "train": {"lr": 0.5}}
    assert one.places["ssl.x"] == "--set"


def test_a_table_of_the_command_line_is_laid_on_what_was_set_before() -> None:
    for sets, expected in (
        (["data.size=32", "data={}"], {"data": {"size": 32}}),
        (["data.size=32", "data.leaks=allow", "data={size=64}"], {"data": {"size": 64, "leaks": "allow"}}),
        (["ssl={use='none', x=1}", "ssl={x=2}"], {"ssl": {"use": "none", "x": 2}}),
        (["ssl={use='none', x=1}", "ssl={use='kl'}"], {"ssl": {"use": "kl"}}),  # another component, other keys
    ):
        layer = toml.parse_set(sets)
        assert layer.values == expected, sets
        assert {key for key, _ in toml.leaves(expected)} <= {*layer.places}, sets


def test_a_table_given_as_one_value_has_places_too():
    assert toml.parse_set(["ssl={use='none', x=1}"]).places == {
        "ssl": "--set",
        "ssl.use": "--set",
        "ssl.x": "--set",
    }


@pytest.mark.parametrize("text", ["=3", "a..b=3", ".a=3", "a.=3", "a b=3", "a.'b'=3", "ünïcode=3"])
def test_what_is_no_key(text):
    assert ": not a key. Write it like ssl.threshold=0.9." in refusal(toml.parse_set, [text])


def test_odd_keys_inside_a_value_are_refused():
    assert '"a.b" is not a key' in refusal(toml.parse_set, ['metric={"a.b"={use="x"}}'])


def test_a_value_has_no_keys():
    assert "'data' was set to a value before" in refusal(toml.parse_set, ["data=3", "data.size=4"])


def test_nothing_set_is_an_empty_layer():
    assert toml.parse_set(()) == toml.parse_set({}) == Layer({})


# --- dotted keys ----------------------------------------------------------------------------------------------


def test_get_has_put_drop_and_leaves():
    values = {"a": {"b": {"c": 1}, "n": None}, "d": [1], "e": {}}
    assert toml.get(values, "a.b.c") == 1
    assert toml.get(values, "a.b.x", 7) == 7
    assert toml.get(values, "d.x", 7) == 7
    assert toml.has(values, "a.n")
    assert not toml.has(values, "a.x")
    assert list(toml.leaves(values)) == [("a.b.c", 1), ("a.n", None), ("d", [1])]
    toml.put(values, "x.y.z", 2)
    assert values["x"] == {"y": {"z": 2}}
    toml.drop(values, "x.y.z")
    assert "x" not in values
    toml.drop(values, "a.b.c")
    assert values["a"] == {"n": None}
    for absent in ("nope", "a.nope.deep", "d.x"):
        toml.drop(values, absent)
    assert set(values) == {"a", "d", "e"}


# --- what stays, and what is a recipe's own ------------------------------------------------------------------


def test_the_keys_that_stay_are_those_that_the_host_adds_to_every_component_of_a_kind():
    """But for an encoder's weights file: no other encoder can read it."""
    host = {name: keys for name, kind in KINDS.items() if (keys := tuple(key for key, _, _ in kind.added_keys))}
    assert host.pop("encoder") == ("weights",)
    assert {place: host[kind] for place, kind in tables.PLACES.items() if kind in host} == toml.LASTING


def test_another_component_keeps_the_host_s_keys_with_their_place_and_none_of_its_own(here):
    base = toml.read(write(here / "a.toml", '[loss.segmentation]\nuse = "a"\nweight = 5.0\nsmooth = 1\n'))
    over = toml.read(write(here / "b.toml", '[loss.segmentation]\nuse = "b"\nedge = 2\n'))
    merged = toml.merge(base, over)
    assert merged.values["loss"]["segmentation"] == {"use": "b", "weight": 5.0, "edge": 2}
    assert merged.location("loss.segmentation.weight").endswith("a.toml:3")
    assert "loss.segmentation.smooth" not in merged.places
    again = toml.merge(merged, toml.parse_set({"loss.segmentation.use": "c", "loss.segmentation.weight": 2}))
    assert again.values["loss"]["segmentation"] == {"use": "c", "weight": 2}
    assert again.location("loss.segmentation.weight") == "--set"


def test_what_a_recipe_says_of_its_ablations_is_not_inherited(here):
    write(here / "a.toml", 'name = "A"\nothers = "off"\n')
    write(here / "b.toml", 'extends = "a.toml"\n')
    merged = toml.with_parents(write(here / "c.toml", 'extends = "b.toml"\nothers = "keep"\n'))
    assert toml.with_parents(here / "b.toml").values == {"name": "A"}
    assert merged.values == {"name": "A", "others": "keep"}
