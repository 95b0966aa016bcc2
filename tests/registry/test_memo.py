"""What commands remember of components: it saves importing them, and it is never out of date."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fake_plugin import install
from loops import some

from mmtk.io import fork_server
from mmtk.io.fork_server import ForkServer
from mmtk.registry import memo

# Asks one component one question, as a command does; prints the answer and how it came.
ASK = """
import json, sys
from pathlib import Path
from mmtk.registry import catalog, memo
given, before_keep, margin = json.loads(sys.argv[1])
memo._MARGIN = margin if margin is not None else memo._MARGIN
memo.begin()
entry = catalog.find("launcher", "odd")
asked = []
def ask():
    asked.append(True)
    return catalog.load(entry)().answer()
try:
    answer = memo.recall("answer", entry, given, ask)
except Exception as error:
    answer = repr(error)
exec(before_keep)
memo.keep()
print(json.dumps([answer, "asked" if asked else "recalled"]))
"""
AT_ONCE = -(10**12)  # ns; lets files be remembered that were written just now
BRIEF = 300_000_000  # ns

PLUGIN = """
from odd_help import number
class Odd:
    def answer(self):
        return [number, {"half": number / 2}]
"""


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A folder with an installed launcher ``odd`` and the module it imports."""
    folder = tmp_path / "site"
    install(folder, "mmtk-odd", {"launcher/odd": "odd:Odd"}, modules={"odd": PLUGIN, "odd_help": "number = 7\n"})
    return folder


def start(
    site: Path, given: object = None, before_keep: str = "", margin: int | None = AT_ONCE, **environment: str
) -> subprocess.Popen[str]:
    paths = [str(site), os.environ.get("PYTHONPATH", "")]
    # Python itself takes a compiled file for fresh if the size and the second of its source are the same.
    own = {"PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}
    own |= {"MMTK_CACHE": str(site.parent / "cache"), **environment}
    command = [sys.executable, "-c", ASK, json.dumps([given, before_keep, margin])]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, **own})


def asked_by_fork(server: ForkServer, site: Path) -> list[object]:
    """The answer that a fork gets, and how."""
    output = site.parent / "output"
    with open(output, "wb") as file:
        fork = server.start([sys.executable, "-m", "ask", json.dumps([None, "", BRIEF])], {}, file.fileno())
        assert fork is not None
        assert fork.wait(60) == 0
    answer: list[object] = json.loads(output.read_text().splitlines()[-1])
    return answer


def asked(process: subprocess.Popen[str]) -> list[object]:
    out, _ = process.communicate()
    assert process.returncode == 0
    answer: list[object] = json.loads(out.splitlines()[-1])
    return answer


def memo_file(site: Path) -> Path:
    (file,) = (site.parent / "cache").iterdir()
    return file


SEVEN = [7, {"half": 3.5}]


def test_an_answer_is_had_once(site):
    assert asked(start(site)) == [SEVEN, "asked"]
    assert asked(start(site)) == [SEVEN, "recalled"]
    assert asked(start(site, {"weight": 2})) == [SEVEN, "asked"]  # another question
    assert [asked(start(site, given)) for given in (None, {"weight": 2})] == [[SEVEN, "recalled"]] * 2


def test_the_modules_of_a_remembered_component_are_not_imported(site):
    loaded = "import sys; answer = 'odd' in sys.modules"
    assert [asked(start(site, before_keep=loaded))[0] for _ in range(2)] == [True, False]


@pytest.mark.parametrize("edited", ["odd.py", "odd_help.py"])
def test_an_edited_module_is_asked_again(site, edited):
    asked(start(site))
    file = site / edited
    file.write_text(file.read_text().replace("number = 7", "number = 8").replace("half", "Half"))
    new = asked(start(site))
    assert new == [[8, {"half": 4.0}] if edited == "odd_help.py" else [7, {"Half": 3.5}], "asked"]
    assert asked(start(site)) == [new[0], "recalled"]


def test_an_edit_that_keeps_size_and_time_is_seen(site):
    asked(start(site))
    file = site / "odd_help.py"
    before = file.stat()
    file.write_text("number = 9\n")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (file.stat().st_size, file.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)
    assert asked(start(site)) == [[9, {"half": 4.5}], "asked"]


def test_a_module_that_becomes_a_package_is_seen(site):
    asked(start(site))
    (site / "odd_help").mkdir()
    (site / "odd_help" / "__init__.py").write_text("number = 1\n")
    assert asked(start(site)) == [[1, {"half": 0.5}], "asked"]


