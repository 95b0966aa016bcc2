"""The catalog: names from tables and metadata alone, and messages that name whose fault it is."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from pathlib import Path

import pytest
from fake_plugin import alone, install, refresh

from mmtk.errors import MmtkError
from mmtk.registry import catalog
from mmtk.registry.kinds import KINDS

GOOD = "class Entropy:\n    '''Add the entropy.'''\n"


@pytest.fixture(autouse=True)
def site(tmp_path, monkeypatch):
    """An empty folder on sys.path where plugins can be installed; the machine's own plugins do not count."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MMTK_PLUGINS", raising=False)
    before = set(sys.modules)
    alone(monkeypatch, tmp_path)
    yield tmp_path
    for name in set(sys.modules) - before:
        if getattr(sys.modules[name], "__file__", None) and str(tmp_path) in sys.modules[name].__file__:
            del sys.modules[name]
    monkeypatch.undo()
    catalog.offer(None)
    refresh()


def message(kind, name):
    with pytest.raises(MmtkError) as caught:
        catalog.load(catalog.find(kind, name))
    return str(caught.value)


def test_a_builtin_is_found_by_its_word_and_by_its_full_name():
    entry = catalog.find("ssl", "confidence")
    assert (entry.word, entry.dist, entry.version) == ("ssl/confidence", "mmtk", catalog.version())
    assert catalog.find("ssl", "mmtk/confidence") == entry


def test_every_builtin_target_is_a_module_and_a_class_of_this_package():
    for entry in catalog.entries():
        if entry.dist == catalog.OURS:
            module, _, name = entry.target.partition(":")
            source = importlib.util.find_spec(module).origin
            with open(source, encoding="utf-8") as file:
                assert f"class {name}(" in file.read(), entry


def test_entries_are_ordered_by_kind_and_name_and_filtered_by_kind():
    words = [([*KINDS].index(e.kind), e.name) for e in catalog.entries()]
    assert words == sorted(words)
    assert {e.name for e in catalog.entries("bridge")} >= {"none", "saliency"}
    assert {e.kind for e in catalog.entries("bridge")} == {"bridge"}


@pytest.mark.parametrize("kind", ["ssl", "consistency", "bridge", "augment"])
def test_every_kind_that_can_be_ablated_has_a_component_called_none(kind):
    assert catalog.find(kind, "none").name == "none"


def test_an_unknown_name_gets_the_nearest_and_the_list():
    text = message("ssl", "confidense")
    assert text.startswith("No ssl component is called 'confidense'. Did you mean 'confidence'? Known: ")
    assert "confidence, mixmatch, none" in text


def test_a_name_of_another_kind_is_said_to_be_one():
    assert "'saliency' is a bridge, not an ssl." in message("ssl", "saliency")
    assert "'timm' is an encoder, not a bridge." in message("bridge", "timm")


@pytest.mark.parametrize("name", ["", "/", "a/b/c", "nobody/none", "none/", "\0", "x" * 5000])
def test_odd_names_are_unknown_not_a_crash(name):
    assert message("ssl", name).startswith("No ssl component is called")


def test_a_third_party_component_is_listed_found_and_loaded(site):
    install(site, "mmtk-entropy", {"ssl/entropy": "mmtk_entropy:Entropy"}, modules={"mmtk_entropy": GOOD})
    entry = catalog.find("ssl", "entropy")
    assert (entry.dist, entry.version, entry.target) == ("mmtk-entropy", "1.0", "mmtk_entropy:Entropy")
    assert entry in catalog.entries("ssl")
    assert catalog.find("ssl", "mmtk-entropy/entropy") == catalog.find("ssl", "mmtk_Entropy/entropy") == entry
    assert catalog.load(entry).__name__ == "Entropy"


def test_a_nested_class_can_be_an_entry_point(site):
    install(
        site,
        "mmtk-deep",
        {"ssl/deep": "deepmod:Outer.Inner"},
        modules={"deepmod": "class Outer:\n class Inner: 1"},
    )
    assert catalog.load(catalog.find("ssl", "deep")).__qualname__ == "Outer.Inner"


def test_discovery_imports_nothing(site):
    install(site, "mmtk-loud", {"ssl/loud": "loudmod:X"}, modules={"loudmod": "raise RuntimeError('imported')"})
    before = set(sys.modules)
    assert "loud" in {entry.name for entry in catalog.entries("ssl")}
    assert catalog.find("ssl", "loud").target == "loudmod:X"
    assert catalog.find("ssl", "none").dist == "mmtk"
    assert not {"loudmod"} & (set(sys.modules) - before)


