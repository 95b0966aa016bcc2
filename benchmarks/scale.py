"""What a study costs mmtk itself as it grows: jobs that only sleep and write results, 100 to 10,000 of them.

python benchmarks/scale.py [--runs 100,1000,10000] [--cells 20] [--images 10] [--page docs/scale.md]

Every part runs in a process of its own: planning, running (the jobs take no time), status, continuing a study in
which nothing is missing, and the report. A job writes the results of one small run that is really trained.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

SMALL = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 4,
    "train.validate_every": 2,
    "train.batch": 2,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    "tracking.enabled": False,
    "data.classification.labels": 8,
    "data.segmentation.labels": 4,
    **{
        f"data.{task}.{domain}.{part}": count
        for task in ("classification", "segmentation")
        for domain in ("source", "cross")
        for part, count in (("train", 24), ("val", 8), ("test", 10), ("size", 32))
    },
}
PARTS = ("plan", "run", "status", "continue", "report")


def plan(folder: Path, cells: int, seeds: int) -> Any:
    """A study of ``cells`` thresholds and ``seeds`` seeds."""
    from mmtk.study.plan import plan_components

    levels = "+".join(f"{0.5 + 0.4 * i / cells:.6f}" for i in range(cells))
    overrides = SMALL | {"ssl.threshold": 0.5}
    return plan_components(
        "multimix", f"ssl.threshold={levels}", profile="phantom", overrides=overrides, seeds=range(seeds)
    )


def part(name: str, folder: Path, cells: int, seeds: int) -> None:
    """One part, in this process, as the command does it."""
    from mmtk.cli import main as cli
    from mmtk.registry import memo
    from mmtk.study.folder import StudyDir

    if name in ("status", "report"):
        sys.argv = ["mmtk", name, "study"]
        try:
            cli.main()
        except SystemExit as ended:
            if ended.code:
                raise
        return
    memo.begin()
    study = StudyDir(Path("study"))
    if name == "plan":
        made = plan(folder, cells, seeds)
        with study.locked():
            study.write(made, {"command": "benchmarks/scale.py", "data": ""})
    else:
        from mmtk.study.launch import run_study

        failed = run_study(study, sleeper(folder / "template"))
        assert not failed
    memo.end()


def sleeper(template: Path) -> Any:
    """A launcher whose jobs write the template's results as their own."""
    from mmtk.api import Job, JobResult, Launcher
    from mmtk.io.files import read_json, write_json
    from mmtk.runs.folder import RunDir

    class Sleeper(Launcher):
        def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
            for job in jobs:
                own = RunDir(job.dir)
                digest, seed = own.path.name.rsplit("-s", 1)
                whole = RunDir(template)
                for path in (*whole.sealed, whole.timing_file, whole.best):
                    if path.is_file() and path.name != "recipe.toml":
                        shutil.copy(path, own.path / path.relative_to(template))
                versions = read_json(own.expected_file)
                versions.pop("mmtk")
                facts = {"digest": digest[-10:], "seed": int(seed), "components": versions}
                write_json(own.provenance_file, read_json(own.provenance_file) | facts)
                own.finish({"steps": 4, "training_seconds": 1.0, "seconds": 1.0})
                yield JobResult(job.dir, 0, job.dir / "output.log")

    return Sleeper()


def measured(name: str, folder: Path, cells: int, seeds: int) -> tuple[float, float]:
    """(seconds, peak MB) of one part in a fresh process, start-up included; processor seconds are printed."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import scale; from pathlib import Path;"
        "scale.part(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]));"
        # Not ru_maxrss: that starts at what the process had that started this one.
        "peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM'));"
        "print(int(peak.split()[1]) * 1.024e-3, file=sys.stderr)"
    )
    command = [sys.executable, "-c", code, str(Path(__file__).parent), name, str(folder), str(cells), str(seeds)]
    begun, before = time.perf_counter(), os.times()
    ended = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds, after = time.perf_counter() - begun, os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    print(f"{name}: {used:.1f} processor seconds", file=sys.stderr, flush=True)
    if ended.returncode:
        sys.exit(ended.stderr)
    return seconds, float(ended.stderr.split()[-1])


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", default="100,1000,10000")
    parser.add_argument("--cells", type=int, default=20)
    parser.add_argument("--images", type=int, default=10, help="of each of the four test sets")
    parser.add_argument("--page", type=Path, help="write the table below its mark there")
    given = parser.parse_args()
    lines = ["| runs | " + " | ".join(f"{name}, s | MB" for name in PARTS) + " |"]
    lines.append("|---|" + "---|---|" * len(PARTS))
    with tempfile.TemporaryDirectory(prefix="mmtk-scale-") as temporary:
        folder = Path(temporary)
        import mmtk

        tests = {key: given.images for key in SMALL if key.endswith(".test")}
        mmtk.run(mmtk.load_recipe("multimix", "phantom", SMALL | tests), folder / "template")
        for count in map(int, given.runs.split(",")):
            row = [measured(name, folder, given.cells, count // given.cells) for name in PARTS]
            costs = " | ".join(f"{seconds:.1f} | {megabytes:.0f}" for seconds, megabytes in row)
            lines.append(f"| {count:,} | {costs} |")
            print(lines[-1], file=sys.stderr, flush=True)
            shutil.rmtree(folder / "study")
            shutil.rmtree(folder / "runs")
    print("\n".join(lines))
    if given.page is not None:
        head, mark, _ = given.page.read_text(encoding="utf-8").partition(
            "<!-- measured by benchmarks/scale.py -->\n"
        )
        given.page.write_text(head + mark + "\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
