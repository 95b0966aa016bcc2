"""A Python that has torch and mmtk imported: :func:`python` is called as ``sys.executable`` is, and starts fast.

A process of its own takes six seconds for imports, which was half the time of the tests. Here a server imports the
libraries and mmtk once for all workers, and every call is a fork of it, with the arguments, folder, environment,
files, limits and signals of a process that was started afresh. Another mmtk in its ``PYTHONPATH`` is imported
anew. Where the environment changes what an import does, the real Python is called instead.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import gc
import importlib
import io
import json
import os
import pkgutil
import resource
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# What a run, a report and MLflow import at their first use.
LIBRARIES = (
    "PIL.GifImagePlugin",
    "PIL.JpegImagePlugin",
    "contourpy",
    "filelock",
    "jinja2",
    "matplotlib.backends.backend_agg",
    "matplotlib.patheffects",
    "matplotlib.pyplot",
    "matplotlib.style",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking",
    "packaging.requirements",
    "pandas",
    "pyarrow.parquet",
    "pydantic",
    "rich.progress",
    "rich.table",
    "safetensors.torch",
    "scipy.ndimage",
    "scipy.stats",
    "tifffile",
    "torch._dynamo",  # by a pass on the meta device, which takes two seconds for it
    "tomli_w",
    "typer",
)
# Read by the interpreter or while modules are imported; where one differs, the real Python is called.
AT_IMPORT = ("PYTHONHASHSEED", "PYTHONWARNINGS", "HOME", "XDG_", "MPL", "LC_", "LANG", "LD_", "CUDA", "FORCE_")
NAME = "mmtk-forks"
DOTS = 50  # per inch, in the pictures of forks
LIMITS = (resource.RLIMIT_FSIZE, resource.RLIMIT_NOFILE, resource.RLIMIT_AS)


@functools.cache
def python() -> str:
    """The program to call in the place of ``sys.executable``; the server starts at the first need."""
    if sys.platform != "linux" or NAME in sys.executable:  # a fork has a server already
        return sys.executable
    owner = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
    folder = Path(tempfile.gettempdir()) / f"{NAME}-{os.getuid()}-{owner}"
    if len(str(folder)) > 90:  # a socket's path has at most 107 bytes
        return sys.executable
    folder.mkdir(mode=0o700, exist_ok=True)
    client = folder / "python"
    with open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not client.exists():
            _start(folder, client, owner)
    return str(client)


def _start(folder: Path, client: Path, owner: int) -> None:
    """Start the server, wait until it listens, and write the client's script."""
    address = folder / "socket"
    with open(folder / "errors", "w", encoding="utf-8") as errors:
        server = subprocess.Popen(
            [sys.executable, __file__, str(folder), str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd="/",
            start_new_session=True,
        )
    while not address.exists():
        if server.poll() is not None:
            raise RuntimeError((folder / "errors").read_text(encoding="utf-8"))
        time.sleep(0.05)
    about = {
        "python": sys.executable,
        "address": str(address),
        "at_import": AT_IMPORT,
        "limits": LIMITS,
        "environment": {key: value for key, value in os.environ.items() if key.startswith(AT_IMPORT)},
    }
    (folder / "about.json").write_text(json.dumps(about), encoding="utf-8")
    words = [sys.executable, "-SE", str(Path(__file__).with_name("fork_client.py")), str(folder / "about.json")]
    script = folder / "script"
    script.write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n', encoding="utf-8")
    script.chmod(0o700)
    script.rename(client)


# --- the server ------------------------------------------------------------------------------------------------


class Server:
    """Forks for clients, until the process that tests are run by is gone."""

    def __init__(self, folder: Path, owner: int) -> None:
        self.folder = folder
        self.selector = selectors.DefaultSelector()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(folder / "socket.new"))
        self.socket.listen(64)
        self.owner = os.pidfd_open(owner)
        self.selector.register(self.socket, selectors.EVENT_READ)
        self.selector.register(self.owner, selectors.EVENT_READ)
        (folder / "socket.new").rename(folder / "socket")

    def serve(self) -> dict[str, Any] | None:
        """The call that a fork of this process is to answer; None in this process, at its end."""
        while True:
            for key, _ in self.selector.select():
                if key.fd == self.owner:
                    shutil.rmtree(self.folder, ignore_errors=True)
                    return None
                if key.fileobj is self.socket:
                    call = self._fork()
                    if call is not None:
                        return call
                elif key.data is not None:
                    self._end(key.data)

    def _fork(self) -> dict[str, Any] | None:
        client, _ = self.socket.accept()
        head, files, _, _ = socket.recv_fds(client, 4, 3)
        text = b""
        while len(text) < int.from_bytes(head, "little"):
            text += client.recv(1 << 20)
        process = os.fork()
        if process == 0:
            for number, file in enumerate(files):
                os.dup2(file, number)
            os.closerange(3, max(files[-1], client.fileno(), self.selector.fileno(), self.owner) + 64)
            call: dict[str, Any] = json.loads(text)
            return call
        for file in files:
            os.close(file)
        client.sendall(process.to_bytes(4, "little"))
        pair = (process, os.pidfd_open(process), client)
        for each in pair[1:]:
            self.selector.register(each, selectors.EVENT_READ, pair)
        return None

    def _end(self, pair: tuple[int, int, socket.socket]) -> None:
        """Tell a client how its process ended; a client that is gone takes its process with it."""
        process, ended, client = pair
        if client.fileno() < 0:  # both came at once
            return
        done, status = os.waitpid(process, os.WNOHANG)
        if not done:
            os.kill(process, signal.SIGKILL)
            _, status = os.waitpid(process, 0)
        for each in (ended, client):
            self.selector.unregister(each)
        with contextlib.suppress(OSError):
            client.sendall(os.waitstatus_to_exitcode(status).to_bytes(4, "little", signed=True))
        os.close(ended)
        client.close()


