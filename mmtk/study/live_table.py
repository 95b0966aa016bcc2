"""The table of ``mmtk status``, kept fresh on the terminal while ``mmtk ablate`` runs a study."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress

from rich.console import Console, RenderableType
from rich.live import Live

from mmtk.errors import MmtkError
from mmtk.study.folder import StudyDir
from mmtk.study.status import StudyTable

MOST_ROWS = 20
BESIDE = 9  # lines of a screen that hold no row: title, head and border, counts, and what was printed last


@contextmanager
def live_table(study: StudyDir, workers: int, expected: Mapping[str, float], console: Console) -> Iterator[None]:
    """Show the table of the study's runs below all that is printed, refreshed every second; nothing remains of it.

    study: the study whose runs are shown, ``workers`` of them at a time
    expected: seconds that each run will take, by the name of its folder
    console: where the table is shown; nothing is, unless this is a terminal
    """
    if not console.is_terminal or console.is_dumb_terminal:
        yield
        return
    most = max(2, min(MOST_ROWS, console.height - BESIDE))
    table = StudyTable(study, most, workers, expected)
    content: RenderableType = table.draw()

    def draw() -> RenderableType:
        nonlocal content
        with suppress(MmtkError, OSError, ValueError):  # a file was taken away or is damaged: as it was before
            content = table.draw()
        return content

    with Live(get_renderable=draw, console=console, refresh_per_second=1, transient=True):
        yield
