"""What a run says: on a terminal of 80 columns, and in a log."""

from __future__ import annotations

import io
import os
import re

import pytest
from rich.console import Console

from mmtk import builtin_scores, load_recipe
from mmtk.runs.display import Display
from mmtk.runs.pace import Pace, share_cores
from mmtk.scores import ScoreInfo

TERMS = {
    "loss": 3.952,
    "classification/cross-entropy": 0.808,
    "ssl/confidence": 0.0,
    "ssl/mask-rate": 0.0,
    "ssl/pseudo-label-accuracy": 0.5,
    "segmentation/dice": 0.629,
    "consistency/kl": 0.048,
}
ROW = {"step": 240} | {f"train/{name}": value for name, value in TERMS.items()}
SCORES = {
    "step": 240,
    "val/classification/accuracy": 0.8,
    "val/classification/macro-f1": 0.7,
    "val/classification/auroc": 0.9,
    "val/segmentation/dice": 0.8,
    "val/segmentation/hd95": 3.0,
    "val/score": 0.75,
}


DECLARED = {
    task: builtin_scores.of_task(task, ("normal", "pneumonia"), True)
    for task in ("classification", "segmentation")
}


def shown(terminal: bool, width: int = 80) -> tuple[Display, io.StringIO]:
    display, text = Display(), io.StringIO()
    display.console = Console(file=text, force_terminal=terminal, width=width, height=24, highlight=False)
    display.live = terminal
    return display, text


def plain(text: io.StringIO) -> list[str]:
    return [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue()).splitlines()]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_every_term_of_a_step_is_shown_whole_on_any_terminal(width):
    display, text = shown(True, width)
    display.step(ROW, 239, 240)
    display.step(ROW, 240, 240)
    display.close()
    words = " ".join(plain(text))
    assert "…" not in words
    for name, value in TERMS.items():
        assert f"{name.split('/')[-1]} {value:.3f}" in words
    assert "240/240" in words


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_validation_takes_one_line_and_is_explained_once(width):
    display, text = shown(True, width)
    for best in (True, False):
        display.validation(SCORES, best, DECLARED)
    *legend, first, second = plain(text)
    lines = [" ".join(legend), first, second]
    assert all(len(line) <= width for line in (*legend, first, second))
    assert lines[0].startswith("score: the mean of macro-f1 and dice on the validation images")
    assert "*: the best so far" in lines[0]
    assert "score 0.750 *  macro-f1 0.700  dice 0.800" in lines[1]
    assert "accuracy 0.800" in lines[1]
    assert "*" not in lines[2]


def test_a_terminal_breaks_no_word_and_no_command():
    display, text = shown(True, 40)
    display.note("12 systems at one label budget with one seed each: nothing can be concluded")
    display.note("Next      mmtk predict runs/a-long-name-of-a-run IMAGE… --out DIR")
    lines = text.getvalue().splitlines()
    assert [line.rstrip() for line in lines] == [
        "12 systems at one label budget with one",
        "seed each: nothing can be concluded",
        "Next      mmtk predict runs/a-long-name-of-a-run IMAGE… --out DIR",
    ]


def test_the_bar_names_what_is_done_between_steps():
    display, text = shown(True)
    display.step(ROW, 1, 240)
    display.stage("validating 1/12")
    display.close()
    assert "Validating 1/12" in " ".join(plain(text))


def test_a_log_has_a_line_for_every_tenth_of_the_way_with_the_time_left():
    display, text = shown(False)
    for done in range(1, 241):
        display.step(ROW, done, 240)
    steps = [int(re.match(r"step (\d+)/240", line)[1]) for line in plain(text)]
    assert steps == [1, *range(24, 241, 24)]
    assert "left" in plain(text)[3]


def test_a_log_has_a_line_every_half_minute(monkeypatch):
    display, text = shown(False)
    moments = iter(range(0, 100_000, 10))
    monkeypatch.setattr("mmtk.runs.display.time.monotonic", lambda: next(moments) / 2)
    for done in range(1, 20):
        display.step(ROW, done, 10_000)
    assert 3 <= len(plain(text)) <= 10


def verdicts(monkeypatch, seconds, load, threads=2) -> list[str]:
    monkeypatch.setattr(os, "getloadavg", lambda: (load, load, load))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1})
    pace = Pace()
    return [said for each in seconds if (said := pace.verdict(each, threads))]


def test_steps_that_become_slow_are_told_once_with_load_and_cure(monkeypatch):
    (said,) = verdicts(monkeypatch, [9.0, *[0.5] * 20, *[2.0] * 50], 3.0)
    assert said.startswith("Steps take 4 times as long as the first ones (2 s, not 0.5 s)")
    assert "the load is 3 on 2 cores" in said
    assert "OMP_NUM_THREADS=1" in said


