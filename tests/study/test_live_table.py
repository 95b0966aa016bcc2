"""How far a run is, which rows a live table shows, and the table on a real pseudo-terminal."""

from __future__ import annotations

import io
import json
import re
import subprocess
from contextlib import ExitStack
from pathlib import Path

import fork_server
import pytest
from rich.console import Console
from terminal import CONTROL, on_terminal
from tiny import tiny

from mmtk import load_recipe
from mmtk.io.files import write_json
from mmtk.runs.folder import RunDir
from mmtk.runs.progress import Progress
from mmtk.study.folder import StudyDir
from mmtk.study.plan import plan_components
from mmtk.study.status import StudyTable
from mmtk.workflows.study_session import Clock


def write_steps(folder: RunDir, first: int, last: int, seconds: float = 2.0) -> None:
    rows = [{"step": step, "time": 100 + seconds * step, "seconds": 1.5} for step in range(first, last + 1)]
    with open(folder.timing_file, "a", encoding="utf-8") as log:
        log.writelines(json.dumps(row) + "\n" for row in rows)


def test_progress_takes_up_the_log_where_it_ended_and_starts_again_after_a_checkpoint(tmp_path: Path) -> None:
    folder = RunDir(tmp_path)
    progress = Progress(folder, tiny(train__steps=10))
    progress.read()
    assert (progress.steps, progress.left) == ("0/10", None)
    write_steps(folder, 1, 4)
    progress.read()
    assert (progress.steps, progress.seconds, progress.left) == ("4/10", 6.0, 12.0)  # 6 of 2 s
    with open(folder.timing_file, "a", encoding="utf-8") as log:
        log.write('{"step": 5, "ti')
    progress.read()
    assert progress.step == 4
    folder.timing_file.unlink()
    write_steps(folder, 1, 2)
    progress.read()
    assert (progress.step, progress.seconds) == (2, 3.0)


def test_steps_of_a_recipe_of_epochs_are_known_from_its_splits(tmp_path: Path) -> None:
    profile = tmp_path / "mine.toml"
    source = '{ use = "phantom" }'
    profile.write_text(
        f"[data]\nsize = 32\n[data.classification]\nlabels = 2\nsource = {source}\n"
        f"[data.segmentation]\nlabels = 2\nsource = {source}\n[train]\nepochs = 3\nbatch = 2\n"
    )
    progress = Progress(RunDir(tmp_path), load_recipe("multimix", str(profile)))
    assert progress.total == 0  # its data are not read yet
    parts = {"labelled": ["a", "b"], "unlabelled": ["c", "d", "e"]}
    write_json(RunDir(tmp_path).splits_file, {"classification": parts, "segmentation": parts})
    assert progress.total == 9  # 3 epochs of 3 steps: 5 images by twos


@pytest.fixture
def planned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyDir:
    """A study of 24 runs, none of which has begun."""
    monkeypatch.chdir(tmp_path)
    study = StudyDir(Path("s"))
    study.path.mkdir()
    study.write(plan_components("multimix", "saliency", seeds=range(8), profile="phantom"), {})
    return study


def drawn(table: StudyTable) -> str:
    console = Console(width=100, color_system=None, record=True, quiet=False, file=io.StringIO())
    console.print(table.draw())
    return console.export_text()


def test_a_live_table_of_many_runs_shows_those_that_run_failed_and_wait_next(planned: StudyDir) -> None:
    runs = planned.runs()
    with ExitStack() as stack:
        for run in runs[20:22]:
            run.folder.path.mkdir(parents=True)
            stack.enter_context(run.folder.locked())
            write_steps(run.folder, 1, 60)
        planned.note_failure(runs[23], "the loss is not finite")
        text = drawn(StudyTable(planned, most=6, workers=2))
        rows = re.findall(r"│ .* │ +(\d) │ (\w+)", text)
        assert rows == [("0", "waiting")] * 3 + [("6", "running"), ("7", "running"), ("7", "failed")]
        assert text.count("60/240") == 2
        assert text.count("6 min") == 2  # 180 steps of 2 s
        assert "2 running, 1 failed, 21 waiting" in text
        assert "accuracy" not in text
        everything = drawn(StudyTable(planned))
        assert len(re.findall("waiting +│", everything)) == 21
        assert "accuracy" in everything


ON_TERMINAL = """
import sys, time
from pathlib import Path
from mmtk.io import status_line
from mmtk.registry import memo
memo.begin()
from mmtk.runs.display import Display
from mmtk.study.live_table import live_table
from mmtk.study.folder import StudyDir
study, display = StudyDir(Path('s')), Display()
with status_line.running([]):
    with live_table(study, 2, {}, display.console):
        run = study.runs()[0]
        run.folder.path.mkdir(parents=True)
        with run.folder.locked():
            time.sleep(1.3)
            display.note('a finished run')
            display.warn('a warning')
            print('on stdout')
            time.sleep(0.2)
        status_line.stage('a stage')
    time.sleep(0.8)
    print('result')
memo.end()
"""


@pytest.mark.long
def test_the_table_moves_below_what_is_printed_and_leaves_nothing_behind(planned: StudyDir) -> None:
    pieces = on_terminal(fork_server.python(), "-c", ON_TERMINAL)
    text = "".join(text for _, text in pieces)
    plain = CONTROL.sub("", text)
    assert "24 waiting" in plain
    assert "1 running, 23 waiting" in plain
    table = plain[plain.index("24 waiting") : plain.rindex("1 running, 23 waiting")]
    assert "a stage" not in table  # one live display at a time
    assert "a stage" in plain[plain.rindex("1 running, 23 waiting") :]
    assert max(part.count("│") for part in plain.split("MultiMix: ")) <= 7 * 17  # it fits 24 lines
    shown = seen(text)
    assert shown == ["a finished run", "Warning: a warning", "on stdout", "result"]


def seen(text: str) -> list[str]:
    """The lines that stand on a terminal after all its cursor movements."""
    lines, row, column = [""], 0, 0
    for each in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
        if each == "\r":
            column = 0
        elif each == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif each.endswith("A") and each.startswith("\x1b"):
            row = max(0, row - int(each[2:-1] or 1))
        elif each.endswith("K") and each.startswith("\x1b"):
            lines[row] = "" if each == "\x1b[2K" else lines[row][:column]
        elif not each.startswith("\x1b"):
            lines[row] = lines[row][:column].ljust(column) + each + lines[row][column + len(each) :]
            column += len(each)
    return [line.rstrip() for line in lines if line.strip()]


@pytest.mark.long
def test_lines_alone_without_a_terminal(planned: StudyDir) -> None:
    done = subprocess.run([fork_server.python(), "-c", ON_TERMINAL], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == ["a finished run", "Warning: a warning"]
    assert done.stdout.splitlines() == ["on stdout", "result"]


def test_the_time_left_of_a_study_counts_its_runs_side_by_side(planned: StudyDir) -> None:
    runs = planned.runs()
    by_mean = Clock(runs, {}, workers=2)
    by_forecast = Clock(runs, {run.folder.path.name: 5.0 for run in runs}, workers=2)
    assert by_mean.left() == 0
    assert by_forecast.left() == 60  # 24 runs of 5 s, two at a time
    for run in runs[:2]:
        run.folder.path.mkdir(parents=True)
        write_json(run.folder.done_file, {"seconds": 10.0})
    assert by_mean.left() == by_forecast.left() == 110  # 22 runs, which take twice as long as expected