def test_a_module_that_comes_first_on_the_path_is_seen(site, tmp_path):
    asked(start(site))
    (tmp_path / "first").mkdir()
    (tmp_path / "first" / "odd_help.py").write_text("number = 1\n")
    path = os.pathsep.join([str(tmp_path / "first"), str(site), os.environ.get("PYTHONPATH", "")])
    assert asked(start(site, PYTHONPATH=path)) == [[1, {"half": 0.5}], "asked"]


def test_another_version_of_the_distribution_is_asked_again_and_a_removed_one_is_missed(site):
    asked(start(site))
    info = site / "mmtk_odd-1.0.dist-info"
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mmtk-odd\nVersion: 1.1\n")
    assert asked(start(site)) == [SEVEN, "asked"]
    (info / "entry_points.txt").unlink()
    gone = start(site)
    gone.communicate()
    assert gone.returncode != 0  # catalog.find says so, before any memo is read


def test_what_was_written_since_the_process_began_is_not_remembered(site):
    edit = f"Path({str(site / 'odd_help.py')!r}).write_text('number = 8')"
    time.sleep(0.4)  # the margin
    assert asked(start(site, before_keep=edit, margin=BRIEF)) == [SEVEN, "asked"]
    assert asked(start(site, margin=BRIEF)) == [[8, {"half": 4.0}], "asked"]


@pytest.mark.long
@pytest.mark.skipif(not fork_server.available(), reason="there is no fork server on this system")
def test_the_fork_of_a_server_recalls_what_is_older_than_the_server(site):
    (site / "ask.py").write_text(ASK)
    time.sleep(0.4)  # the margin
    assert asked(start(site, margin=BRIEF)) == [SEVEN, "asked"]
    own = {"PYTHONPATH": os.pathsep.join([str(site), os.environ.get("PYTHONPATH", "")])}
    own |= {"MMTK_CACHE": str(site.parent / "cache"), "PYTHONDONTWRITEBYTECODE": "1"}
    server = ForkServer(["torch", "odd"], {**os.environ, **own})
    assert asked_by_fork(server, site) == [SEVEN, "recalled"]
    (site / "odd_help.py").write_text("number = 8")
    time.sleep(0.4)
    assert asked(start(site, margin=BRIEF)) == [[8, {"half": 4.0}], "asked"]
    assert asked(start(site, margin=BRIEF)) == [[8, {"half": 4.0}], "recalled"]
    assert asked_by_fork(server, site) == [SEVEN, "asked"]  # by the code that the server has
    assert asked(start(site, margin=BRIEF)) == [[8, {"half": 4.0}], "recalled"]
    server.stop()


def test_what_was_written_just_before_is_not_remembered(site):
    hour = 3600 * 10**9
    assert [asked(start(site, margin=hour)) for _ in range(2)] == [[SEVEN, "asked"]] * 2


@pytest.mark.parametrize(
    "body",
    [
        "raise ValueError('no')",
        "import warnings; warnings.warn('odd'); return 1",
        "return {1, 2}.__class__.__name__ and (x for x in ()) is None or object",
    ],
    ids=["refusal", "warning", "no JSON"],
)
def test_what_is_no_plain_answer_is_asked_for_each_time(site, body):
    (site / "odd.py").write_text(f"class Odd:\n    def answer(self):\n        {body}\n")
    report = "answer = str(answer)"
    first, second = (asked(start(site, before_keep=report)) for _ in range(2))
    assert first == second
    assert first[1] == "asked"


def test_a_table_that_names_a_file_is_asked_each_time(site, tmp_path):
    table = {"use": str(tmp_path), "deep": [{"path": str(tmp_path / "weights")}]}
    assert [asked(start(site, table))[1] for _ in range(2)] == ["asked", "recalled"]
    (tmp_path / "weights").touch()
    assert [asked(start(site, table))[1] for _ in range(2)] == ["asked", "asked"]


def test_with_a_local_file_of_components_nothing_is_recalled(site):
    asked(start(site))
    code = site.parent / "code"
    code.mkdir()  # what Python runs first gives the process its local file
    (code / "sitecustomize.py").write_text(
        "from pathlib import Path\nfrom mmtk.registry import catalog\n"
        "catalog.offer(catalog.Code(Path('x.py'), b''))\n"
    )
    path = os.pathsep.join([str(code), str(site), os.environ.get("PYTHONPATH", "")])
    assert asked(start(site, PYTHONPATH=path)) == [SEVEN, "asked"]


