"""Maps of a study in its report: planted tables give the scores, intervals and verdicts that follow by hand."""

import itertools
import shutil
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from scipy.stats import spearmanr, t
from tiny import tiny

import mmtk
from mmtk.io.files import write_json
from mmtk.report import saliency
from mmtk.report.saliency import FAILS, HOLDS, OPEN, MapResults, map_results, verdicts
from mmtk.stats.map_agreement import agreement
from mmtk.study.results import from_runs


def test_agreement_is_the_mean_of_pairs_with_the_spread_of_their_jackknife():
    draw = np.random.default_rng(0)
    base = draw.normal(size=(7, 6, 6))
    maps = [base + draw.normal(size=base.shape) for _ in range(5)]
    values = agreement(maps)
    pairs = {
        (a, b): np.mean([spearmanr(x.ravel(), y.ravel()).statistic for x, y in zip(maps[a], maps[b], strict=True)])
        for a, b in itertools.combinations(range(5), 2)
    }
    whole = np.mean([*pairs.values()])
    assert values.mean() == pytest.approx(whole, abs=1e-12)
    without = [np.mean([value for pair, value in pairs.items() if seed not in pair]) for seed in range(5)]
    jackknife = 4 / 5 * ((np.array(without) - np.mean(without)) ** 2).sum()
    assert values.mean(1).var(ddof=1) / 5 == pytest.approx(jackknife, rel=1e-9)
    two = agreement(maps[:2])
    assert np.array_equal(two[0], two[1])
    np.testing.assert_allclose(agreement([maps[0]] * 3), 1)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Three finished runs of one system, which differ by seed."""
    folder = tmp_path_factory.mktemp("maps")
    paths = [folder / f"run-{seed}" for seed in range(3)]
    for seed, path in enumerate(paths):
        mmtk.run(tiny("enc", seed=seed, train__steps=1, train__validate_every=1), path, pictures=False)
    return paths


def plant(run, name, seed, mass, area):
    """Write a measured map of 40 images, each of another patient."""
    draw = np.random.default_rng(seed)
    folder = run / "saliency" / name
    folder.mkdir(parents=True, exist_ok=True)
    ids = [f"i{number:02}" for number in range(40)]
    values = mass + 0.01 * draw.normal(size=40)
    columns = {
        "mass-in-lungs": values,
        "area-of-lungs": np.full(40, area),
        "excess-in-lungs": values - area,
        "deletion": np.full(40, 0.5),
        "insertion": np.full(40, 0.5),
    }
    keys = {"domain": ["in-domain"] * 40, "task": ["classification"] * 40, "id": ids, "patient": ids}
    pq.write_table(pa.table(keys | columns), folder / "cases.parquet")
    part = "in-domain/classification"
    np.savez(folder / "maps.npz", **{part: draw.random((40, 4, 4)), f"{part}/ids": np.array(ids)})
    write_json(folder / "about.json", {"map": name, "images": 40, "lungs": {}})
    return values


@pytest.mark.long
def test_scores_and_verdicts(runs, tmp_path):
    planted = np.array([plant(run, "saliency", seed, 0.6, 0.3) for seed, run in enumerate(runs)])
    for seed, run in enumerate(runs):
        plant(run, "centre", 10 + seed, 0.6, 0.3)
    study = from_runs(runs)
    result = map_results(study)
    (mass,) = [one for one in result.scores if (one.maps.name, one.name) == ("saliency", "mass-in-lungs")]
    assert mass.interval.est == pytest.approx(planted.mean())
    assert mass.area == pytest.approx(0.3)
    assert (mass.images, mass.interval.seeds, mass.interval.patients) == (40, 3, 40)
    assert mass.interval.low < planted.mean() < mass.interval.high
    over_seeds = t.ppf(0.975, 2) * planted.mean(1).std(ddof=1) / 3**0.5
    assert mass.interval.high - mass.interval.est >= over_seeds * 0.999
    by_sentence = {one.sentence: one for one in result.claims}
    area = by_sentence["more mass in the lungs than their share of the area"]
    bell = by_sentence["more mass in the lungs than a bell in the centre has"]
    assert (area.verdict, bell.verdict) == (HOLDS, OPEN)
    low = replace(bell, difference=replace(bell.difference, est=-0.1), adjusted=0.01)
    words = [[*verdicts(some).values()] for some in ([area], [area, bell], [area, bell, low])]
    assert words == [[HOLDS], [OPEN], [FAILS]]
    for some, text in (
        ([HOLDS], "holds for the one map"),
        ([FAILS, FAILS], "holds for none of the 2 maps"),
        ([OPEN, FAILS, FAILS], "does not hold for 2 of 3 maps and is open for 1"),
        ([OPEN, FAILS, HOLDS, OPEN], "holds for 1 of 4 maps, does not hold for 1 and is open for 2"),
    ):
        assert saliency._of_maps(some) == text
    page = mmtk.report(runs, tmp_path / "report").page.read_text(encoding="utf-8")
    assert "<b>Do the maps highlight what matters?</b>" in page
    assert "crucial regions&#34; is open for the one map. Of " in page
    assert "it highlights the crucial regions" in page
    with Image.open(tmp_path / "report/figures/map-scores.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 20  # axes, bars and letters, not a blank page


def test_run_without_measured_maps_has_none(runs, tmp_path):
    shutil.copytree(runs[0], tmp_path / "run", ignore=shutil.ignore_patterns("saliency"))
    assert map_results(from_runs([tmp_path / "run"])) == MapResults()


def test_maps_of_other_images_are_left_out_with_a_note(runs):
    for seed, run in enumerate(runs):
        plant(run, "saliency", seed, 0.6, 0.3)
    table = pq.read_table(runs[1] / "saliency/saliency/cases.parquet")
    pq.write_table(table.slice(0, 30), runs[1] / "saliency/saliency/cases.parquet")
    notes = map_results(from_runs(runs)).notes
    assert len(notes) == 1
    assert "has other test images" in notes[0]


def test_a_map_that_one_seed_lacks_is_compared_on_the_seeds_that_have_it(runs):
    maps = np.array([plant(run, "saliency", seed, 0.6, 0.3) for seed, run in enumerate(runs)])
    bells = np.array([plant(run, "centre", 10 + seed, 0.6, 0.3) for seed, run in enumerate(runs)])
    shutil.rmtree(runs[0] / "saliency/saliency")
    claims = {one.sentence: one.difference for one in map_results(from_runs(runs)).claims}
    bell = claims["more mass in the lungs than a bell in the centre has"]
    assert (bell.seeds, bell.est) == (2, pytest.approx((maps - bells)[1:].mean()))
