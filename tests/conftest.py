"""What every test shares: no deadline per hypothesis example, a cache of its own, the table of faults tried."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import fork_server
import pytest
from hypothesis import Phase, settings

# How long an example takes says something about the machine, not about the code.
settings.register_profile("mmtk", deadline=None)
settings.load_profile("mmtk")
# For tests that are meant to fail: one failing example is enough.
settings.register_profile("unshrunk", deadline=None, phases=[Phase.explicit, Phase.generate])

FAULTS: Counter[tuple[str, str]] = Counter()


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One cache of this session, which all its workers share."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    os.environ["MMTK_CACHE"] = str(base / "cache")


@pytest.fixture(autouse=True, scope="session")
def _coarse_pictures() -> None:
    import pictures

    pictures.draw_coarsely()


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Let the garbage that was left out be found again, after pytest has collected ten times."""
    config.add_cleanup(gc.unfreeze)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Start the server of the workers beside their collection; where tests run, collect no garbage meanwhile.

    What is made then, thousands of modules and tests, stays. A shell's background jobs begin with the interrupt
    ignored, those of ``nohup`` with the hang-up, and so would the commands that tests interrupt.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    is_worker = hasattr(session.config, "workerinput")
    if session.config.getoption("numprocesses", None) and not is_worker:
        threading.Thread(target=fork_server.python, daemon=True).start()
    else:
        gc.disable()


def pytest_collection_finish() -> None:
    """Leave libraries and collected tests out of garbage collection, which takes a third of a second for them.

    It then looks at new objects thirty times less often, which saves 3 % of the whole time.
    """
    gc.enable()
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture
def tried(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Say which fault a test tries, what becomes of it, and how often: a row of ``docs/reliability.md``."""

    def note(fault: str, result: str, times: int = 1) -> None:
        record_property("fault", (fault, result, times))

    return note


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one worker run all tests that share a fixture of their module, so that it is made once."""
    for item in items:
        fixtures = getattr(item, "_fixtureinfo", None)
        shared = fixtures and any(
            each.scope == "module"
            for name in fixtures.names_closure
            for each in fixtures.name2fixturedefs.get(name, ())
        )
        if shared and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.stem))


# --- docs/reliability.md -----------------------------------------------------------------------------------------


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--reliability", type=Path, help="renew the rows of the faults tried on this page")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.when == "call":
        for name, value in report.user_properties:
            if name == "fault":
                fault, result, times = value  # type: ignore[misc]
                FAULTS[fault, result if report.passed else "FAILED"] += int(times)


def pytest_sessionfinish(session: pytest.Session) -> None:
    page = session.config.getoption("--reliability")
    if page is None or not FAULTS or hasattr(session.config, "workerinput"):
        return
    head, mark, table = page.read_text(encoding="utf-8").partition("| fault | times tried | result |\n")
    tried = {fault for fault, _ in FAULTS}
    rows = [f"| {fault} | {times} | {result} |" for (fault, result), times in FAULTS.items()]
    rows += [row for row in table.splitlines()[1:] if row.split(" | ")[0].removeprefix("| ") not in tried]
    rows.sort()
    page.write_text("\n".join([head + mark + "|---|---|---|", *rows]) + "\n", encoding="utf-8")