def _reseal(text: bytes) -> bytes:
    return hashlib.sha256(text).hexdigest().encode() + b"\n" + text


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole.replace(b"3.5", b"4.5"),
        lambda whole: _reseal(b"[]"),
        lambda whole: _reseal(b"no json"),
        lambda whole: _reseal(b'{"answers": {}, "states": 3, "places": {}}'),
        lambda whole: b"\xff\x00" * 99,
    ],
    ids=["empty", "half", "a digit", "no table", "no JSON", "odd states", "bytes"],
)
def test_a_damaged_memo_is_no_memo(site, damage):
    asked(start(site))
    file = memo_file(site)
    whole = file.read_bytes()
    assert damage(whole) != whole
    file.write_bytes(damage(whole))
    assert asked(start(site)) == [SEVEN, "asked"]
    assert asked(start(site)) == [SEVEN, "recalled"]


def test_a_cache_that_cannot_be_written_is_done_without(site, tmp_path):
    (tmp_path / "file").touch()
    for _ in range(2):
        assert asked(start(site, MMTK_CACHE=str(tmp_path / "file" / "cache"))) == [SEVEN, "asked"]


@pytest.mark.long
def test_many_writers_at_once_leave_a_whole_memo(site):
    crowd = [start(site, {"number": number % 4}) for number in range(16)]
    assert [asked(each)[0] for each in crowd] == [SEVEN] * 16
    checksum, _, text = memo_file(site).read_bytes().partition(b"\n")  # and nothing lies beside it
    assert hashlib.sha256(text).hexdigest().encode() == checksum
    assert asked(start(site, {"number": 99})) == [SEVEN, "asked"]
    assert asked(start(site, {"number": 99})) == [SEVEN, "recalled"]


# --- the command ----------------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str) -> tuple[int, str, str, bool]:
    """Exit code, output, errors, and whether torch was imported."""
    environment = {**os.environ, "MMTK_CACHE": str(folder / "cache"), "MMTK_PLUGINS": ""}
    run = [sys.executable, "-P", "-X", "importtime", "-m", "mmtk", *arguments]
    done = subprocess.run(run, capture_output=True, text=True, cwd=folder, env=environment, check=False)
    lines = done.stderr.splitlines()
    imports = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    said = [line for line in lines if not line.startswith("import time:")]
    return done.returncode, done.stdout, "\n".join(said), "torch" in imports


@pytest.mark.long
def test_a_second_check_needs_no_torch_and_says_the_same(tmp_path):
    youngest = max(file.stat().st_ctime for file in Path(memo.__file__).parent.rglob("*.py"))
    time.sleep(max(0.0, 2.2 - (time.time() - youngest)))
    (tmp_path / "mmtk").mkdir()  # as in a checkout: no path in a recipe
    *first, slow = command(tmp_path, "check", "multimix")
    *second, quick = command(tmp_path, "check", "multimix")
    assert (first, slow, quick) == (second, True, False)
    assert first[0] == 0
    # What is no component's affair may change; so may components that were asked before.
    changed = command(tmp_path, "check", "multimix", "--set", "train.lr=0.5", "--set", "train.steps=7")
    assert (changed[0], changed[3]) == (0, False)
    wrong = command(tmp_path, "check", "multimix", "--set", "data.size=100", "--set", "train.lr=0.5")
    assert (wrong[0], wrong[3]) == (2, False)
    assert "data.size: 100 is not divisible by 16, the stride of encoder 'unet'." in wrong[2]


MISTAKES = [
    ["ssl.treshold=0.9", "train.stepz=3"],
    ["ssl.threshold=7", "bridge.stride=3", "encoder.use=unt"],
    ["bridge.stride=32", "data.size=100"],
    ["encoder.use=timm", "encoder.model=vit_tiny_patch16_224"],
    ["loss.segmentation.use=smp", "metric.segmentation.use=classification"],
    ["ssl.use=mixmatch", "train.balance=weight"],
]


@pytest.mark.long
@pytest.mark.parametrize("sets", some(MISTAKES), ids=" ".join)
def test_mistakes_are_found_in_the_same_words(tmp_path, monkeypatch, sets):
    arguments = ["check", "multimix", *(part for each in sets for part in ("--set", each))]
    *first, _ = command(tmp_path, *arguments)
    *second, _ = command(tmp_path, *arguments)
    *other, slow = command(tmp_path / "cache", *arguments)  # where no memo can be: its cache is another
    assert first == second == other
    assert slow


@pytest.mark.parametrize("arguments", some([["show", "umtl"], ["diff", "umtl", "umtl-s"], ["schema"]]))
@pytest.mark.long
def test_what_reads_recipes_needs_no_torch_either(tmp_path, arguments):
    *first, slow = command(tmp_path, *arguments)
    *second, quick = command(tmp_path, *arguments)
    assert (first, slow, quick) == (second, True, False)
