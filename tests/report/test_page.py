"""The page of a study: its words, its files, and that it needs nothing beside itself."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from test_analysis import factorial, made_cell, noisy
from tiny import tiny

from mmtk.io.files import write_json
from mmtk.io.outputs import MANIFEST
from mmtk.report.analysis import analyse
from mmtk.report.answer import answer, sentences, summary_lines
from mmtk.report.figures import study as study_figures
from mmtk.report.page import shared_data, write_report
from mmtk.report.summary import chance, summary
from mmtk.study.results import Cell, Study, from_runs
from mmtk.workflows import run as run_workflow


def words(study: Study) -> str:
    return " ".join(summary(analyse(study)))


def test_data_that_training_shares_with_a_scored_set_are_told_once():
    study = factorial()
    shared = [
        "allowed: 3 images of data.x are known to data.y",
        "shared encoder: 1 image of data.z is known to data.y",
    ]
    for cell in study.cells:
        for seed, run in cell.runs.items():
            cell.runs[seed] = replace(run, scores={**run.scores, "warnings": [*shared, "the loss is dead"]})
    assert shared_data(study) == shared


# --- the summary ------------------------------------------------------------------------------------------------


def test_an_effect_that_shows_is_named_with_its_interval_and_test():
    text = words(noisy(factorial()))
    assert text.startswith("4 systems at one label budget (100-10) with 4 seeds each: 16 runs.")
    shown = text[text.index("What shows") : text.index("What does not show")]
    found = re.search(
        r"bridge: saliency \+(0\.\d+) on Dice cross-domain \(95 % interval (0\.\d+) to (0\.\d+); p (= 0|<)", shown
    )
    assert found
    assert float(found[2]) < float(found[1]) < float(found[3])
    assert "4 seeds" in shown
    assert "ssl: confidence" not in shown
    hidden = text[text.index("What does not show") :]
    assert "ssl: confidence on balanced accuracy in-domain" in hidden
    assert "That does not mean that there is none" in hidden


def test_noise_shows_no_effect():
    study = factorial()
    for cell in study.cells:
        cell.runs = made_cell(cell.name, tuple(cell.levels.values()), 0.0).runs
    text = words(noisy(study))
    assert "What shows" not in text
    assert "No effect of a component shows at p < 0.05 after Holm's adjustment: bridge: saliency" in text


def test_one_seed_concludes_nothing():
    text = words(factorial(range(1)))
    assert "with one seed each" in text
    assert "With one seed nothing can be concluded" in text
    assert "shows" not in text


def test_other_designs_speak_of_the_reference():
    study = noisy(factorial())
    study.design = "leave-one-out"
    text = words(study)
    assert "MultiMix − UMTL +0.2" in text
    assert "MultiMix − UMTL-S on" in text[text.index("What does not show") :]
    for cell in study.cells:
        cell.reference = False
    assert "Nothing was compared" in words(study)


def test_guessing_is_set_beside_accuracy():
    study = factorial()
    for cell in study.cells[:3]:
        for seed, one in cell.runs.items():
            one.scores["cross-domain"]["classification"]["accuracy"] = 0.6 + seed / 100
    for cell in study.cells:
        for one in cell.runs.values():
            one.scores["in-domain"]["classification"]["accuracy"] = 0.9
    text = words(study)
    assert (
        "Cross-domain, 3 of 4 systems that classify are no more accurate than always guessing the majority" in text
    )
    assert "In-domain" not in text
    whole = analyse(study)
    one = replace(whole, scores=[score for score in whole.scores if score.cell is study.cells[0]])
    (said,) = chance(one)
    two = replace(whole, scores=[score for score in whole.scores if score.cell in study.cells[:2]])
    assert next(chance(two)).startswith("Cross-domain, none of 2 systems that classify is more accurate than")
    assert said.startswith("Cross-domain, the one system that classifies is no more accurate than always guessing")


def test_lines_for_a_terminal():
    study = noisy(factorial())
    study.gaps.append("UMTL 100-10 seed 7: failed")
    lines = summary_lines(analyse(study))
    table = [line for line in lines if line.startswith(("helps ", "open ", "no difference ", "verdict "))]
    assert len(table) == 1 + 8
    assert len({len(line) for line in table}) == 1
    assert max(map(len, table)) <= 80
    assert [line for line in lines if line in ("bridge: saliency", "ssl: confidence")] == [
        "bridge: saliency",
        "ssl: confidence",
    ]
    assert "Gap: UMTL 100-10 seed 7: failed" in lines


# --- the files --------------------------------------------------------------------------------------------------


class Seen(HTMLParser):
    """The tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


