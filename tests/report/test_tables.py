"""Tables and how they are written, on made-up studies and on one that was really trained."""

from __future__ import annotations

import csv
import io
import re
import shutil
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest
from test_analysis import factorial, made_cell, noisy
from tiny import tiny

from mmtk.errors import MmtkError
from mmtk.model.predictor import load
from mmtk.report.analysis import analyse
from mmtk.report.tables import paper
from mmtk.report.tables import study as study_tables
from mmtk.report.tables.latex import Column as LatexColumn
from mmtk.report.tables.latex import LatexTable, latex
from mmtk.report.tables.table import Column, Entry, Table, number, probability
from mmtk.study.results import Study, from_runs
from mmtk.workflows import run as run_workflow

HARD = "a|b & 50 % of $x_1 <b>#{~^\\}"


def parsed(table: Table) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(table.csv())))


@pytest.fixture
def table():
    rows = [
        [Entry(HARD), Entry("0.667 ± 0.100", {"": 2 / 3, "sd": 0.1}, best=True, mark="†")],
        [Entry("plain"), Entry("0.100", {"": 0.1, "published": 0.2}, note="paper 0.200")],
        [Entry("none"), Entry("–", {"": None})],
    ]
    return Table("name", "Title & more", "Caption <i>.", [Column("System"), Column("Acc", "accuracy", True)], rows)


def test_markdown_has_as_many_cells_in_every_row(table):
    lines = table.markdown().splitlines()
    assert lines[:2] == ["| System | Acc |", "| :-- | --: |"]
    assert lines[2].endswith("| **0.667 ± 0.100†** |")
    assert lines[3] == "| plain | 0.100 [paper 0.200] |"
    assert [line.replace("\\|", "").count("|") for line in lines] == [3] * 5


def test_csv_keeps_raw_numbers(table):
    rows = parsed(table)
    assert [row["System"] for row in rows] == [HARD, "plain", "none"]
    assert [row["Acc"] for row in rows] == [repr(2 / 3), "0.1", ""]
    assert [row["Acc sd"] for row in rows] == ["0.1", "", ""]
    assert [row["Acc published"] for row in rows] == ["", "0.2", ""]


def test_latex_escapes_what_it_would_take_for_a_command(table):
    text = table.latex()
    assert (
        r"a\textbar{}b \& 50~\% of \$x\_1 $<$b$>$\#\{\textasciitilde{}\textasciicircum{}\textbackslash{}\}" in text
    )
    assert r"\textbf{0.667~$\pm$~0.100$^{\dagger}$} \\" in text
    assert r"\caption{Title \& more. Caption $<$i$>$.}" in text
    for rule in ("toprule", "midrule", "bottomrule"):
        assert text.count(rule) == 1
    assert all(line.count(" & ") == 1 for line in text.splitlines() if line.endswith(r"\\"))


def test_html_is_well_formed_and_says_what_heads_what(table):
    root = ElementTree.fromstring(table.html())
    assert "".join(root.find("caption").itertext()) == "Title & more. Caption <i>."
    assert [head.get("scope") for head in root.findall("thead/tr/th")] == ["col", "col"]
    assert all(head.find("button").get("type") == "button" for head in root.findall("thead/tr/th"))
    rows = root.findall("tbody/tr")
    assert [row.find("th").get("scope") for row in rows] == ["row"] * 3
    assert [row.find("td").get("data-value") for row in rows] == [repr(2 / 3), "0.1", None]
    assert rows[0].find("th").text == HARD
    assert (rows[0].find("td/b").text, rows[0].find("td/sup").text) == ("0.667 ± 0.100", "†")
    assert rows[1].find("td/span").text == "paper 0.200"


def test_a_column_without_text_is_left_out_of_the_page_alone(table):
    rows = [[*row, Entry("")] for row in table.rows]
    noted = replace(table, columns=[*table.columns, Column("Note")], rows=rows)
    assert noted.html() == table.html()
    assert "Note" in noted.csv()
    rows[0][-1] = Entry("one seed")
    assert "one seed" in replace(noted, rows=rows).html()


def test_numbers_in_words():
    assert [number(v) for v in (0.12345, -0.5, -0.0001, None, float("nan"))] == [
        "0.123",
        "−0.500",
        "0.000",
        "–",
        "–",
    ]
    assert [number(v, sign=True) for v in (0.1, -0.1, 0.0)] == ["+0.100", "−0.100", "0.000"]
    assert [probability(p) for p in (None, 0.0004, 0.001, 1.0)] == ["–", "< 0.001", "0.001", "1.000"]
    assert latex("5 – 3 × 2 − 1 → 4…") == r"5 {--} 3 $\times$ 2 $-$ 1 $\rightarrow$ 4\dots{}"


