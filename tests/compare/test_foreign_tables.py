"""Tables of other programs: the shapes that they have, and what is wrong with them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import caller
from report_files import report_files

import mmtk
from mmtk.errors import MmtkError
from mmtk.io.outputs import OutputFolder

SYSTEMS = {"unet": 0.0, "swin": 0.04}


def scores(seeds: int = 4, cases: int = 24, systems: dict[str, float] = SYSTEMS) -> pd.DataFrame:
    """Dice and HD95 of systems, of which the second is better by 0.04 on every case."""
    rng = np.random.default_rng(7)
    level = rng.uniform(0.7, 0.9, cases)
    rows = []
    for system, gain in systems.items():
        for seed in range(seeds):
            noise = rng.normal(0, 0.004, cases)
            for case in range(cases):
                dice = level[case] + gain + noise[case]
                rows.append((system, seed, f"case{case:02d}", f"p{case // 2}", dice, 5 - 3 * dice))
    return pd.DataFrame(rows, columns=["model", "seed", "image_id", "patient_id", "DSC", "HD95"])


def predictions(cases: int = 60) -> pd.DataFrame:
    """Targets and probabilities of two systems."""
    rng = np.random.default_rng(3)
    target = np.arange(cases) % 3 == 0
    rows = []
    for system, sharpness in {"A": 1.0, "B": 2.5}.items():
        for seed in range(3):
            logit = sharpness * (target * 2 - 1) + rng.normal(0, 1, cases)
            for case in range(cases):
                rows.append((system, seed, case, ("normal", "pneumonia")[int(target[case])], logit[case]))
    return pd.DataFrame(rows, columns=["model", "seed", "case", "label", "logit"])


def values(comparison: mmtk.workflows.compare.Comparison, metric: str) -> dict[str, float]:
    """Mean score over seeds by system."""
    frame = comparison.frame()
    return frame[frame["metric"] == metric].groupby("system")["value"].mean().to_dict()


def notes(comparison: mmtk.workflows.compare.Comparison) -> str:
    return "\n".join(comparison.study.gaps)


def test_a_long_table_gives_the_differences_that_its_rows_have(tmp_path: Path) -> None:
    table = scores()
    table.to_csv(tmp_path / "results.csv", index=False)
    comparison = mmtk.compare(tmp_path / "results.csv")
    means = table.groupby("model")["DSC"].mean().to_dict()
    assert values(comparison, "dice") == pytest.approx(means, abs=1e-12)
    assert comparison.mapping[0] == "system = model"
    (verdict,) = comparison.verdicts().to_dict("records")
    assert verdict["difference"] == "unet − swin"
    assert verdict["verdict"] == "harms"
    assert verdict["change"] == pytest.approx(means["unet"] - means["swin"], abs=1e-12)
    assert verdict["low"] < verdict["change"] < verdict["high"]
    assert verdict["p"] < 0.05
    hd95 = comparison.study.declared["segmentation"]["hd95"]
    assert (hd95.better, hd95.unit) == ("lower", "")


def test_the_interval_is_that_of_patients_and_seeds_by_hand(tmp_path: Path) -> None:
    """The formulas of the specification, from the rows themselves."""
    table = scores(seeds=3)
    wide = table.pivot_table(index=["patient_id", "image_id"], columns=["model", "seed"], values="DSC")
    difference = (wide["unet"] - wide["swin"]).to_numpy().T
    seeds, patients = 3, 12
    each = difference.reshape(seeds, patients, 2)
    theta = difference.mean(1)
    without = (difference.sum(1)[:, None] - each.sum(2)) / (difference.shape[1] - 2)
    pseudo = patients * theta[:, None] - (patients - 1) * without
    est = theta.mean()
    v_s = ((theta - est) ** 2).sum() / ((seeds - 1) * seeds)
    by_patient, by_seed = pseudo.mean(0), pseudo.mean(1)
    ms_p = seeds * ((by_patient - pseudo.mean()) ** 2).sum() / (patients - 1)
    residual = pseudo - by_seed[:, None] - by_patient + pseudo.mean()
    ms_sp = (residual**2).sum() / ((seeds - 1) * (patients - 1))
    v_p = max(ms_p - ms_sp, 0) / (seeds * patients)
    interval = mmtk.compare(table).analysis.comparisons[0].interval
    assert interval is not None
    assert interval.est == pytest.approx(est, abs=1e-12)
    assert (interval.seeds, interval.patients) == (3, 12)
    from scipy.special import stdtrit

    df = (v_s + v_p) ** 2 / (v_s**2 / (seeds - 1) + v_p**2 / (patients - 1))
    half = max(stdtrit(df, 0.975) * np.sqrt(v_s + v_p), stdtrit(seeds - 1, 0.975) * np.sqrt(v_s))
    assert interval.high - interval.est == pytest.approx(half, rel=1e-9)


def shapes(table: pd.DataFrame, folder: Path) -> dict[str, list[Path]]:
    """The same values in the shapes of tables that people have."""
    folder.mkdir()
    rows = table.melt(["model", "seed", "image_id", "patient_id"], var_name="metric", value_name="value")
    rows.to_csv(folder / "rows.csv", index=False)
    wide = table.pivot_table(index=["image_id", "patient_id"], columns=["model", "seed"], values="DSC")
    wide.columns = [f"{model}_seed{seed}" for model, seed in wide.columns]
    wide.reset_index().to_csv(folder / "dice.csv", index=False)
    table.to_parquet(folder / "table.parquet")
    european = table.copy()
    for name in ("DSC", "HD95"):
        european[name] = european[name].map(lambda value: repr(value).replace(".", ","))
    european.to_csv(folder / "european.csv", sep=";", index=False, encoding="utf-8-sig")
    percent = table.copy()
    percent["DSC"] *= 100
    percent.to_csv(folder / "percent.csv", index=False)
    for model, part in table.groupby("model"):
        mean = pd.DataFrame([{"seed": 0, "image_id": "mean", "patient_id": "", "DSC": 0.5, "HD95": 1.0}])
        pd.concat([part.drop(columns="model"), mean]).to_csv(folder / f"{model}.csv", index=False)
    table.to_csv(folder / "utf16.csv", index=False, encoding="utf-16", sep="\t")
    names = ("rows", "dice", "european", "percent", "utf16")
    files = {name: [folder / f"{name}.csv"] for name in names}
    return {**files, "parquet": [folder / "table.parquet"], "several": [folder / "unet.csv", folder / "swin.csv"]}


@pytest.mark.parametrize("shape", ["rows", "dice", "european", "percent", "utf16", "parquet", "several"])
def test_every_shape_gives_the_same_numbers(tmp_path: Path, shape: str) -> None:
    table = scores()
    comparison = mmtk.compare(shapes(table, tmp_path / "shapes")[shape])
    assert values(comparison, "dice") == pytest.approx(table.groupby("model")["DSC"].mean().to_dict(), abs=1e-9)
    expected = mmtk.compare(table, system="swin").verdicts()
    found = mmtk.compare(shapes(table, tmp_path / "again")[shape], system="swin").verdicts()
    assert found[["low", "high", "p"]].to_numpy() == pytest.approx(expected[["low", "high", "p"]].to_numpy())
    assert ("percent" in notes(comparison)) == (shape == "percent")
    assert ("summaries" in notes(comparison)) == (shape == "several")


def test_logits_become_probabilities_and_a_note_says_so() -> None:
    table = predictions()
    comparison = mmtk.compare(table)
    assert "taken as logits (sigmoid)" in notes(comparison)
    assert "the positive class is 'pneumonia'" in notes(comparison).lower()
    from sklearn.metrics import roc_auc_score

    for system, auroc in values(comparison, "auroc").items():
        part = table[table["model"] == system]
        expected = [roc_auc_score(one["label"] == "pneumonia", one["logit"]) for _, one in part.groupby("seed")]
        assert auroc == pytest.approx(np.mean(expected), abs=1e-9)
    right = table.assign(right=(table["logit"] > 0) == (table["label"] == "pneumonia"))
    assert values(comparison, "accuracy") == pytest.approx(right.groupby("model")["right"].mean().to_dict())


@pytest.mark.parametrize(
    ("scale", "sentence", "is_calibrated"),
    [
        (100.0, "probabilities are in percent", True),
        (0.9, "do not sum to 1: there is no calibration error", False),
    ],
)
def test_scores_that_are_no_probabilities_are_named(scale: float, sentence: str, is_calibrated: bool) -> None:
    table = predictions()
    positive = scale / (1 + np.exp(-table["logit"]))
    columns = {"p-normal": scale - positive, "p-pneumonia": positive}
    comparison = mmtk.compare(table.drop(columns="logit").assign(**columns))
    assert sentence in notes(comparison).lower()
    assert ("calibration-error" in {*comparison.frame()["metric"]}) == is_calibrated
    assert values(comparison, "auroc") == pytest.approx(values(mmtk.compare(table), "auroc"))


def test_classes_alone_have_scores_of_classes(tmp_path: Path) -> None:
    """The file of the tool of arXiv 2505.04720: case, truth, and a column for every algorithm."""
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 40)
    table = pd.DataFrame({"case_id": range(40), "ground_truth": truth})
    for number, error in ((1, 0.1), (2, 0.4)):
        table[f"alg_0{number}"] = np.where(rng.random(40) < error, (truth + 1) % 3, truth)
    table.to_csv(tmp_path / "algorithms.csv", index=False)
    comparison = mmtk.compare(tmp_path / "algorithms.csv")
    expected = {name: (table[name] == truth).mean() for name in ("alg_01", "alg_02")}
    assert values(comparison, "accuracy") == pytest.approx(expected)
    assert {"auroc", "calibration-error"} & {*comparison.frame()["metric"]} == set()


def test_one_number_per_run_is_tested_over_seeds_alone(tmp_path: Path) -> None:
    table = scores().groupby(["model", "seed"])[["DSC"]].mean().reset_index()
    comparison = mmtk.compare(table, tmp_path / "report")
    (one,) = comparison.analysis.comparisons
    assert [*one.tests] == ["paired", "student"]
    page = (tmp_path / "report/index.html").read_text()
    assert "for new trainings on these patients" in page
    assert "Seconds per step" not in page.partition("<h2>Methods")[0].replace("Seconds per step, memory", "")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns=["DSC", "HD95"]).assign(seed="x"), "no column holds numbers"),
        (lambda t: pd.concat([t, t.head(1).assign(DSC=0.1)]), "has two rows with other values"),
        (lambda t: t.assign(DSC=np.where(t.index == 3, -0.4, t["DSC"])), "which it cannot be"),
        (lambda t: t.assign(DSC=np.where(t.index == 3, np.inf, t["DSC"])), "infinite"),
        (lambda t: t.assign(model=[f"m{row}" for row in range(len(t))]), "Say what names a system: --by"),
        (lambda t: t.assign(image_id=t["model"] + t["image_id"]), "Cases are paired by their names"),
        (lambda t: t.drop(columns=["image_id", "patient_id"]), "no case in them"),
        (lambda t: t.groupby("model")[["DSC"]].mean().reset_index(), "mmtk audit"),
        (lambda t: t.assign(model=np.where(t.index == 5, "", t["model"])), "is empty in 1 row"),
        (lambda t: t.rename(columns={"HD95": "DSC"}), "two columns are called 'DSC'"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_a_cure(change, message: str) -> None:
    with pytest.raises(MmtkError, match=message) as error:
        mmtk.compare(change(scores())).report("unused")
    assert error.value.hint


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="logit").assign(pred=t["label"].replace("normal", "ok")), "none of the classes"),
        (lambda t: t.rename(columns={"logit": "p-x"}).assign(**{"p-y": 1.0}), "none of the classes"),
        (lambda t: t.assign(label="normal"), "all targets are 'normal'"),
        (lambda t: t.assign(label=0.5), "no classes"),
    ],
)
def test_classes_that_do_not_fit_are_refused(change, message: str) -> None:
    with pytest.raises(MmtkError, match=message) as error:
        mmtk.compare(change(predictions()))
    assert error.value.hint


def test_cases_that_are_not_in_every_run_are_named_and_left_out_everywhere() -> None:
    table = scores()
    short = table[~((table["model"] == "swin") & (table["seed"] == 2) & (table["image_id"] == "case07"))]
    comparison = mmtk.compare(short)
    assert "1 of 24 cases not in every run, left out everywhere: case07; absent from swin (seed 2)" in notes(
        comparison
    )
    rest = table[table["image_id"] != "case07"]
    assert values(comparison, "dice") == pytest.approx(rest.groupby("model")["DSC"].mean().to_dict(), abs=1e-12)


def test_a_table_without_cases_promises_nothing_for_new_patients(tmp_path: Path) -> None:
    table = scores()
    mmtk.compare(table, out=tmp_path / "cases")
    mmtk.compare(table.groupby(["model", "seed"])[["DSC"]].mean().reset_index(), out=tmp_path / "means")
    with_cases, without = ((tmp_path / name / "report.md").read_text() for name in ("cases", "means"))
    assert "95 % interval for new trainings and new patients" in with_cases
    assert "over seeds on 24 segmentation images." in with_cases
    assert "95 % interval for new trainings on these patients" in without
    assert "new trainings and new patients" not in without.split("Open: neither is shown.")[0]
    assert "Mean ± sd over seeds. Bold" in without


def test_a_case_without_a_value_counts_in_no_system() -> None:
    table = scores()
    hole = (table["model"] == "swin") & (table["seed"] == 2) & (table["image_id"] == "case07")
    comparison = mmtk.compare(table.assign(DSC=table["DSC"].where(~hole)))
    rest = table[table["image_id"] != "case07"]
    assert values(comparison, "dice") == pytest.approx(rest.groupby("model")["DSC"].mean().to_dict(), abs=1e-12)
    assert values(comparison, "hd95") == pytest.approx(table.groupby("model")["HD95"].mean().to_dict(), abs=1e-12)
    assert any("no value in some run" in note for note in comparison.analysis.notes)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (lambda t: pd.concat([t, t.head(2)]), "2 cases stand in several equal rows: counted once"),
        (lambda t: t.assign(seed=t["seed"].map({0: "a", 1: "b", 2: "c", 3: "d"})), "seeds are no whole numbers"),
        (lambda t: t[t["model"] == "unet"], "one system only"),
        (lambda t: t.assign(DSC=t["DSC"] * np.where(t["model"] == "swin", 100, 1)), "swin alone is in percent"),
        (lambda t: t.drop(columns=["HD95"]).rename(columns={"DSC": "wellness"}), "--lower"),
        (lambda t: t[~((t["model"] == "swin") & (t["seed"] == 1))], "swin: no run with seed 1"),
    ],
)
def test_what_is_odd_is_read_and_named(change, sentence: str) -> None:
    comparison = mmtk.compare(change(scores()))
    assert sentence.lower() in notes(comparison).lower()
    assert len(comparison.analysis.scores) >= 1


@pytest.mark.long
def test_a_report_can_be_made_again_to_the_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    mmtk_command = caller(monkeypatch, capsys)
    scores().to_csv("results.csv", index=False)
    first = ["results.csv", "--out", "report", "--system", "swin", "--margin", "dice=0.02"]
    assert mmtk_command("compare", *first)[0] == 0
    files = report_files(tmp_path / "report")
    assert b'system = "swin"' in files["compare.toml"]
    code, output, _ = mmtk_command("compare", "report/compare.toml")
    assert code == 0
    assert output.startswith("Mapping system = model")
    assert report_files(tmp_path / "report") == files


@pytest.mark.long
def test_tables_need_no_torch(tmp_path: Path) -> None:
    scores(2, 12).to_csv(tmp_path / "results.csv", index=False)
    code = (
        "import sys, mmtk; mmtk.compare('results.csv', 'report'); assert 'torch' not in sys.modules; "
        "assert 'mlflow' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)


def test_keys_that_do_not_exist_are_named(tmp_path: Path) -> None:
    file = tmp_path / "compare.toml"
    file.write_text("source = ['a.csv']\n")
    with pytest.raises(MmtkError, match=r"source: no such key. Did you mean 'sources'\?"):
        mmtk.compare(file)
    with pytest.raises(MmtkError, match=r"no such column\. Did you mean 'model'"):
        mmtk.compare(scores(), columns={"system": "modell"})
    with pytest.raises(MmtkError, match=r"no system 'swim'\. Did you mean 'swin'"):
        mmtk.compare(scores(), system="swim")


def test_a_table_of_cross_validation_is_read_as_folds() -> None:
    table = scores(seeds=1, cases=40)
    table["seed"] = [int(case[4:]) % 4 + 1 for case in table["image_id"]]
    comparison = mmtk.compare(table.rename(columns={"seed": "fold"}))
    assert "taken as 4 folds" in notes(comparison)
    (one,) = [one for one in comparison.analysis.comparisons if one.metric == "dice"]
    assert [*one.tests] == ["corrected t"]
    means = table.groupby(["model", "seed"])["DSC"].mean()
    differences = (means["unet"] - means["swin"]).to_numpy()
    error = np.sqrt((1 / 4 + 1 / 3) * differences.var(ddof=1))
    assert one.lead.difference == pytest.approx(differences.mean())
    from scipy.stats import t

    assert one.lead.p == pytest.approx(2 * t.sf(abs(differences.mean()) / error, 3))


def test_the_class_of_a_single_probability_is_said_and_can_be_named() -> None:
    table = predictions().rename(columns={"logit": "prob"})
    table["prob"] = 1 / (1 + np.exp(-table["prob"]))
    table["label"] = table["label"].replace({"normal": "zebra", "pneumonia": "asthma"})
    wrong = mmtk.compare(table)
    assert "'prob' is taken as that of class 'zebra': call it p-CLASS" in notes(wrong)
    right = mmtk.compare(table.rename(columns={"prob": "p-asthma"}))
    assert "The positive class is 'asthma', not 'zebra'." in right.study.gaps
    for system, auroc in values(right, "auroc").items():
        assert auroc == pytest.approx(1 - values(wrong, "auroc")[system])
        assert auroc > 0.7


@pytest.mark.long
def test_tables_of_one_name_in_two_folders_are_two_systems(tmp_path: Path) -> None:
    files = []
    for name, part in scores().groupby("model"):
        (tmp_path / str(name)).mkdir()
        part.drop(columns="model").to_csv(tmp_path / f"{name}/results.csv", index=False)
        files.append(tmp_path / f"{name}/results.csv")
    for sources in (files, [tmp_path]):
        means = values(mmtk.compare(sources), "dice")
        assert means == {
            f"{name}/results": pytest.approx(values(mmtk.compare(scores()), "dice")[name]) for name in SYSTEMS
        }
    assert values(mmtk.compare([files[0], files[0]]), "dice").keys() == {"results"}


def test_a_run_that_stands_in_two_tables_is_refused(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv"):
        scores().to_csv(tmp_path / name, index=False)
    with pytest.raises(MmtkError, match="case 'case00' of system 'unet', seed 0 stands in two sources"):
        mmtk.compare([tmp_path / "a.csv", tmp_path / "b.csv"])


def test_percent_is_that_of_a_run(tmp_path: Path) -> None:
    table = scores()
    table.loc[(table["model"] == "unet") & (table["seed"] == 1), "DSC"] *= 100
    table.loc[table["model"] == "swin", "DSC"] *= 100
    comparison = mmtk.compare(table)
    assert values(comparison, "dice") == pytest.approx(values(mmtk.compare(scores()), "dice"))
    assert "dice of swin, unet (seed 1) alone is in percent: divided by 100" in comparison.records.notes


def test_a_case_of_two_classes_is_refused() -> None:
    table = predictions()
    table.loc[(table["model"] == "B") & (table["case"] == 1), "label"] = "pneumonia"
    with pytest.raises(
        MmtkError, match=r"case '1' is 'normal' in system 'A' and 'pneumonia' in system 'B' \(3 rows"
    ):
        mmtk.compare(table)


def test_names_that_look_alike_and_cases_without_a_value_are_noted() -> None:
    table = scores()
    table.loc[table["seed"] == 1, "model"] = table["model"].str.upper()
    table.loc[3, "DSC"] = np.nan
    notes = mmtk.compare(table).records.notes
    assert "UNET, unet differ in case, spaces or signs alone: taken as 2 systems" in notes
    assert "dice: 1 of 24 cases without a value in some run, left out: case03" in notes


def test_hidden_tables_of_a_folder_and_those_of_an_earlier_report_are_none(tmp_path: Path) -> None:
    with OutputFolder(tmp_path, "report").staged() as stage:
        (stage / "tables").mkdir()
        (stage / "tables/results-test.csv").write_text("system,dice\nours,0.9\n")
    (tmp_path / "__MACOSX").mkdir()
    for name, part in scores().groupby("model"):
        part.to_csv(tmp_path / f"{name}.csv", index=False)
        for hidden in (f"._{name}.csv", f"__MACOSX/._{name}.csv"):
            (tmp_path / hidden).write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")
    assert values(mmtk.compare(tmp_path), "dice").keys() == SYSTEMS.keys()