# One worker runs them all, so that what they look at is trained once.
pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Two real systems with two seeds; the pictures of single runs are left out."""
    folder = tmp_path_factory.mktemp("study")
    paths = []
    for name, seed in itertools.product(("enc", "enc-ssl"), (0, 1)):
        paths.append(folder / f"{name}-{seed}")
        run_workflow.run(tiny(name, seed=seed, train__steps=2), paths[-1], pictures=False)
    found = from_runs(paths)
    cells = [
        Cell(cell.name, {"ssl": level}, cell.labels, cell.digest, level == "confidence", runs=cell.runs)
        for cell, level in zip(found.cells, ("none", "confidence"), strict=True)
    ]
    title = "SSL <script>alert(1)</script> & more"
    command = "mmtk ablate --components ssl"
    return Study(title, cells, [0, 1], {"ssl": ["none", "confidence"]}, "factorial", ["<b>gap</b> here"], command)


def write(study: Study, out: Path) -> Path:
    """The report with the pictures of the effects and one more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_figures, "OF_STUDY", {"intensities": study_figures.intensities})
        patch.setattr(study_figures, "AT_BUDGET", {})
        return write_report(analyse(study), out)


@pytest.fixture(scope="module")
def report(study, tmp_path_factory):
    return write(study, tmp_path_factory.mktemp("report"))


def test_the_page_needs_nothing_beside_itself(report):
    text = report.read_text()
    seen = Seen(text)
    for tag, attributes in seen.tags:
        for name in ("src", "href"):
            assert (attributes.get(name) or "#").startswith(("data:", "#")), (tag, attributes)
    assert "url(" not in text
    assert "http://" not in text
    assert "https://" not in text
    policies = [m["content"] for m in seen.all("meta") if m.get("http-equiv") == "Content-Security-Policy"]
    assert policies[0].startswith("default-src 'none'")


def test_the_page_can_be_read_by_all(report):
    seen = Seen(report.read_text())
    assert seen.all("html") == [{"lang": "en"}]
    assert len(seen.all("h1")) == 1
    images = [image for image in seen.all("img") if image.get("src")]
    assert len(images) == 5
    assert all(len(image["alt"] or "") > 20 for image in images)
    assert [button.get("class") for button in seen.all("button") if "aria-label" in button] == ["drawing"] * 5
    assert all(head.get("scope") in ("col", "row") for head in seen.all("th"))
    assert len(seen.all("caption")) == len(seen.all("table")) == 15
    ids = [attributes["id"] for _, attributes in seen.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {link["href"][1:] for link in seen.all("a")} <= set(ids)


def test_text_of_others_is_escaped(report):
    text = report.read_text()
    assert "SSL &lt;script&gt;alert(1)&lt;/script&gt; &amp; more" in text
    assert "<script>alert" not in text
    assert "&lt;b&gt;gap&lt;/b&gt; here" in text


def test_every_table_and_picture_is_written(report):
    out = report.parent
    names = {path.stem for path in (out / "tables").glob("*.csv")}
    assert names == {
        "answer",
        "verdicts",
        "effects",
        "shapley",
        "tests",
        "results-in-domain",
        "results-cross-domain",
        "within",
        "strata",
        "strata-effects",
        "readings",
        "data",
        "encoder",
        "scores",
        "runs",
        "runs-long",
        "gaps",
    }
    assert names - {"runs-long"} == {path.stem for path in (out / "tables").glob("*.tex")}
    text = (out / "report.md").read_text()
    linked = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text)
    assert len(linked) == 5
    assert all((out / link).is_file() and not Path(link).is_absolute() for link in linked)
    assert "mmtk ablate --components ssl" in text
    assert str(out.parent) not in text + report.read_text()