def test_signs_of_a_system_are_no_options_of_latex_and_its_letters_name_what_they_need():
    def table_of(name: str) -> str:
        return LatexTable("t", "c", [LatexColumn("System", False)], [[(name, False)]] * 2).text()

    for name, row in (("[ours]", "{}[ours]"), ("*best", "{}*best"), ("ψ₀ ≠ Ω", r"$\psi$$_0$ $\neq$ $\Omega$")):
        assert table_of(name).count("\n" + row + r" \\") == 2
    packages = r"% needs \usepackage{array,booktabs}"
    for name, needs in (
        ("Größe, Łódź", ""),
        ("„mądry”", r" and \usepackage[T1]{fontenc}"),
        ("模型 mądry", ", lualatex and a font with 型模"),
    ):
        assert table_of(name).splitlines()[0] == packages + needs


def test_a_wide_latex_table_lies_across_and_explains_what_it_abbreviates():
    tex = paper.results(analyse(factorial()), "in-domain").latex()
    assert tex.startswith("% needs \\usepackage{array,booktabs,pdflscape}\n\\begin{landscape}\n\\begin{table}\n")
    assert "System & Labels & Seeds & Acc & Maj & F1-N & F1-P & DS & AHD" in tex
    assert "Maj: accuracy of always guessing the majority class" in tex
    assert "AHD: average Hausdorff distance in pixels" in tex
    assert r"\caption{In-domain results." in tex
    assert study_tables.gaps(["none"]).latex().startswith("% needs \\usepackage{array,booktabs}\n\\begin{table}\n")


def test_long_cells_of_a_latex_table_wrap_within_the_line():
    columns = [LatexColumn("System", False), LatexColumn("Change", True), LatexColumn("Note", False)]
    rows = [[("MultiMix", False), ("−0.001 to 0.002", True), ("several words " * 6, False)]]
    tex = LatexTable("t", "c", columns, rows).text()
    widths = [float(width) for width in re.findall(r"p\{([0-9.]+)\\dimexpr", tex)]
    assert sum(widths) == pytest.approx(1, abs=0.001)  # with the gaps: the line
    assert max(widths) == widths[2]
    assert r"\textbf{$-$0.001~to~0.002}" in tex


def test_latex_numbers_break_before_their_spread_only_where_a_page_is_too_narrow():
    for count, cell in ((5, r"0.221~$\pm$~0.312"), (13, r"0.221 $\pm$~0.312")):
        columns = [LatexColumn("F1", True)] * count
        tex = LatexTable("t", "c", columns, [[("0.221 ± 0.312", True)] * count]).text()
        assert tex.count(rf"\textbf{{{cell}}}") == count


def test_a_long_latex_table_runs_over_pages_with_its_headings():
    columns, rows = [LatexColumn("a", False)], [[(str(k), False)] for k in range(60)]
    tex = LatexTable("t", "c", columns, rows).text()
    assert r"\usepackage{array,booktabs,longtable}" in tex
    assert tex.count(r"a \\") == 2
    assert r"\begin{table}" not in tex
    short = LatexTable("t", "c", columns, rows[:30]).text()
    assert r"\begin{table}" in short
    assert "longtable" not in short


def test_what_the_majority_class_reaches_is_never_bold():
    study = factorial()
    for cell in study.cells:
        for run in cell.runs.values():
            run.scores["in-domain"]["classification"]["accuracy"] = 2 / 3
    table = paper.results(analyse(study), "in-domain")
    place = [column.name for column in table.columns].index("accuracy")
    assert not any(row[place].best for row in table.rows)


