"""A team's MLflow as its page starts it: a real server with PostgreSQL, and studies that send at once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import fork_server
import pytest
import yaml
from loops import times
from servers import Server, free_port

pytestmark = pytest.mark.web
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/how-to/team-mlflow.md"
# A study's own process: all of its runs are done, so that all it does is send them.
SEND = """
import sys
from pathlib import Path
from mmtk.study.folder import StudyDir
from mmtk.study.launch import run_study
from mmtk.tracking.study import StudyMirror
sys.path.insert(0, sys.argv[1])
import scale
study = StudyDir(Path(sys.argv[2]))
mirror = StudyMirror(study, sys.exit)
with study.locked():
    assert not run_study(study, scale.sleeper(Path("template")), ended=mirror.run)
    mirror.study_itself()
"""


def commands(port: int) -> tuple[str, str]:
    """The shell lines of the page that start the database, and the server's own, with another port for each."""
    database, server, *_ = re.findall(
        r"^```sh\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    server = server[server.index("export") :].replace("5433", str(port))
    return database.replace("5433", str(port)), server


class TeamServer(Server):
    """The page's PostgreSQL and MLflow server, in a folder that the user of the database may write."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.database_port = free_port()
        # PostgreSQL refuses to run as root.
        self.user = "postgres" if os.getuid() == 0 else None
        if self.user:
            shutil.chown(folder, self.user)

    def start_database(self) -> None:
        script, _ = commands(self.database_port)
        self._as_user("set -e\n" + script)

    def stop_database(self) -> None:
        found = 'export PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin | tail -1)"\n'
        self._as_user(found + "pg_ctl --pgdata=team/database --wait --mode=fast stop")

    def _as_user(self, script: str) -> None:
        with open(self.folder / "database.log", "ab") as log:
            subprocess.run(
                ["bash", "-c", script], cwd=self.folder, user=self.user, stdout=log, stderr=log, check=True
            )

    @property
    def command(self) -> list[str]:
        _, script = commands(self.database_port)
        script = script.replace("5000", str(self.port)).replace("0.0.0.0", "127.0.0.1")
        script = script.replace("--workers 4", "--workers 2")  # two are enough to collide
        return ["bash", "-c", f'PATH="{Path(sys.executable).parent}:$PATH"\n{script}']

    @contextmanager
    def database(self) -> Iterator[Any]:
        """A cursor of the database, without MLflow; what it does is committed at the end."""
        import psycopg2

        password = (self.folder / "team/password").read_text().strip()
        address = {"host": "127.0.0.1", "port": self.database_port, "user": "mlflow", "dbname": "mlflow"}
        with closing(psycopg2.connect(password=password, **address)) as database, database:
            yield database.cursor()

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Rows from the database."""
        with self.database() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def content(self) -> dict[str, Any]:
        tables = ("runs", "metrics", "params", "tags", "inputs", "datasets", "logged_models")
        counts = {table: self.ask(f"SELECT count(*) FROM {table}") for table in tables}
        files = [path for path in (self.folder / "team/artifacts").rglob("*") if path.is_file()]
        return counts | {str(path): path.stat().st_size for path in files}


@pytest.fixture(scope="module")
def team() -> Iterator[TeamServer]:
    with pytest.MonkeyPatch.context() as monkeypatch, tempfile.TemporaryDirectory(prefix="mmtk-team-") as folder:
        monkeypatch.setenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # eight processes that nobody needs here
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")  # a busy machine is no failure here
        server = TeamServer(Path(folder))
        server.start_database()
        try:
            server.start()
            yield server
        finally:
            if server.process.poll() is None:
                server.kill()
            server.stop_database()


def test_studies_that_send_at_once_arrive_whole_and_once(
    team: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Any
) -> None:
    tried("studies that send to one MLflow server with PostgreSQL at once", "every run there, once")
    import mmtk
    from mmtk.io.files import read_lines
    from mmtk.study.folder import StudyDir
    from mmtk.study.launch import run_study
    from mmtk.study.plan import plan_components

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.uri)
    small = scale.SMALL | {"tracking.enabled": True, "ssl.threshold": 0.5}
    mmtk.run(mmtk.load_recipe("multimix", "phantom", scale.SMALL), "template", pictures=False)
    wanted = times(50)
    levels = [f"{0.5 + i / 100}" for i in range(5)]
    # The first has the most runs; the others share two systems with it, and have one of their own.
    studies = {
        "first": (levels, -(-wanted // len(levels))),
        "second": ([*levels[:2], "0.71"], 2),
        "third": ([*levels[1:3], "0.72"], 2),
    }
    runs: dict[Path, set[str]] = {}
    for name, (thresholds, seeds) in studies.items():
        study = StudyDir(Path("studies", name))
        plan = plan_components(
            "multimix",
            f"ssl.threshold={'+'.join(thresholds)}",
            profile="phantom",
            overrides=small,
            seeds=range(seeds),
        )
        with study.locked():
            study.write(plan, {"command": "", "data": ""})
        assert not run_study(study, scale.sleeper(Path("template")))
        for run in study.runs():
            runs.setdefault(run.folder.path, set()).add(name)
    assert len(runs) < sum(len(StudyDir(Path("studies", name)).runs()) for name in studies)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for _ in range(2):
        sending = [
            subprocess.Popen(
                [fork_server.python(), "-c", SEND, str(ROOT / "benchmarks"), f"studies/{name}"],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            for name in studies
        ]
        for process in sending:
            said, _ = process.communicate(timeout=800)
            assert process.returncode == 0, said
            assert said == ""
        there = team.content()
        assert team.ask("SELECT count(*) FROM runs") == [(len(runs) + len(studies),)]
        # Each run has the parent of one of its studies and is marked as a member of all.
        marks = "SELECT run_uuid, count(*) FROM tags WHERE key LIKE 'mmtk.study.%' GROUP BY run_uuid"
        assert sorted(n for _, n in team.ask(marks)) == sorted(len(names) for names in runs.values())
        parents = dict(team.ask("SELECT run_uuid, value FROM tags WHERE key = 'mlflow.parentRunId'"))
        assert len(parents) == len(runs)
        assert len(set(parents.values())) == len(studies)
        (rows,) = {len(read_lines(run / "metrics.jsonl")) for run in runs}
        steps = "SELECT run_uuid, count(*) FROM metrics WHERE key = 'train/loss' GROUP BY run_uuid"
        assert {n for _, n in team.ask(steps)} == {scale.SMALL["train.steps"]}
        assert rows >= scale.SMALL["train.steps"]
        assert team.ask("SELECT count(*) FROM logged_models") == [(len(runs),)]
    # The second time nothing was sent again.
    assert team.content() == there


# What two senders insert at the same moment: rows of each table.
COLLISIONS = {
    "inputs": "destination_type = 'RUN' AND destination_id = '{run_id}'",
    "datasets": "experiment_id = {experiment_id}",
    "experiment_tags": "key LIKE 'mlflow.sharedViewState.%' AND experiment_id = {experiment_id}",
    "params": "key = 'train.steps' AND run_uuid = '{run_id}'",
    "tags": "key LIKE 'mmtk.version.%' AND run_uuid = '{run_id}'",
    "metrics": "key = 'train/loss' AND run_uuid = '{run_id}'",
}


def test_a_sender_that_collides_with_another_tries_again(
    team: TeamServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tried: Any
) -> None:
    """The other one is a transaction with the same rows, committed when MLflow's own waits for it."""
    tried("another sender inserts the same rows into MLflow", "every row there, once", len(COLLISIONS) + 1)
    import mmtk
    from mmtk.io.files import read_json
    from mmtk.study.folder import StudyDir
    from mmtk.study.launch import run_study
    from mmtk.study.plan import plan_components
    from mmtk.tracking.study import StudyMirror

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import scale

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", team.uri)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "collisions")
    small = scale.SMALL | {"tracking.enabled": True}
    mmtk.run(mmtk.load_recipe("multimix", "phantom", scale.SMALL), "template", pictures=False)
    study = StudyDir(Path("study"))
    with study.locked():
        study.write(
            plan_components("multimix", "ssl", profile="phantom", overrides=small), {"command": "", "data": ""}
        )
    assert not run_study(study, scale.sleeper(Path("template")))
    run = study.runs()[0]

    def collide(insert: str) -> None:
        warnings: list[str] = []
        sender = Thread(target=lambda: StudyMirror(study, warnings.append).run(run))
        with team.database() as cursor:
            cursor.execute(insert)
            sender.start()
            while not team.ask("SELECT pid FROM pg_locks WHERE NOT granted"):
                assert sender.is_alive(), f"nothing waits for: {insert}"
        sender.join()
        assert warnings == [], insert

    columns = "artifact_location, lifecycle_stage, creation_time, last_update_time, workspace"
    collide(
        f"INSERT INTO experiments (name, {columns}) "
        f"SELECT 'collisions', {columns} FROM experiments WHERE name = 'Default'"
    )
    note = read_json(run.folder.tracking_file)
    content = team.content()
    for table, condition in COLLISIONS.items():
        rows = f"{table} WHERE {condition}".format_map(note)
        with team.database() as cursor:
            cursor.execute(f"CREATE TABLE copy AS SELECT * FROM {rows}")
            cursor.execute(f"DELETE FROM {rows}")
            if table == "datasets":  # a run that has its inputs sends none
                cursor.execute("DELETE FROM inputs WHERE {inputs}".format_map(COLLISIONS).format_map(note))
        run.folder.tracking_file.unlink()
        collide(f"INSERT INTO {table} SELECT * FROM copy")
        with team.database() as cursor:
            cursor.execute("DROP TABLE copy")
        assert team.content() == content, table


def test_the_compose_file_starts_the_server_that_the_page_starts() -> None:
    file = yaml.safe_load((PAGE.parent / "compose.yaml").read_text(encoding="utf-8"))
    _, server = commands(5433)

    def options(text: str) -> dict[str, str]:
        words = text[text.index("mlflow server") :].replace("\\\n", " ").split()[2:]
        return dict(zip(words[::2], words[1::2], strict=True))

    composed, written = options(file["services"]["mlflow"]["command"][2]), options(server)
    assert composed.pop("--artifacts-destination") == "/artifacts"
    assert written.pop("--artifacts-destination") == "team/artifacts"
    assert composed == written
    pip = re.search(r"pip install .*", PAGE.read_text(encoding="utf-8"))
    assert pip is not None
    assert pip[0].removeprefix("pip install ") in file["services"]["mlflow"]["build"]["dockerfile_inline"]
    assert file["services"]["database"]["environment"]["POSTGRES_PASSWORD_FILE"] == "/run/secrets/password"
    assert file["secrets"]["password"]["file"] == "team/password"