def test_the_same_study_gives_the_same_bytes(study, report):
    folder = report.parent.parent / "again"
    write(study, folder)
    files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert files == sorted(path.relative_to(report.parent) for path in report.parent.rglob("*") if path.is_file())
    assert [name for name in files if (folder / name).read_bytes() != (report.parent / name).read_bytes()] == []


def test_a_report_takes_away_what_an_earlier_one_left_and_nothing_else(study, report, tmp_path):
    folder = tmp_path / "report"
    shutil.copytree(report.parent, folder)
    (folder / "figures" / "mine.png").write_bytes(b"mine")
    (folder / "notes.md").write_text("mine")
    one = Study("one", study.cells[:1], [0, 1])
    write(one, folder)
    assert not (folder / "tables" / "effects.csv").exists()
    assert (folder / "tables" / "scores.csv").is_file()
    drawn = {path.name for path in (folder / "figures").iterdir()}
    assert drawn == {"intensities.png", "intensities.svg", "mine.png"}
    assert (folder / "notes.md").is_file()


def test_a_list_of_files_from_elsewhere_removes_nothing_outside(study, tmp_path):
    out = tmp_path / "report"
    out.mkdir()
    (tmp_path / "figures").mkdir()
    mine = [tmp_path / "mine.txt", tmp_path / "figures" / "mine.png", out / "mine.txt"]
    for path in mine:
        path.write_text("mine")
    elsewhere = ["../mine.txt", "../figures/mine.png", str(mine[0]), "mine.txt", "figures/.."]
    write_json(out / "files.json", elsewhere)
    digest = hashlib.sha256(b"mine").hexdigest()
    rows = [json.dumps({"command": "report", "name": name, "sha256": digest}) for name in elsewhere[:3]]
    (out / MANIFEST).write_text("\n".join([*rows, "{", "[]", "null"]))
    write(study, out)
    assert all(path.is_file() for path in mine)


def test_a_run_without_its_layers_is_a_gap(study, tmp_path, monkeypatch):
    monkeypatch.setattr(study_figures, "drawings", lambda study, out, effects: [])
    folder = shutil.copytree(study.cells[1].runs[0].path, tmp_path / "run")
    analysis = analyse(from_runs([folder]))
    (folder / "layers.json").unlink()
    text = write_report(analysis, tmp_path / "report").read_text()
    assert "No architecture tables" in text
    tables = tmp_path / "report" / "tables"
    assert not (tables / "encoder.csv").exists()
    assert all((tables / f"{name}.csv").is_file() for name in ("data", "runs", "gaps"))


def test_importing_the_page_draws_nothing():
    code = "import sys, mmtk.report.page; sys.exit('matplotlib.figure' in sys.modules or 'pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=100).returncode == 0


def test_every_score_of_every_run_has_a_line(study, report, tmp_path):
    from io import StringIO

    import pandas as pd

    text = (report.parent / "tables" / "runs-long.csv").read_text()
    long = pd.read_csv(StringIO(text), dtype={"digest": str})
    pd.testing.assert_frame_equal(long, study.frame(), check_dtype=False)
    assert list(long.columns) == ["system", "digest", "budget", "seed", "domain", "task", "metric", "value"]
    run = study.cells[0].runs[1]
    row = long[
        (long.digest == run.digest) & (long.seed == 1) & (long.domain == "in-domain") & (long.metric == "accuracy")
    ]
    assert row.value.tolist() == [run.scores["in-domain"]["classification"]["accuracy"]]
    assert len(repr(study)) < 120
    assert "&lt;script&gt;" in study._repr_html_()


def test_a_run_is_read_back_as_tables(study):
    import mmtk

    run = study.cells[0].runs[0]
    result = mmtk.read_run(run.path)
    assert result.scores == run.scores
    cases = result.cases()
    assert {"domain", "task", "id", "target", "predicted"} <= set(cases.columns)
    accuracy = (cases.target == cases.predicted)[cases.domain == "in-domain"].mean()
    assert accuracy == pytest.approx(run.scores["in-domain"]["classification"]["accuracy"])
    assert result.history().index.tolist() == [1, 2]
    assert result.frame().set_index(["domain", "task", "metric"]).value["in-domain", "classification", "n"] == len(
        cases[cases.domain == "in-domain"]
    )
    assert repr(result).startswith("Result(")
    assert "accuracy" in result._repr_html_()
    assert mmtk.read_study([run.path]).frame().system.unique().tolist() == ["Enc"]