def test_results_in_the_layout_of_the_paper():
    study = noisy(factorial())
    study.cells.append(made_cell("Enc", (), 0.0, labels={"classification": 100}))
    analysis = analyse(study)
    table = paper.results(analysis, "in-domain")
    headings = [
        "System",
        "Labels",
        "Seeds",
        "accuracy",
        "always the majority",
        "F1 of normal",
        "F1 of pneumonia",
        "Dice",
        "average Hausdorff distance (px)",
    ]
    assert [column.name for column in table.columns] == headings
    rows = {row["System"]: row for row in parsed(table)}
    assert list(rows) == ["UMTL", "UMTL-S", "UMTL-SSL", "MultiMix", "Enc"]
    assert rows["Enc"]["Labels"] == "100 class labels"
    assert (rows["Enc"]["always the majority"], rows["Enc"]["Dice"]) == (repr(2 / 3), "")
    score = analysis.score(study.cells[0], "in-domain", "segmentation", "dice")
    assert float(rows["UMTL"]["Dice"]) == score.seeds.mean
    assert float(rows["UMTL"]["Dice sd"]) == score.seeds.sd
    # The phantom is not the paper's data, so the paper's numbers do not stand beside it.
    assert not any("published" in name for name in rows["UMTL"])

    for column, choose in (("Dice", max), ("average Hausdorff distance (px)", min)):
        place = headings.index(column)
        known = [(row[0].text, row[place].numbers[""]) for row in table.rows]
        means = {name: mean for name, mean in known if mean is not None}
        best = {row[0].text for row in table.rows if row[place].best}
        assert best == {choose(means, key=means.get)}


def test_the_dagger_is_what_holm_leaves():
    analysis = analyse(noisy(factorial()))
    for domain in ("in-domain", "cross-domain"):
        table = paper.results(analysis, domain)
        place = [column.name for column in table.columns].index("Dice")
        marked = {row[0].text for row in table.rows if row[place].mark}
        expected = {
            one.other.name
            for one in analysis.comparisons
            if (one.metric, one.domain) == ("dice", domain) and one.tests["student"].adjusted < 0.05
        }
        assert marked == expected == {"UMTL", "UMTL-SSL"}
    assert "†" in table.caption
    assert "†" not in paper.results(analyse(factorial(range(1))), "in-domain").caption


def test_the_paper_stands_beside_its_own_data():
    cells = [
        made_cell("UMTL", (), 0.0, source="chex"),
        made_cell("MultiMix", (), 0.1, source="chex"),
        made_cell("Mine", (), 0.1, source="chex"),
    ]
    analysis = analyse(Study("study", cells, [0, 1, 2, 3]))
    table = paper.results(analysis, "in-domain")
    rows = {row["System"]: row for row in parsed(table)}
    # Table 2 of the paper at 100 labels and 10 masks; the made-up masks are not JSRT's.
    assert [rows[name]["accuracy published"] for name in ("UMTL", "MultiMix", "Mine")] == ["0.707", "0.8", ""]
    assert "Dice published" not in rows["UMTL"]
    assert "not measured here" in table.caption
    assert "[paper 0.800]" in table.markdown()
    assert not any("published" in name for name in parsed(paper.results(analysis, "cross-domain"))[0])


def test_every_published_row_is_read():
    published = paper.published()
    assert len(published) == 2 * 36
    assert published["MultiMix", "100", "10", "cross-domain"] == {
        "accuracy": 0.44,
        "f1-normal": 0.164,
        "f1-pneumonia": 0.51,
        "dice": 0.857,
        "average-hausdorff": 1.227,
        "ssim": 0.863,
    }
    assert set(published["U-Net", "", "full", "in-domain"]) == {"dice", "average-hausdorff", "ssim"}


def test_statistics_as_tables():
    analysis = analyse(noisy(factorial()))
    tests = parsed(study_tables.tests(analysis))
    assert len(tests) == sum(len(one.tests) for one in analysis.comparisons)
    assert all((row["p"] and row["p (Holm)"]) or "no test" in row["Note"] for row in tests)
    assert {row["Test"] for row in tests} == {"Student's t-test", "paired t-test"}
    assert {row["Speaks of"] for row in tests} == {"new trainings on these patients"}
    made = parsed(study_tables.tests(analyse(factorial())))
    leading = [row for row in made if row["Test"] == "two-way"]
    assert {row["Metric"] for row in leading} == {"Dice", "accuracy"}
    assert {(row["Speaks of"], row["Seeds"], row["Patients"]) for row in leading} == {
        ("new trainings, new patients", "4", "30")
    }
    effects = parsed(study_tables.effects(analysis.study, analysis.effects))
    assert len(effects) == 3 * 12
    dice = [row for row in effects if row["Metric"] == "Dice" and row["Effect of"] == "bridge: saliency"]
    assert all(float(row["Effect"]) == pytest.approx(0.2, abs=0.03) for row in dice)
    assert all(float(row["95 % interval low"]) < float(row["Effect"]) for row in dice)
    shares = [row for row in parsed(study_tables.shapley(analysis)) if row["Metric"] == "Dice"]
    gain = sum(float(row["Share"]) for row in shares if row["Test set"] == "in-domain")
    assert gain == pytest.approx(float(shares[0]["All"]) - float(shares[0]["None"]))
    assert len(parsed(study_tables.scores(analysis))) == len(analysis.scores)
    one_seed = parsed(study_tables.tests(analyse(factorial(range(1)))))
    assert {row["p"] for row in one_seed if row["Seeds"] == "1"} == {""}
    assert {row["Note"] for row in one_seed if row["Test"] == "Student's t-test"} == {"one seed: no test"}
    assert parsed(study_tables.gaps(["this", "that"])) == [{"Gap": "this"}, {"Gap": "that"}]


