"""Python's collector of garbage: a command makes it look less often, a function of Python leaves it alone."""

import subprocess

import pytest
from fork_server import python

COMMAND = """
from mmtk.cli.main import main
sys.argv = ["mmtk", "--version"]
try:
    main()
except SystemExit:
    pass
"""
FUNCTION = 'import mmtk; mmtk.load_recipe("enc", "phantom")'


@pytest.mark.parametrize(
    ("block", "expected"), [(COMMAND, (20_000, 10, 10)), (FUNCTION, (700, 9, 8))], ids=["command", "function"]
)
def test_the_threshold_of_the_collector(block, expected):
    text = f"import gc, sys\ngc.set_threshold(700, 9, 8)\n{block}\nprint(gc.get_threshold(), gc.isenabled())"
    done = subprocess.run([python(), "-c", text], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f"{expected} True"
