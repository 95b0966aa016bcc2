"""A process that ends at once: what waits for its end happens, and what Python takes apart stays whole."""

import subprocess

import pytest
from fork_server import python

START = """
import atexit, sys, threading, time
from mmtk.io.process_end import ended_at_once

class Remains:
    def __del__(self):
        print("taken apart")

remains = Remains()
atexit.register(lambda: print("at exit"))
"""
THREAD = 'threading.Thread(target=lambda: (time.sleep(0.1), print("thread"))).start()'


def ended(block: str, **how: object) -> subprocess.CompletedProcess[str]:
    text = f"{START}with ended_at_once():\n    {block}\n"
    return subprocess.run([python(), "-c", text], stderr=subprocess.PIPE, text=True, **how)


@pytest.mark.parametrize(
    ("block", "code"),
    [("pass", 0), ("sys.exit()", 0), ("sys.exit(3)", 3), ("sys.exit(256 + 7)", 7), ("sys.exit(False)", 0)],
)
def test_threads_and_functions_at_exit_come_first_and_output_is_written(block, code):
    done = ended(f"{THREAD}; print('block'); {block}", stdout=subprocess.PIPE)
    assert (done.returncode, done.stdout, done.stderr) == (code, "block\nthread\nat exit\n", "")


@pytest.mark.parametrize(("block", "text"), [("sys.exit('a word')", "a word"), ("1 / 0", "ZeroDivisionError")])
def test_an_error_ends_the_process_as_python_ends_it(block, text):
    done = ended(block, stdout=subprocess.PIPE)
    assert done.returncode == 1
    assert text in done.stderr
    assert "at exit" in done.stdout


def test_output_that_cannot_be_written_is_reported():
    with open("/dev/full", "w") as full:
        done = ended("print('block')", stdout=full)
    assert done.returncode != 0
    assert "No space left" in done.stderr


def test_the_command_ends_so():
    text = START.replace("ended_at_once", "ended_at_once as _", 1) + (
        "from mmtk.__main__ import command\nsys.argv = ['mmtk', '--version']\ncommand()\n"
    )
    done = subprocess.run([python(), "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("mmtk ")
    assert done.stdout.endswith("at exit\n")