# One worker runs them all, so that what they look at is trained once.
pytestmark = pytest.mark.xdist_group("report")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    for name in ("enc", "multimix"):
        run_workflow.run(tiny(name, train__steps=2), folder / name, pictures=False)
    return folder


def test_architecture_of_the_live_model(trained):
    analysis = analyse(from_runs([trained / "enc", trained / "multimix"]))
    encoder, decoder = paper.architecture(analysis)
    assert (encoder.title, decoder.title) == ("Encoder and class head", "Decoder and bridge")
    net = load(trained / "multimix", "cpu").net
    counted = sum(int(row["Parameters"]) for table in (encoder, decoder) for row in parsed(table))
    assert counted == sum(p.numel() for p in net.parameters())
    rows = {row["Layer"]: row for row in parsed(encoder) + parsed(decoder)}
    assert rows["encoder.blocks.0.0"]["Output"] == "4 × 32 × 32"
    assert rows["head.linear"]["Output"] == "2"
    assert rows["decoder.last"]["Output"] == "1 × 32 × 32"
    assert rows["encoder.blocks.0.0"]["Kind"].startswith("Conv2d(1, 4, kernel_size=(3, 3)")

    only = paper.architecture(analyse(from_runs([trained / "enc"])))
    assert [table.name for table in only] == ["encoder"]


def test_the_first_of_single_runs_is_the_reference(trained):
    for first, second in (("enc", "multimix"), ("multimix", "enc")):
        found = analyse(from_runs([trained / first, trained / second])).comparisons
        pairs = {(one.reference.name.lower(), one.other.name.lower()) for one in found}
        assert pairs == {(first, second)}


def test_architecture_of_a_run_without_its_layers_is_a_gap(trained, tmp_path):
    folder = shutil.copytree(trained / "enc", tmp_path / "run")
    analysis = analyse(from_runs([folder]))
    (folder / "layers.json").unlink()
    with pytest.raises(MmtkError, match=r"no layers\.json, which runs of mmtk 0\.1 did not write"):
        paper.architecture(analysis)


def test_data_and_runs_of_a_study(trained):
    analysis = analyse(from_runs([trained / "enc", trained / "multimix"]))
    rows = parsed(paper.data(analysis))
    assert {(row["Task"], row["Domain"], row["Part"]): row["Images"] for row in rows} == {
        ("classification", "in-domain", "labelled (8 labels)"): "8",
        ("classification", "in-domain", "unlabelled (8 labels)"): "16",
        ("classification", "in-domain", "val"): "8",
        ("classification", "in-domain", "test"): "10",
        ("classification", "cross-domain", "test"): "10",
        ("segmentation", "in-domain", "labelled (4 labels)"): "4",
        ("segmentation", "in-domain", "unlabelled (4 labels)"): "20",
        ("segmentation", "in-domain", "val"): "8",
        ("segmentation", "in-domain", "test"): "10",
        ("segmentation", "cross-domain", "test"): "10",
    }
    assert {row["Set"] for row in rows} == {"phantom"}
    assert rows[3]["Classes"].endswith("pneumonia")

    runs = parsed(study_tables.runs(analysis, trained / "report"))
    assert [row["Folder"] for row in runs] == ["../enc", "../multimix"]
    assert [row["Steps"] for row in runs] == ["2", "2"]
    assert not Path(runs[0]["Folder"]).is_absolute()


def test_a_table_of_more_columns_than_a_line_has_signs_is_written() -> None:
    columns = [Column(f"a score {k}") for k in range(120)]
    text = Table("wide", "Wide", "Many scores", columns, [[Entry("a long cell")] * 120]).latex()
    assert text.count("a long cell") == 120