# --- the first screen -------------------------------------------------------------------------------------------


def test_the_answer_is_a_table_of_components_by_score_and_test_set():
    analysis = analyse(noisy(factorial()))
    table = answer(analysis)
    assert [row[0].text for row in table.rows] == ["bridge: saliency", "ssl: confidence"]
    heads = [
        "balanced accuracy in-domain",
        "Dice in-domain",
        "balanced accuracy cross-domain",
        "Dice cross-domain",
        "Seconds per step",
        "Memory",
        "Parameters",
    ]
    assert [column.name for column in table.columns[1:]] == heads
    cells = {
        (row[0].text, c.name): e.text.replace("\N{NO-BREAK SPACE}", " ")
        for row in table.rows
        for c, e in zip(table.columns, row, strict=True)
    }
    saliency, confidence = cells["bridge: saliency", "Dice in-domain"], cells["ssl: confidence", "Dice in-domain"]
    assert re.fullmatch(r"helps: \+0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] \(< 0\.1 %\)", saliency)
    assert re.fullmatch(r"open: [+−]?0\.\d{3} \[−0\.\d{3}, 0\.\d{3}\] \(\d+ %\)", confidence)
    settled, _, unsettled = " ".join(sentences(analysis)).partition(" Open")
    assert settled.startswith("Helps: bridge: saliency (")
    assert "ssl" not in settled.partition("No difference")[0]
    assert "ssl: confidence on Dice in-domain (" in unsettled


def test_two_seeds_have_points_and_no_interval_over_seeds_alone():
    analysis = analyse(noisy(factorial(range(2))))
    assert all("[" not in entry.text for row in answer(analysis).rows for entry in row)
    assert all(score.seeds.low is None for score in analysis.scores)
    assert any("over seeds alone need 3" in note for note in analysis.notes)
    assert "One seed: nothing can be concluded" in " ".join(sentences(analyse(factorial(range(1)))))


def test_no_interval_leaves_the_range_of_its_score():
    study = factorial(range(3))
    for cell, (seed, run) in ((c, pair) for c in study.cells for pair in c.runs.items()):
        values = (0.02, 0.3, 0.1) if cell.reference else (0.9, 0.7, 0.98)
        run.scores["in-domain"]["classification"]["accuracy"] = values[seed]
    analysis = analyse(study)
    for score in analysis.scores:
        if score.seeds.low is not None and score.metric != "average-hausdorff":
            assert 0 <= score.seeds.low <= score.seeds.high <= 1, score.metric
    tests = [test for one in analysis.comparisons for test in one.tests.values() if one.metric == "accuracy"]
    assert any(test.low == -1 for test in tests)
    assert all(test.low is None or -1 <= test.low <= test.high <= 1 for test in tests)


def test_several_budgets_are_rows_and_many_differences_are_counted():
    cells = []
    for masks in (10, 50):
        labels = {"classification": 100, "segmentation": masks}
        for name, gain in (("UMTL", 0.0), ("UMTL-S", 0.2), ("MultiMix", 0.4)):
            cells.append(made_cell(name, (), gain, labels=labels, reference=name == "MultiMix"))
            cells[-1].digest = f"{name}-{masks}"
    analysis = analyse(noisy(Study("study", cells, [0, 1, 2, 3])))
    table = answer(analysis)
    assert [column.name for column in table.columns[:2]] == ["Difference of", "Labels"]
    assert len(table.columns) == 2 + 4 + 3
    differences = ("MultiMix − UMTL", "MultiMix − UMTL-S")
    assert [(row[0].text, row[1].text) for row in table.rows] == [
        (what, labels) for labels in ("100-10", "100-50") for what in differences
    ]
    assert (
        " ".join(sentences(analysis))
        == "Settled: all 16 differences, in bold in the table (16 for the reference)."
    )