def test_an_import_error_names_distribution_target_cause_and_cure(site):
    install(site, "mmtk-bad", {"ssl/bad": "badmod:Bad"}, modules={"badmod": "import nope_nope"})
    assert message("ssl", "bad") == (
        "ssl/bad comes from mmtk-bad 1.0 (badmod:Bad) and could not be imported:\n"
        "    ModuleNotFoundError: No module named 'nope_nope'\n"
        "  Reinstall or remove mmtk-bad; nothing else in mmtk depends on it."
    )


@pytest.mark.parametrize(
    ("code", "target", "cause"),
    [
        ("", "gonemod:Gone", "AttributeError: module 'gonemod' has no attribute 'Gone'"),
        ("def (", "gonemod:Gone", "SyntaxError"),
        ("1 / 0", "gonemod:Gone", "ZeroDivisionError"),
        ("import sys\nsys.exit(3)", "gonemod:Gone", "SystemExit: 3"),
        ("", "no_such_module:Gone", "ModuleNotFoundError"),
        ("", "gonemod", "AttributeError"),
        ("", ":", "ValueError"),
    ],
)
def test_whatever_an_import_raises_is_a_message(site, code, target, cause):
    install(site, "mmtk-gone", {"ssl/gone": target}, modules={"gonemod": code})
    text = message("ssl", "gone")
    assert cause in text
    assert "mmtk-gone 1.0" in text


def test_an_entry_point_that_is_no_class(site):
    install(site, "mmtk-func", {"ssl/func": "funcmod:make"}, modules={"funcmod": "def make(): pass"})
    text = message("ssl", "func")
    assert "ssl/func (funcmod:make) is function, not a class." in text
    assert "mmtk-func" in text


def test_a_clash_names_both_and_a_full_name_picks(site):
    install(site, "mmtk-x", {"ssl/confidence": "xmod:Mine"}, modules={"xmod": "class Mine: pass"})
    ours = f"mmtk {catalog.version()}"
    assert message("ssl", "confidence") == (
        f'ssl/confidence is provided by {ours} and mmtk-x 1.0. Say which: use = "mmtk/confidence".'
    )
    assert catalog.find("ssl", "mmtk/confidence").dist == "mmtk"
    assert catalog.load(catalog.find("ssl", "mmtk-x/confidence")).__name__ == "Mine"
    assert catalog.find("ssl", "none").dist == "mmtk"


@pytest.mark.parametrize(
    ("requirement", "excluded"),
    [
        ("mmtk>=99", True),
        ("mmtk<0.0.1", True),
        ("MMTK (>=99)", True),
        ("mmtk>=0.0.1", False),
        ("mmtk", False),
        ("mmtk-other>=99", False),
        ("mmtk >=?? broken", False),
    ],
)
def test_a_requirement_on_another_mmtk_excludes_without_an_import(site, requirement, excluded):
    install(
        site,
        "mmtk-old",
        {"ssl/old": "oldmod:Old"},
        requires=["numpy", requirement],
        modules={"oldmod": "class Old: 1"},
    )
    assert ("old" in {entry.name for entry in catalog.entries("ssl")}) is not excluded
    assert "old" in {entry.name for entry in catalog.entries("ssl", everything=True)}
    if not excluded:
        assert catalog.load(catalog.find("ssl", "old")).__name__ == "Old"
        return
    text = message("ssl", "old")
    assert "ssl/old comes from mmtk-old 1.0, which asks for 'mmtk" in text.replace("MMTK", "mmtk")
    assert f"this is mmtk {catalog.version()}" in text
    assert f"Install a version of mmtk-old made for mmtk {catalog.version()}." in text
    assert "oldmod" not in sys.modules


def test_an_excluded_twin_is_no_clash(site):
    install(site, "mmtk-x", {"ssl/confidence": "xmod:Mine"}, requires=["mmtk>=99"])
    assert catalog.find("ssl", "confidence").dist == "mmtk"
    assert "asks for 'mmtk>=99'" in message("ssl", "mmtk-x/confidence")


@pytest.mark.parametrize(
    ("variable", "seen"),
    [
        (None, {"a", "b"}),
        ("", set()),
        ("mmtk-a", {"a"}),
        (" mmtk_A , other", {"a"}),
        ("mmtk-a,mmtk-b", {"a", "b"}),
    ],
)
def test_mmtk_plugins_limits_what_is_seen(site, monkeypatch, variable, seen):
    for name in "ab":
        install(site, f"mmtk-{name}", {f"ssl/{name}": "m:C"})
    if variable is not None:
        monkeypatch.setenv("MMTK_PLUGINS", variable)
    assert {entry.name for entry in catalog.entries("ssl")} & {"a", "b"} == seen
    assert catalog.find("ssl", "none").dist == "mmtk"
    for name in {"a", "b"} - seen:
        text = message("ssl", name)
        assert f"ssl/{name} comes from mmtk-{name}, which MMTK_PLUGINS hides." in text
        assert f"Add mmtk-{name} to MMTK_PLUGINS, or unset it." in text