def become(call: dict[str, Any], python: str) -> None:
    """Take the place, in a fork, of the process that was asked for."""
    import torch

    os.setsid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        plain = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, plain if number in call["signals"] else signal.SIG_IGN)
    for number, limit in call["limits"].items():
        resource.setrlimit(int(number), limit)
    os.sched_setaffinity(0, call["cores"])
    os.umask(call["umask"])
    os.chdir(call["folder"])
    before = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ.clear()
    os.environ.update(call["environment"])
    tempfile.tempdir = None
    ours = [folder for folder in os.environ.get("PYTHONPATH", "").split(os.pathsep) if folder]
    sys.path[:] = ["", *ours, *(folder for folder in sys.path[1:] if folder not in before)]
    importlib.invalidate_caches()
    if any(Path(folder, "mmtk").is_dir() for folder in ours):
        for name in [name for name in sys.modules if name.partition(".")[0] == "mmtk"]:
            del sys.modules[name]
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or len(call["cores"])))
    unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        raw = open(number, "wb" if number else "rb", 0 if unbuffered and number else -1, closefd=False)  # noqa: SIM115
        lines = number == 2 or raw.isatty()
        errors = "backslashreplace" if number == 2 else "strict"
        stream = io.TextIOWrapper(raw, "utf-8", errors, line_buffering=lines, write_through=unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.executable = python


def run(first: str, *arguments: str) -> None:
    """Run a module, a text or a file, as ``python -m``, ``python -c`` and ``python FILE`` do."""
    if first == "-m":
        sys.argv, sys.path[0] = list(arguments), os.getcwd()
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
    elif first == "-c":
        sys.argv = [first, *arguments[1:]]
        sys.modules["__main__"] = main = types.ModuleType("__main__")
        exec(compile(arguments[0], "<string>", "exec"), main.__dict__)
    else:
        sys.argv, sys.path[0] = [first, *arguments], str(Path(first).resolve().parent)
        runpy.run_path(first, run_name="__main__")


def ended(error: BaseException | None) -> int:
    """The exit code of a process that ends so. Its objects are not taken apart: these are the server's too."""
    code = 0
    if isinstance(error, SystemExit):
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
        if isinstance(error.code, str):
            print(error.code, file=sys.stderr)
    elif error is not None:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    if isinstance(error, KeyboardInterrupt):
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    return code & 0xFF


def draw_coarsely() -> None:
    """Let forks draw pictures in few dots, as the processes of tests do, and arrange no axes: half the time.

    How a picture is arranged is tested where it is looked at, in the processes of tests.
    """
    from matplotlib.figure import Figure

    plain, save = Figure.__init__, Figure.savefig

    def coarse(self: Figure, *arguments: Any, **options: Any) -> None:
        plain(self, *arguments, **{"dpi": DOTS, **options, "layout": None})

    def saved(self: Figure, file: Any, **options: Any) -> None:
        save(self, file, **{"dpi": DOTS, **options})

    Figure.__init__, Figure.savefig = coarse, saved  # type: ignore[method-assign]


def modules() -> Iterator[str]:
    """Names of all modules of mmtk, whose imports take half a second of a run."""
    import mmtk

    for module in pkgutil.walk_packages(mmtk.__path__, "mmtk."):
        if not module.name.endswith("__main__"):
            yield module.name


def main(folder: Path, owner: int) -> None:
    """Import, then serve; in a fork, run what was asked for."""
    for name in LIBRARIES + tuple(modules()):
        importlib.import_module(name)
    draw_coarsely()
    if threading.active_count() > 1:
        sys.exit(f"a library has begun a thread: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)  # as in the workers of pytest
    server = Server(folder, owner)  # alive in forks: else its sockets close descriptors of theirs
    if (call := server.serve()) is None:
        return
    error = None
    try:
        become(call, str(folder / "python"))
        run(*call["arguments"])
    except BaseException as caught:
        error = caught
    os._exit(ended(error))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
