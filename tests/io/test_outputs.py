"""Folders for output: what a command did not write there is neither replaced nor removed, whatever happens."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import pytest

from mmtk.errors import MmtkError
from mmtk.io.files import lock
from mmtk.io.outputs import (
    EARLIER,
    MANIFEST,
    OutputFolder,
    check_folder,
    make_folder,
    refuse_inside,
    results_among,
)


def write(out: Path, texts: dict[str, str], command: str = "report", **options: bool) -> None:
    """One call of a command that writes these files by way of a stage."""
    with OutputFolder(out, command, **options).staged() as stage:
        for name, text in texts.items():
            (stage / name).parent.mkdir(parents=True, exist_ok=True)
            (stage / name).write_text(text)


def seen(out: Path) -> dict[str, str]:
    files = [path for path in sorted(out.rglob("*")) if path.is_file() and path.name != MANIFEST]
    return {path.relative_to(out).as_posix(): path.read_text() for path in files}


def test_a_second_call_replaces_what_the_first_wrote_and_removes_what_is_gone(tmp_path):
    write(tmp_path, {"a": "1", "tables/b": "1"})
    write(tmp_path, {"a": "2", "tables/c": "2"})
    assert seen(tmp_path) == {"a": "2", "tables/c": "2"}


def test_a_file_of_the_users_is_refused_before_any_work(tmp_path):
    (tmp_path / "a").write_text("mine")
    with (
        pytest.raises(MmtkError, match=r"not written by mmtk report, or changed since: a\.\n  Move them away"),
        OutputFolder(tmp_path, "report").staged(("a", "b")),
    ):
        pytest.fail("the work began")
    assert seen(tmp_path) == {"a": "mine"}
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("change", ["edited", "of another command", "a folder in its place", "appears meanwhile"])
def test_what_is_not_the_commands_own_stays(tmp_path, change):
    path = tmp_path / "a"
    if change != "appears meanwhile":
        write(tmp_path, {"a": "1"}, "evaluate" if change == "of another command" else "report")
    if change == "edited":
        path.write_text("mine")
    if change == "a folder in its place":
        path.unlink()
        path.mkdir()
        (path / "x").write_text("mine")
    before = seen(tmp_path) if change != "appears meanwhile" else {"a": "mine"}

    def call() -> None:
        with OutputFolder(tmp_path, "report").staged() as stage:
            if change == "appears meanwhile":
                path.write_text("mine")
            for name in "ab":
                (stage / name).write_text("2")

    with pytest.raises(MmtkError, match="report"):
        call()
    assert {name: text for name, text in seen(tmp_path).items() if name != "b"} == before


def test_where_mmtk_chose_the_folder_the_users_files_are_moved_aside(tmp_path):
    write(tmp_path, {"a": "1", "tables/b": "1"})
    for text in ("mine", "mine too"):
        (tmp_path / "a").write_text(text)
        write(tmp_path, {"a": "2", "tables/b": "2"}, set_aside=True)
    assert seen(tmp_path) == {"a": "2", "tables/b": "2", f"{EARLIER}/a": "mine", f"{EARLIER}/a-2": "mine too"}


def test_a_file_where_a_folder_has_to_be(tmp_path):
    (tmp_path / "tables").write_text("mine")
    with pytest.raises(MmtkError, match="tables"):
        write(tmp_path, {"tables/b": "1"})
    write(tmp_path, {"tables/b": "1"}, set_aside=True)
    assert seen(tmp_path) == {"tables/b": "1", f"{EARLIER}/tables": "mine"}


def test_an_edited_file_that_is_no_longer_made_is_not_removed(tmp_path):
    write(tmp_path, {"a": "1", "b": "1"})
    (tmp_path / "b").write_text("mine")
    write(tmp_path, {"a": "2"})
    assert seen(tmp_path) == {"a": "2", "b": "mine"}


def test_a_failure_leaves_everything_as_it_was(tmp_path):
    write(tmp_path, {"a": "1"})
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def call() -> None:
        with OutputFolder(tmp_path, "report").staged() as stage:
            (stage / "a").write_text("2")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        call()
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_between_the_list_and_the_file_leaves_the_file_known(tmp_path, monkeypatch, moment):
    write(tmp_path, {"a": "1"})
    plain = os.replace

    def killed(source: Path, target: Path) -> None:
        if moment == "after":
            plain(source, target)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", killed)
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, {"a": "2"})
    write(tmp_path, {"a": "3"})
    assert seen(tmp_path) == {"a": "3"}


@pytest.mark.parametrize("link", ["a", "tables", MANIFEST])
def test_nothing_is_written_through_a_link_and_others_do_not_matter(tmp_path, link):
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    (mine / "kept").write_text("mine")
    (out / "deep").mkdir(parents=True)
    (out / "deep" / "link").symlink_to(mine)
    write(out, {"a": "1", "tables/b": "1"})
    for path in (out / "a", out / MANIFEST):
        path.unlink()
    (out / "tables" / "b").unlink()
    (out / "tables").rmdir()
    (out / link).symlink_to(mine if link == "tables" else mine / "kept", target_is_directory=link == "tables")
    with pytest.raises(MmtkError, match="is a symbolic link in a folder for output"):
        write(out, {"a": "2", "tables/b": "2"})
    assert seen(mine) == {"kept": "mine"}


def test_a_list_from_elsewhere_names_nothing_outside(tmp_path):
    out, mine = tmp_path / "out", tmp_path / "mine"
    out.mkdir()
    mine.write_text("")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    rows = [json.dumps({"command": "report", "name": name, "sha256": empty}) for name in ("../mine", str(mine))]
    (out / MANIFEST).write_text("\n".join([*rows, "[]", "null", "{", '{"command": "report"}']))
    write(out, {"a": "1"})
    assert mine.is_file()


@pytest.mark.parametrize(
    ("out", "refused"),
    [
        ("films", True),
        ("films/new", True),
        ("films/new/deeper", True),
        ("films/a.png", True),
        ("alias", True),
        ("alias/new", True),
        ("other", False),
        (".", False),
        ("films-2", False),
    ],
)
def test_an_output_in_an_input_is_refused(tmp_path, out, refused):
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "a.png").write_text("")
    (tmp_path / "alias").symlink_to(tmp_path / "films", target_is_directory=True)
    given = [tmp_path / "films", tmp_path / "films" / "a.png", tmp_path / "absent"]
    if refused:
        with pytest.raises(MmtkError, match="input"):
            refuse_inside(tmp_path / out, given)
    else:
        refuse_inside(tmp_path / out, given)


@pytest.mark.parametrize("place", ["one", "one/deeper"])
def test_links_in_a_circle_are_no_place_for_an_output(tmp_path, place):
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    (tmp_path / "films").mkdir()
    refuse_inside(tmp_path / place, [tmp_path / "films"])
    with pytest.raises(MmtkError, match=r"\n  Choose another --out"):
        OutputFolder(tmp_path / place, "predict").check(["a"])


def test_the_results_of_a_command_are_told_from_other_files(tmp_path):
    write(tmp_path, {"a": "1", "b": "1"}, "predict")
    write(tmp_path, {"c": "1"}, "evaluate")
    (tmp_path / "b").write_text("mine")
    paths = [tmp_path / name for name in ("a", "b", "c", "d", "sub/a", "sub/e")]
    write(tmp_path, {"sub/e": "1"}, "report")
    assert results_among(paths, "predict") == {tmp_path / "a"}
    assert results_among(paths) == {tmp_path / name for name in ("a", "c", "sub/e")}


@pytest.mark.parametrize("place", ["/proc/x", "/dev/null", "/dev/null/x", "{tmp}/file", "{tmp}/file/x"])
def test_a_folder_that_cannot_be_made_has_a_cure(tmp_path, place):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MmtkError, match=r"(?s)is a file|cannot be made.*\n  Choose another --out\."):
        make_folder(Path(place.format(tmp=tmp_path)))
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize("call", ["staged", "alone"])
def test_two_commands_never_write_into_one_folder_at_a_time(tmp_path, call):
    out = tmp_path / "out"
    with (
        OutputFolder(out, "predict").alone(),
        pytest.raises(MmtkError, match=r"another mmtk command .*\n  Wait"),
        getattr(OutputFolder(out, "report"), call)(),
    ):
        pytest.fail("two at a time")
    write(out, {"a": "1"})  # the folder is free again
    assert seen(out) == {"a": "1"}


def test_what_another_call_wrote_since_is_known_as_the_commands_own(tmp_path):
    first = OutputFolder(tmp_path, "report")
    write(tmp_path, {"a": "1"})
    with first.staged(["a"]) as stage:
        (stage / "a").write_text("2")
    assert seen(tmp_path) == {"a": "2"}


@pytest.mark.parametrize("call", ["staged", "alone"])
def test_a_folder_that_takes_no_file_is_refused_before_any_work(call):
    with (
        pytest.raises(MmtkError, match=r"(?s)nothing can be written in this folder.*Choose another --out"),
        getattr(OutputFolder(Path("/proc/self"), "report"), call)(["a"]),
    ):
        pytest.fail("the work began")


@pytest.mark.parametrize("name", ["film.png", "FILM.DCM", "scan.jpeg"])
def test_figures_are_not_written_among_films(tmp_path, name):
    (tmp_path / name).write_bytes(b"film")
    with (
        pytest.raises(MmtkError, match=f"holds images of yours: {name}") as caught,
        OutputFolder(tmp_path, "report").staged(),
    ):
        pytest.fail("worked")
    assert "outside" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_of_the_users_beside_a_report_does_not_keep_it_from_being_made_anew(tmp_path):
    for _ in range(2):
        with OutputFolder(tmp_path, "report").staged() as stage:
            (stage / "index.html").write_text("page")
        (tmp_path / "mine.png").write_bytes(b"picture")
    assert (tmp_path / "mine.png").read_bytes() == b"picture"


def test_a_check_does_not_remove_the_folder_in_which_another_command_has_begun(tmp_path, monkeypatch):
    out, plain = tmp_path / "out", tempfile.TemporaryFile
    with ExitStack() as stack:

        def begun_meanwhile(dir: Path) -> IO[bytes]:
            stack.enter_context(lock(out))
            return plain(dir=dir)

        monkeypatch.setattr(tempfile, "TemporaryFile", begun_meanwhile)
        check_folder(out)
        assert out.is_dir()
