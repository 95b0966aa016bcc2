"""A process that has imported everything, and from which others are forked: they start at once.

A fork gets the arguments, folder, output and environment of a process that was started afresh. It stops when the
server dies, as the server does when its parent dies. The server has no thread, no tensor and no GPU context.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import runpy
import select
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from mmtk.io import warm
from mmtk.io.parallel import join_parent

Request = dict[str, Any]
LOST = -1000  # stands for the exit code of a process whose server died first
LONGEST = 1 << 16  # bytes of a request
ALLOCATOR = ("JE_ARROW_MALLOC_CONF", "background_thread:false")  # read when pyarrow is loaded


def available() -> bool:
    """Whether this system can fork so: Linux, with descriptors of processes."""
    return sys.platform == "linux" and hasattr(os, "pidfd_open") and hasattr(signal, "pidfd_send_signal")


class ForkServer:
    """Start processes as forks of one that has imported ``modules``, under ``environment``.

    ``death`` is the signal that forks get when the server dies.
    """

    def __init__(
        self, modules: Sequence[str], environment: Mapping[str, str], death: signal.Signals = signal.SIGTERM
    ) -> None:
        self._death = int(death)
        self._control, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with server_end:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, *modules],
                stdin=server_end.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=environment,
                start_new_session=True,  # Ctrl-C reaches it through its parent alone
                preexec_fn=join_parent,
            )

    def start(
        self, argv: Sequence[str], changes: Mapping[str, str], output: int, folder: str | None = None
    ) -> Fork | None:
        """Fork a process for an argument vector; None where that cannot be.

        argv: this Python, ``-m``, a module and its arguments
        changes: to the environment, of variables that are read by no import
        output: descriptor that it writes to
        folder: that it works in; by default the present one
        """
        if list(argv[:2]) != [sys.executable, "-m"]:
            return None
        request = {"module": argv[2], "arguments": argv[3:], "folder": folder or os.getcwd(), "death": self._death}
        request["environment"] = dict(changes)
        channel, server_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with server_end, suppress(OSError):
            socket.send_fds(self._control, [json.dumps(request).encode()], [output, server_end.fileno()])
            return Fork(channel)
        channel.close()
        return None

    def stop(self) -> None:
        """End the server: its forks get SIGTERM."""
        self._process.terminate()
        self._control.close()  # which ends it, too, where signals are ignored
        self._process.wait()


class Fork:
    """A process of a fork server, with what a launcher needs of ``Popen``; ``channel`` leads to the server."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel, self._descriptor = channel, -1
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Exit code; None while it runs, LOST once it has ended after its server."""
        while self.returncode is None:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, 4, 1)
            except BlockingIOError:
                break
            except OSError:
                message, descriptors = b"", []
            if descriptors:
                self._descriptor = descriptors[0]
            elif message:
                self._ended(int.from_bytes(message, "little", signed=True))
            elif self._descriptor < 0 or _readable(self._descriptor):
                self._ended(LOST)
            else:
                break
        return self.returncode

    def _ended(self, code: int) -> None:
        self.returncode = code
        self._channel.close()
        if self._descriptor >= 0:
            os.close(self._descriptor)

    def wait(self, timeout: float | None = None) -> int:
        """Exit code, once there is one; TimeoutExpired after ``timeout`` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and deadline is not None and time.monotonic() >= deadline:
                raise subprocess.TimeoutExpired("a fork", timeout)
            time.sleep(0.02)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once."""
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self.poll() is None and self._descriptor >= 0:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)


def _readable(descriptor: int) -> bool:
    """Whether the process of a descriptor has ended."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


# --- the server -----------------------------------------------------------------------------------------------


def _serve(control: socket.socket) -> Request | None:
    """Fork for every request: the request in a fork; None in the server, once its parent is gone."""
    server = os.getpid()
    with selectors.DefaultSelector() as selector:
        selector.register(control, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fd)
                    _report_end(key.fd, *key.data)
                    continue
                message, descriptors, _, _ = socket.recv_fds(control, LONGEST, 2)
                if not message:
                    return None
                output, channel = descriptors[0], socket.socket(fileno=descriptors[1])
                if (process := os.fork()) == 0:
                    channel.close()
                    for other in selector.get_map().values():
                        os.close(other.fd)
                        if other.data is not None:
                            other.data[1].close()
                    request: Request = json.loads(message)
                    _become(request, output, server)
                    return request
                os.close(output)
                descriptor = os.pidfd_open(process)
                selector.register(descriptor, selectors.EVENT_READ, (process, channel))
                with suppress(OSError):  # its parent is gone, as the next message will say
                    socket.send_fds(channel, [b"fork"], [descriptor])


def _report_end(descriptor: int, process: int, channel: socket.socket) -> None:
    """Tell the parent the exit code of a ``process``, over its ``channel``."""
    _, status = os.waitpid(process, 0)
    os.close(descriptor)
    with channel, suppress(OSError):
        channel.send(os.waitstatus_to_exitcode(status).to_bytes(4, "little", signed=True))


def _become(request: Request, output: int, server: int) -> None:
    """Take the place, in a fork of ``server``, of the process that was asked for."""
    os.setsid()
    join_parent(request["death"])
    if os.getppid() != server:  # it died before it could be waited for
        os._exit(1)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)
    os.chdir(request["folder"])
    os.environ.update(request["environment"])


def _without_threads() -> bool:
    """Whether this process has one thread, after those ended that end at a fork and begin anew.

    Locks of others could stay locked in a fork, and a fork hears of the death of each thread of its parent.
    """
    if (process := os.fork()) == 0:
        os._exit(0)
    os.waitpid(process, 0)
    return len(os.listdir("/proc/self/task")) == 1


def _import(modules: Sequence[str]) -> None:
    """Import modules, pyarrow's allocator without the thread that it begins else; forks have no such variable."""
    is_absent = ALLOCATOR[0] not in os.environ
    os.environ.setdefault(*ALLOCATOR)
    for name in modules:
        importlib.import_module(name)
    if is_absent:
        del os.environ[ALLOCATOR[0]]


def main(modules: Sequence[str]) -> None:
    """Import ``modules``, then serve the parent at the other end of standard input; in a fork, run its module."""
    control = socket.socket(fileno=os.dup(0))
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    warm.server_start = time.time_ns()
    _import(modules)
    ctypes.CDLL(None)
    if not _without_threads():
        sys.exit("a module has begun a thread.")
    gc.collect()
    gc.freeze()  # looking at an object copies its page
    if (request := _serve(control)) is not None:
        sys.argv = ["", *request["arguments"]]
        runpy.run_module(request["module"], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