def test_cores_that_others_use_from_the_start_are_told_at_once(monkeypatch):
    assert len(verdicts(monkeypatch, [1.0] * 6, 8.0)) == 1
    assert verdicts(monkeypatch, [1.0] * 5, 8.0) == []
    (said,) = verdicts(monkeypatch, [1.0] * 6, 8.0, threads=1)
    assert "OMP_NUM_THREADS" not in said


def test_a_steady_run_and_a_slow_first_step_are_told_nothing(monkeypatch):
    assert verdicts(monkeypatch, [30.0, *[0.5] * 200], 2.0) == []
    assert verdicts(monkeypatch, [0.5, 0.6, 3.0, 0.5, 0.4] * 40, 2.5) == []


def test_slow_steps_on_free_cores_are_not_laid_to_other_programs(monkeypatch):
    (said,) = verdicts(monkeypatch, [0.5] * 10 + [5.0] * 10, 1.0)
    assert "fewer programs" not in said


@pytest.mark.parametrize("everywhere", [True, False])
def test_the_last_table_has_units_and_fits_eighty_columns(everywhere):
    scores = {"dice": 0.9, "jaccard": 0.8, "ssim": 0.7, "average-hausdorff": 1.25, "hd95": 3.5, "n": 120}
    in_mm = {"average-hausdorff-mm": 10.032, "hd95-mm": 25.332}
    results = {"in-domain": {"segmentation": scores | in_mm}, "cross-domain": {"segmentation": dict(scores)}}
    if everywhere:
        results["cross-domain"]["segmentation"] |= in_mm
    display, text = Display(), io.StringIO()
    display.console = Console(file=text, width=80)
    display.results(results, load_recipe("multimix"), DECLARED)
    said = " ".join(text.getvalue().split())
    assert ("10.032" in said, "(mm)" in said, "(px)" in said) == (everywhere, everywhere, not everywhere)
    assert "…" not in said
    assert "MultiMix: segmentation (in-domain: phantom jsrt; cross-domain: phantom mcu)" in said


@pytest.mark.parametrize(("width", "further"), [(60, 1), (80, 1), (80, 4), (120, 2)])
def test_the_last_table_breaks_no_word_and_lists_below_it_what_has_no_column(width, further):
    scores = builtin_scores.classification(["a", "b"])
    scores |= {f"kappa-{k}/kappa": ScoreInfo(f"quadratic weighted kappa {k}") for k in range(further)}
    names = ["accuracy", "majority-accuracy", "balanced-accuracy", "macro-f1", "auroc", *[*scores][-further:]]
    values = {name: (k + 1) / 16 for k, name in enumerate(names)}
    display, text = Display(), io.StringIO()
    display.console = Console(file=text, width=width)
    row = {"classification": values | {"n": 624, "kappa-0/n": 624}}
    display.results({"in-domain": row, "cross-domain": row}, load_recipe("multimix"), {"classification": scores})
    lines = text.getvalue().splitlines()
    assert all(len(line) <= width for line in lines if line[:1] in "┏┃┡│└")
    words = re.findall(r"[\w.-]+", text.getvalue())
    assert {"accuracy", "balanced", "majority", "kappa", "624"} <= {*words}
    assert "…" not in text.getvalue()
    assert "results.json" not in text.getvalue()
    for value in values.values():
        assert text.getvalue().count(f"{value:.3f}") == 2, value
    below = [line for line in lines if ": in-domain 0." in line]
    assert bool(below) == (width < 120)


def test_scores_that_no_metric_declares_are_named_once():
    display, text = Display(), io.StringIO()
    display.console = Console(file=text, width=80)
    results = {"in-domain": {"classification": {"accuracy": 0.5, "n": 8, "kappa/kappa": 0.25}}}
    declared = {"classification": builtin_scores.classification(["a", "b"])}
    display.results(results, load_recipe("multimix"), declared)
    last = text.getvalue().splitlines()[-1]
    assert last == "in results.json alone, since no metric declares them in scores: kappa/kappa"


@pytest.mark.parametrize(
    ("chosen", "spins"), [({}, "30000"), ({"OMP_WAIT_POLICY": "active"}, None), ({"GOMP_SPINCOUNT": "7"}, "7")]
)
def test_threads_that_wait_sleep_soon_unless_the_user_has_chosen(monkeypatch, chosen, spins):
    monkeypatch.setattr(os, "environ", dict(chosen))
    share_cores()
    assert os.environ == chosen | ({"GOMP_SPINCOUNT": spins} if spins else {})
