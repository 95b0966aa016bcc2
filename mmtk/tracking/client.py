"""MLflow's client, opened without noise, long waits and races."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from importlib import import_module
from pathlib import Path
from random import SystemRandom
from typing import TYPE_CHECKING, TypeVar

from mmtk.errors import MmtkError
from mmtk.io import cache, files

if TYPE_CHECKING:
    from mlflow import MlflowClient

T = TypeVar("T")

CALM = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",  # seconds; MLflow's own 120 s and 7 retries would stall a training
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
ABOUT = (  # an experiment, on MLflow's page
    "Runs of mmtk. Parameters are the keys of the resolved recipe; metrics its loss terms, validation and test "
    "scores. A study is one run with a child for each of its runs. `mmtk diff` says how two recipes differ."
)
EMPTY_BYTES = 4_000_000  # of an SQLite database with MLflow's tables, generously
# What a store says to one of two senders that write at the same moment: PostgreSQL, SQLite, MySQL, SQL Server.
COLLISION = re.compile(
    r"UniqueViolation|UNIQUE constraint failed|Duplicate entry|Cannot insert duplicate key"
    r"|deadlock|could not serialize|database is locked|Lock wait timeout",
    re.IGNORECASE,
)
PAUSES = (0.05, 0.2, 0.8, 2.0)  # seconds before each new attempt, on average
DATABASES = re.compile(r"(sqlite|postgresql|mysql|mssql)(\+\w+)?:")


def open_client(uri: str) -> MlflowClient:
    """The client of a tracking store; a database that does not exist is made."""
    from mlflow import MlflowClient

    if not DATABASES.match(uri):
        return MlflowClient(tracking_uri=uri)
    import sqlalchemy

    database = sqlite_file(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        with locked(database.parent, wait=True):
            if not database.exists():
                _copy_empty(database)
    # MLflow tries a database that does not answer for 100 s: ask it once before.
    engine = sqlalchemy.create_engine(uri)
    sqlalchemy.inspect(engine).get_table_names()
    engine.dispose()
    if database is None:
        return MlflowClient(tracking_uri=uri)
    # Two processes that make the tables of a new database at once get into each other's way.
    with locked(database.parent, wait=True):
        return MlflowClient(tracking_uri=uri)


def _copy_empty(database: Path) -> None:
    """Begin an SQLite database as a copy of an empty one: MLflow makes its tables in dozens of migrations."""
    from mlflow.version import VERSION

    # Where it cannot be kept or copied, MLflow makes the tables at the place itself.
    with suppress(OSError, MmtkError):
        empty = cache.cached_folder(f"mlflow-{VERSION}", _make_empty, EMPTY_BYTES) / "empty.db"
        part = database.with_name(f".{database.name}.{os.getpid()}.tmp")
        shutil.copyfile(empty, part)
        part.replace(database)


def _make_empty(folder: Path) -> None:
    """Fill a folder with a database of MLflow's tables, without the experiment "Default" and its path."""
    from mlflow import MlflowClient

    file = folder / "empty.db"
    MlflowClient(tracking_uri=f"sqlite:///{file}").search_experiments(max_results=1)
    with closing(sqlite3.connect(file)) as database, database:
        database.execute("DELETE FROM experiments")


def experiment(client: MlflowClient, uri: str, name: str) -> str:
    """The id of an experiment, made where there is none."""
    from mlflow.exceptions import MlflowException

    existing = client.get_experiment_by_name(name)
    if existing is None:
        database = sqlite_file(uri)
        artifact_location = (database.parent / "mlruns").as_uri() if database is not None else None
        try:
            # MLflow's page then opens at training runs, not at the traces of chat bots.
            kind = {"mlflow.experimentKind": "custom_model_development", "mlflow.note.content": ABOUT}
            return str(client.create_experiment(name, artifact_location, kind))
        except MlflowException:
            existing = client.get_experiment_by_name(name)  # another run has just made it
            if existing is None:
                raise
    if existing.lifecycle_stage == "deleted":
        restore = f"mlflow experiments restore --experiment-id {existing.experiment_id}"
        raise MmtkError(
            f"the experiment '{name}' was deleted in MLflow.",
            masked(uri),
            f"Restore it: MLFLOW_TRACKING_URI={shlex.quote(masked(uri))} {restore}\n"
            "  Or take another one: set MLFLOW_EXPERIMENT_NAME=NAME.",
        )
    return str(existing.experiment_id)


def send_again(send: Callable[[], T]) -> T:
    """Call a sender again, a few times, where another one wrote the same row: MLflow looks first, then inserts.

    send: what sends only rows that MLflow has not, and so may be called again after half of its work
    """
    for pause in PAUSES:
        try:
            return send()
        except MmtkError:  # of a sender that has tried again itself
            raise
        except Exception as error:
            if not COLLISION.search(str(error)):
                raise
        time.sleep(pause * SystemRandom().uniform(0.5, 1.5))  # the numbers of a training stay its own
    return send()


def sqlite_file(uri: str) -> Path | None:
    """The database file of an SQLite address."""
    if not uri.startswith("sqlite"):
        return None
    from sqlalchemy.engine import make_url

    name = make_url(uri).database
    return Path(name).absolute() if name and name != ":memory:" else None


def failure(uri: str, error: Exception, hint: str = "") -> MmtkError:
    """An error of a tracking store, told in one line."""
    return MmtkError(f"MLflow at {masked(uri)} fails: {_reason(error)}.", hint=hint)


def _reason(error: Exception) -> str:
    """Reason of an error in one line; of a request, the cause behind its address and retries."""
    line = masked(str(error)).strip().split("\n")[0] or type(error).__name__
    if "Invalid Host header" in line:
        return "it does not answer to this name; start it with the name in --allowed-hosts"
    return re.sub(r"^.*\(Caused by (.*)\)$", r"\1", line)[:300].rstrip(".")


def page_command(uri: str) -> str:
    """Command that shows the runs of a store; of a server, its address."""
    shown = masked(uri)
    return shown if uri.startswith("http") else f"mlflow ui --backend-store-uri {shlex.quote(shown)}"


def masked(text: str) -> str:
    """Text without the password of an address."""
    return re.sub(r"(?<=://)([^/@:\s]*):[^/@\s]+@", r"\1:***@", text)


@contextmanager
def locked(path: Path, wait: bool = False) -> Iterator[None]:
    """Hold a file or folder against other mirrors; where the file system cannot lock it, do without."""
    try:
        with files.lock(path, wait=wait):
            yield
    except files.Busy as error:
        message = "another process is sending this run to MLflow."
        raise MmtkError(message, str(path.parent), "Try again when it has ended.") from error


@contextmanager
def calm() -> Iterator[None]:
    """MLflow without progress bars, messages, usage reports and long waits, unless the user asks for them."""
    added = {name: value for name, value in CALM.items() if name not in os.environ}
    os.environ.update(added)
    try:
        import_module("mlflow")  # sets up its loggers

        loggers = [logging.getLogger(name) for name in ("mlflow", "alembic", "urllib3")]
        before = [logger.level for logger in loggers]
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                yield
        finally:
            for logger, level in zip(loggers, before, strict=True):
                logger.setLevel(level)
    finally:
        for name in added:
            os.environ.pop(name, None)
