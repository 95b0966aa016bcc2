"""Runs of mmtk that were never one study."""

from __future__ import annotations

from pathlib import Path

import pytest
from report_files import report_files
from tiny import shallow

import mmtk
from mmtk.errors import MmtkError

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    made = []
    for name, seed, more in (("umtl", 0, {}), ("umtl", 1, {}), ("multimix", 0, {}), ("multimix", 1, {})):
        path = root / f"{name}-{seed}"
        mmtk.run(shallow(name, seed=seed, **more), out=path, pictures=False, quiet=True)
        made.append(path)
    return made


def test_runs_are_compared_as_their_own_report_does(runs: list[Path]) -> None:
    comparison = mmtk.compare(runs)
    report = mmtk.read_study(runs)
    ours, theirs = comparison.frame(), report.frame()
    theirs = theirs.set_index(["system", "seed", "domain", "task", "metric"])["value"]
    assert len(ours) > 40
    for row in ours.itertuples():
        expected = theirs.get((row.system, row.seed, row.domain, row.task, row.metric))
        assert expected is not None, row
        assert row.value == pytest.approx(expected, abs=1e-6), row
    first = mmtk.report(runs, out=runs[0].parent / "report").analysis.comparisons
    second = comparison.analysis.comparisons
    assert [(one.domain, one.metric) for one in second] == [(one.domain, one.metric) for one in first]
    for one, other in zip(first, second, strict=True):
        assert one.lead.difference == pytest.approx(other.lead.difference, abs=1e-6)
        assert one.lead.p == pytest.approx(other.lead.p, abs=1e-4)


def test_systems_are_named_by_keys_of_the_recipes(runs: list[Path]) -> None:
    comparison = mmtk.compare(runs, by=["params.bridge.use", "ssl.use"])
    assert {*comparison.frame()["system"]} == {"none none", "saliency confidence"}
    with pytest.raises(MmtkError, match="are both system"):
        mmtk.compare(runs, by=["data.size"])


def test_reports_of_runs_are_made_again_to_the_byte_and_replaced_by_no_other(
    runs: list[Path], tmp_path: Path
) -> None:
    comparison = mmtk.compare(runs)
    comparison.report(tmp_path / "compared")
    files = report_files(tmp_path / "compared")
    with pytest.raises(MmtkError, match="holds the report of a comparison"):
        mmtk.report(runs[0], tmp_path / "compared")
    assert report_files(tmp_path / "compared") == files
    mmtk.compare(tmp_path / "compared/compare.toml").report()  # its own is written again
    assert report_files(tmp_path / "compared") == files
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "compare.toml").write_text('sources = ["x.csv"]')
    with pytest.raises(MmtkError, match=r"other: holds the comparison of x\.csv, which this one would replace"):
        comparison.report(tmp_path / "other")
    mmtk.report(runs[0], tmp_path / "run")
    with pytest.raises(MmtkError, match=f"holds the report of .*{runs[0].name}, which this one would replace"):
        mmtk.report(runs[1], tmp_path / "run")
    with pytest.raises(MmtkError, match="holds the report of a study or of runs"):
        comparison.report(tmp_path / "run")