def test_broken_plugins_leave_the_others_alone(site):
    install(site, "mmtk-bad", {"ssl/bad": "badmod:Bad", "bridge/none": "badmod:B"}, modules={"badmod": "1/0"})
    install(site, "mmtk-good", {"ssl/entropy": "goodmod:Entropy"}, modules={"goodmod": GOOD})
    assert catalog.load(catalog.find("ssl", "entropy")).__name__ == "Entropy"
    assert catalog.find("ssl", "confidence").dist == "mmtk"


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("entry_points.txt", b"[mmtk.ssl]\nno equals sign here\n"),
        ("entry_points.txt", b"[mmtk.ssl]\ntorn = m:\xff\n"),
        ("METADATA", b"Metadata-Version: 2.1\n"),
        ("METADATA", None),
    ],
)
def test_unreadable_metadata_is_warned_of_by_name_and_left_out(site, file, content):
    install(site, "mmtk-torn", {"ssl/torn": "m:C"})
    torn = site / "mmtk_torn-1.0.dist-info" / file
    torn.write_bytes(content) if content is not None else torn.unlink()
    install(site, "mmtk-good", {"ssl/entropy": "goodmod:Entropy"})
    with pytest.warns(UserWarning, match=r"mmtk_torn-1\.0\.dist-info: this plugin's metadata cannot be read"):
        names = {entry.name for entry in catalog.entries("ssl")}
    assert "entropy" in names
    assert "torn" not in names


def test_other_packages_with_torn_metadata_are_none_of_our_business(site, recwarn):
    install(site, "stranger", {})
    (site / "stranger-1.0.dist-info" / "entry_points.txt").write_text("[console_scripts]\nno equals sign here\n")
    refresh()
    assert catalog.entries("ssl")
    assert [str(warning.message) for warning in recwarn.list] == []


def test_groups_that_are_no_kind_are_ignored(site):
    install(site, "mmtk-new", {"launchers/x": "m:C", "ssl/y": "m:C"})
    assert {entry.word for entry in catalog.entries() if entry.dist == "mmtk-new"} == {"ssl/y"}


def test_the_first_of_two_installed_versions_wins(site, tmp_path, monkeypatch):
    install(site / "late", "mmtk-two", {"ssl/two": "m:Old", "ssl/gone": "m:Gone"}, version="1.0")
    install(site / "early", "mmtk-two", {"ssl/two": "m:New"}, version="2.0")
    monkeypatch.syspath_prepend(site / "late")
    monkeypatch.syspath_prepend(site / "early")
    refresh()
    assert [(e.name, e.target) for e in catalog.entries("ssl") if e.dist == "mmtk-two"] == [("two", "m:New")]


def test_states_say_who_can_be_named_and_an_excluded_twin_is_no_clash(site, monkeypatch):
    install(site, "mmtk-a", {"ssl/confidence": "m:C", "ssl/mine": "m:C"})
    install(site, "mmtk-b", {"ssl/mixmatch": "m:C", "ssl/mine": "m:C"}, requires=["mmtk>=99"])
    install(site, "mmtk-c", {"ssl/mine": "m:C"})
    monkeypatch.setenv("MMTK_PLUGINS", "mmtk-a,mmtk-b")
    found = {(entry.name, entry.dist): state for entry, state in catalog.states() if entry.kind == "ssl"}
    assert found == {
        ("none", "mmtk"): "ok",
        ("confidence", "mmtk"): "clash",
        ("confidence", "mmtk-a"): "clash",
        ("mixmatch", "mmtk"): "ok",
        ("mixmatch", "mmtk-b"): "excluded",
        ("mine", "mmtk-a"): "ok",
        ("mine", "mmtk-b"): "excluded",
        ("mine", "mmtk-c"): "hidden",
    }


def test_a_local_file_s_components_have_its_name_in_front_and_are_never_hidden(monkeypatch):
    monkeypatch.setenv("MMTK_PLUGINS", "")
    mine = catalog.Entry("ssl", "code/confidence", "mod:confidence", catalog.CODE, "abc")
    assert "and no file was named" in message("ssl", "code/confidence")
    catalog.offer(catalog.Code(Path("x.py"), b"", (mine,)))
    assert catalog.find("ssl", "code/confidence") == mine
    assert catalog.find("ssl", "confidence").dist == "mmtk"
    assert (mine, "ok") in catalog.states()
    assert "'code/confidence' is an ssl, not a bridge." in message("bridge", "code/confidence")
    assert "Did you mean 'code/confidence'?" in message("ssl", "code/confidense")
    catalog.offer(None)
    assert mine not in catalog.entries()
