"""Ask the server of ``fork_server.py`` for a fork, and live as long as that, with its signals and its end."""

import json
import os
import resource
import signal
import socket
import sys

about, arguments = sys.argv[1], sys.argv[2:]
with open(about, encoding="utf-8") as file:
    server = json.load(file)
environment = dict(os.environ)
same = {k: v for k, v in environment.items() if k.startswith(tuple(server["at_import"]))} == server["environment"]
if arguments[:1] == ["-u"]:
    environment["PYTHONUNBUFFERED"] = "1"
    arguments = arguments[1:]
known = arguments[:1] in (["-m"], ["-c"]) or (arguments and arguments[0].endswith(".py"))
there = socket.socket(socket.AF_UNIX)
if not same or not known or there.connect_ex(server["address"]):
    os.execve(server["python"], [server["python"], *arguments], environment)
numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
call = {
    "arguments": arguments,
    "folder": os.getcwd(),
    "environment": environment,
    "signals": numbers,
    "cores": list(os.sched_getaffinity(0)),
    "umask": os.umask(0),
    "limits": {number: resource.getrlimit(number) for number in server["limits"]},
}
text = json.dumps(call).encode()
socket.send_fds(there, [len(text).to_bytes(4, "little")], [0, 1, 2])
there.sendall(text)
process = int.from_bytes(there.recv(4), "little")
for number in numbers:
    signal.signal(number, lambda number, frame: os.kill(process, number))
signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)
code = int.from_bytes(there.recv(4), "little", signed=True)
if code < 0:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if -code != signal.SIGKILL:
        signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
os._exit(code)
