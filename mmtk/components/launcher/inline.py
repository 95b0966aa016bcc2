"""Jobs one after the other, in this very process."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from importlib import import_module

from mmtk.jobs import Job, JobResult, Launcher


class Inline(Launcher):
    """Run one job after the other in this process, where a debugger can stop in them."""

    warm = True

    def run(self, jobs: Sequence[Job]) -> Iterator[JobResult]:
        """Run ``python -m mmtk …`` jobs as calls; an error of one is printed, and the next begins."""
        for job in jobs:
            before = sys.argv
            sys.argv = ["mmtk", *job.argv[3:]]
            try:
                import_module("mmtk.cli.main").main()  # not of a process of its own, which would end
                code = 0
            except SystemExit as ended:
                code = ended.code if isinstance(ended.code, int) else 1
            finally:
                sys.argv = before
            if code == 130:
                raise KeyboardInterrupt
            yield JobResult(job.dir, code, job.dir / "output.log")
