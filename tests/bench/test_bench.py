"""The bench command at toy size: that it measures what it says, not how fast this machine is."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import fork_server
import pytest
import torch
from loops import some, times
from moments import sets

from mmtk.bench import answers, data, evaluation, pil_pipeline, step, study, tables
from mmtk.bench.measure import Options, command, fresh, spread
from mmtk.bench.run import PARTS, options_for
from mmtk.errors import MmtkError, RunFailed

ROOT = Path(__file__).parents[2]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    call = [fork_server.python(), "-m", "mmtk", "bench", *arguments]
    return subprocess.run(call, capture_output=True, text=True, check=False)


def test_flop_of_a_convolution_are_those_of_the_formula():
    x, weight = torch.randn(2, 3, 8, 8, requires_grad=True), torch.randn(5, 3, 3, 3, requires_grad=True)
    forward = 2 * 2 * 5 * 3 * 9 * 64
    assert step.count(lambda: torch.conv2d(x, weight, padding=1)) == forward
    assert step.count(lambda: torch.conv2d(x, weight, padding=1).sum().backward()) == 3 * forward


def test_recorded_convolutions_are_those_of_the_call_and_can_be_repeated():
    net = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.Conv2d(4, 4, 3), torch.nn.Conv2d(4, 4, 3))
    x = torch.randn(2, 1, 12, 12)
    calls = step.record(lambda: net(x).sum().backward())
    forward = {
        signature[0][1]: n for (f, signature), n in calls.items() if f is torch.ops.aten.convolution.default
    }
    assert forward == {(2, 1, 12, 12): 1, (2, 4, 10, 10): 1, (2, 4, 8, 8): 1}
    assert sum(calls.values()) == 6
    again = sum(n * step.count(lambda f=f, s=s: f(*step._filled(s, "cpu"))) for (f, s), n in calls.items())
    assert again == step.count(lambda: net(x).sum().backward())


@pytest.mark.long
def test_a_step_is_measured_and_its_convolutions_do_all_of_its_work():
    measured = step.step(32, 2, "fp32", "cpu", data=False)
    assert len(measured["seconds"]) == step.STEPS
    assert min(measured["seconds"]) > 0
    bounds = step.bounds(32, 2, "fp32", "cpu")
    assert 0.98 * measured["flops"] < bounds["convolution_flops"] <= measured["flops"]
    assert 0.05 < measured["peak"] < 64


def test_the_same_batch_comes_again_without_data():
    made = step.training(32, 2, "fp32", "cpu")
    first = made.loader.batch(step_now(made, 0), made.device)
    repeated_batch = step._RepeatedBatch(first)
    again = repeated_batch.batch(step_now(made, 5), made.device)
    assert again.now.index == 5
    assert again.segmentation[0].image is first.segmentation[0].image


def step_now(made, index):
    from mmtk.api import StepContext

    return StepContext(made.recipe.seed, index, made.total)


@pytest.mark.long
def test_both_pipelines_make_as_many_images_of_the_same_files(tmp_path):
    data.draw(str(tmp_path / "files"), 48, "jpeg")
    assert len(list((tmp_path / "files" / "images").iterdir())) == data.FILES
    ours, pil = (
        data.streams(str(tmp_path / "files"), 32, passes=1),
        pil_pipeline.batches(str(tmp_path / "files"), 32),
    )
    assert ours["images"] == pil["images"] == 3 * data.BATCH
    assert len(ours["seconds"]) == len(pil["seconds"]) == data.FILES // data.BATCH
    built = fresh("mmtk.bench.data:build", folder=str(tmp_path / "files"), size=32, used=1)
    assert len(built) == 3
    assert all(0 < seconds < 60 for seconds in built)


@pytest.mark.long
@pytest.mark.xdist_group("score-libraries")
def test_the_scores_are_those_of_the_libraries():
    ours, theirs = evaluation.mmtk_metric(48, 6), evaluation.libraries(48, 6)
    for key, expected in theirs["values"].items():
        assert len(expected) == 6
        # MONAI interpolates its percentile in single precision.
        assert ours["values"][key] == pytest.approx(expected, abs=1e-3 if key == "hd95" else 1e-5), key
    assert 0 < ours["values"]["average-hausdorff"][0] < 10  # neither perfect nor empty: something to compute


@pytest.mark.long
def test_a_hundred_and_twelve_thousand_images_stream_at_constant_memory(tmp_path):
    measured = fresh("mmtk.bench.data:many", count=times(data.MANY), cache=str(tmp_path))
    assert measured["start"] > 0
    # 112,000 images of 32 px are 115 MB; a leak of a tenth of them would show.
    assert measured["end"] - measured["start"] < 11
    assert measured["middle"] - measured["start"] < 11


def test_a_failing_process_says_why():
    with pytest.raises(RunFailed, match="no_such_function"):
        fresh("mmtk.bench.data:no_such_function")
    assert command("a:b", size=3)[-2:] == ["a:b", '{"size": 3}']


@pytest.mark.long
def test_the_cost_of_a_command_is_that_of_its_processes_and_its_new_runs(tmp_path):
    command = ["run", "umtl", "--no-pictures", *sets(), "--out"]
    first, second = (answers._cost(tmp_path, os.environ, *command, name) for name in ("one", "two"))
    for cost in (first, second):
        assert cost.runs == 1
        assert 0 < cost.training < cost.wall
        assert 0 < cost.beside < cost.cpu
    with pytest.raises(RunFailed, match=r"mmtk run nothing failed:\n.*nothing"):
        answers._cost(tmp_path, os.environ, "run", "nothing")


def measured(median: float, name: str = "mmtk") -> dict:
    seconds = spread([median * 0.9, median, median * 1.1])
    return {"parts": {"step": [{"name": name, "seconds": seconds, "images/s": 40 / median}]}}


def test_changes_are_ratios_of_medians_and_say_where_the_spreads_are_apart():
    _, lines = tables.changes(measured(2.0), measured(1.0))
    assert lines == [["step: mmtk", "2 s", "1 s", "0.50", "faster"]]
    assert tables.changes(measured(2.0), measured(2.1))[1][0][-2:] == ["1.05", ""]
    assert tables.changes(measured(2.0, "other"), measured(1.0))[1] == []


@pytest.mark.parametrize(("now", "code"), [(1.14, 0), (1.16, 1)])
def test_a_row_that_grew_by_more_than_15_percent_makes_the_comparison_fail(tmp_path, now, code):
    same = {"machine": {}, "settings": {}}
    files = [tmp_path / "base.json", tmp_path / "new.json"]
    for file, median in zip(files, (1.0, now), strict=True):
        file.write_text(json.dumps(measured(median) | same))
    script = ROOT / "benchmarks/compare.py"
    process = subprocess.run([sys.executable, script, *files], capture_output=True, text=True, check=False)
    assert process.returncode == code, process.stderr
    assert ("step: mmtk: 16% more" in process.stdout) is bool(code)


def test_tables_have_a_column_for_everything_that_a_row_has():
    rows = [*measured(0.5)["parts"]["step"], {"name": "peak", "seconds": spread([2.0]), "GFLOP/s": 1234.5}]
    headings, lines = tables.cells(rows)
    assert headings == ["", "median", "spread", "images/s", "GFLOP/s"]
    assert lines[0] == ["mmtk", "500 ms", "450 ms – 550 ms (n = 3)", "80", ""]
    assert lines[1] == ["peak", "2 s", "2 s – 2 s (n = 1)", "", "1,234"]
    assert tables.markdown(headings, lines).splitlines()[1] == "| --- | ---: | ---: | ---: | ---: |"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["speed"], "speed: unknown part. Known: step, data, eval, startup, study, compare."),
        (["step", "--size", "40"], "--size 40: not a multiple of 16"),
        (["step", "--precision", "fp8"], "--precision fp8: unknown precision."),
        (["step", "--json", "/no/such/folder/x.json"], "no such folder."),
        (
            ["step", "--json", str(ROOT / "pyproject.toml")],
            "was not written by mmtk bench, so it is not replaced.",
        ),
    ],
)
def test_bad_arguments_are_explained(arguments, text):
    done = bench(*arguments)
    assert done.returncode == 2
    assert text in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_precisions_that_are_measured():
    assert options_for("cpu", "bf16", 64, 1) == Options("cpu", ("bf16",), 64, 1)
    assert options_for("cpu", "auto", 64, 1).precisions[0] == "fp32"
    with pytest.raises(MmtkError, match="--device tpu"):
        options_for("tpu", "auto", 64, 1)


@pytest.mark.long
@pytest.mark.parametrize("part", some(sorted(PARTS, key="eval".__ne__)))
def test_the_command_measures_a_part_and_writes_it(part, tmp_path):
    done = bench(part, "--size", "32", "--rounds", "1", "--precision", "fp32", "--json", str(tmp_path / "b.json"))
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert list(found["parts"]) == [part]
    assert found["machine"]["torch"].split("+")[0] == torch.__version__.split("+")[0]
    rows = found["parts"][part]
    assert len(rows) >= 2
    assert len({row["name"] for row in rows}) == len(rows)
    for row in rows:
        seconds = row["seconds"]
        assert 0 < seconds["low"] <= seconds["median"] <= seconds["high"]
        assert all(value >= 0 for value in row.values() if isinstance(value, float))
    assert tables.TITLES[part] in done.stdout


def test_eval_says_what_it_compares_with_where_that_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchmetrics", None)  # as where it is not installed
    with pytest.raises(MmtkError, match=r"compares with torchmetrics, which is not installed") as refusal:
        evaluation.rows(Options())
    assert "torchmetrics" in refusal.value.hint
    assert "monai" in refusal.value.hint


def test_processes_that_keep_cores_busy_end_with_the_block():
    with study._busy_cores() as spinners:
        assert spinners
        assert all(spinner.poll() is None for spinner in spinners)
    assert all(spinner.poll() is not None for spinner in spinners)


def test_convolutions_of_one_pixel_count_whatever_their_operator():
    pixels = torch.randn(2, 3, 4, 4, requires_grad=True)
    convolution, product = torch.nn.Conv2d(3, 5, 1), torch.nn.Linear(3, 5)
    as_convolution = step.record(lambda: convolution(pixels).sum().backward())
    as_product = step.record(lambda: product(pixels.movedim(1, -1)).sum().backward())
    assert all("convolution" in str(function) for function, _ in as_convolution)
    assert as_product
    assert all("mm" in str(function) for function, _ in as_product)


def test_a_step_and_its_convolutions_are_measured_in_turns():
    ratios = step.bounds(32, 2, "fp32", "cpu")["ratios"]
    assert len(ratios) == step.STEPS
    assert all(ratio > 0 for ratio in ratios)
