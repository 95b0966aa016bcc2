"""Damaged and strange recipes and options through ``mmtk check``: a message, or the values that were written."""

from __future__ import annotations

import datetime
import json
import math
import random
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from loops import times
from tiny import SHALLOW, SOURCES, TINY, TOY, shallow

from mmtk.cli import main as cli
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe import toml
from mmtk.recipe.load import load_recipe

RECIPE = shallow()  # what is fine tries a step: with little, as below
TOY_SETS = [word for key, value in (TOY | SHALLOW).items() for word in ("--set", f"{key}={json.dumps(value)}")]
COMPLETE = RECIPE.toml()
TEXTS = [COMPLETE, *(path.read_text(encoding="utf-8") for path in sorted(toml.recipe_folder().rglob("*.toml")))]
KEYS = [key for key, _ in toml.leaves(RECIPE.values) if key[:7] != "origin."]

SIGNS = [
    "=",
    "[",
    "]",
    "[[",
    '"',
    "'",
    '"""',
    ".",
    ",",
    "{",
    "}",
    "#",
    "-",
    "+",
    "_",
    "\n",
    "\r",
    "\t",
    "\\",
    "\0",
    "\x1b[31m",
    "\x7f",
    "\ufeff",
    "\u202e",
    "\u2028",
    "ü",
    "日本",
    "😀",
    "e",
    "1",
    "0x",
    " ",
]
VALUES = [
    "nan",
    "-nan",
    "inf",
    "-inf",
    "1e309",
    "-1e309",
    "1e-320",
    "-0.0",
    "9" * 400,
    "-" + "9" * 30,
    "9007199254740993",
    "9223372036854775808",
    "0",
    "1",
    "-1",
    "0.5",
    "2",
    "true",
    "false",
    '""',
    '"none"',
    '"full"',
    '"../../x"',
    '"/etc/passwd"',
    '"\\u0000"',
    '"\\u001b[2J"',
    '"\\u202e"',
    '"' + "x" * 5000 + '"',
    "[]",
    "[[]]",
    "[1, 2]",
    '["classification"]',
    '["segmentation"]',
    '["a", 1, true]',
    "{}",
    '{ use = "none" }',
    "{ x = { y = 1 } }",
    "[" * 40 + "]" * 40,
    "{a=" * 30 + "1" + "}" * 30,
    "1979-05-27",
    "1979-05-27T07:32:00Z",
    "07:32:00",
    "0x10",
    "1_0",
    "'''\ntasks = []\n'''",
    "",
    "=",
    "1 2",
    "$(touch x)",
    "`x`",
    "__import__('os')",
    '"ssl\ud800"',
]
NAMES = [
    "x",
    "ssl",
    "ssl.use",
    "ssl.threshold",
    "use",
    "__class__",
    "__init__",
    "",
    ".",
    "a.b.c.d.e",
    "a" * 3000,
    "extends",
    "profile",
    "origin.recipe",
    "data",
    '"quo ted"',
    "tasks",
    "train.steps.more",
    "ünder",
    "loss.x.use",
]
MILD = ["0", "1", "2", "8", "0.5", "0.25", "true", "false", '"none"', '"full"', "1e-3", "0.0"]  # many of these fit


def value(dice: random.Random) -> str:
    return dice.choice(MILD if dice.random() < 0.6 else VALUES)


EDITS = ["drop", "double", "put", "flip", "line", "swap", "value", "value", "key", "cut", "deep"]


def damaged(text: str, dice: random.Random) -> str:
    """The text after one to four edits of characters, lines, values or keys."""
    for _ in range(dice.randint(1, 4)):
        lines = text.split("\n")
        at, other = dice.randrange(len(lines)), dice.randrange(len(lines))
        index = dice.randrange(len(text) + 1)
        edit = dice.choice(EDITS)
        if edit in ("drop", "double", "put", "flip", "cut"):
            text = with_other_characters(text, edit, index, dice)
        else:
            text = "\n".join(with_other_lines(lines, edit, (at, other), dice))
    return text


def with_other_characters(text: str, edit: str, index: int, dice: random.Random) -> str:
    match edit:
        case "drop":
            return text[:index] + text[index + dice.randint(1, 3) :]
        case "double":
            return text[:index] + text[index : index + 5] + text[index:]
        case "put":
            return text[:index] + dice.choice(SIGNS) + text[index:]
        case "flip" if index < len(text):
            return text[:index] + chr(ord(text[index]) ^ (1 << dice.randrange(7))) + text[index + 1 :]
        case "cut":
            return text[:index] if dice.random() < 0.2 else text
    return text


def with_other_lines(lines: list[str], edit: str, indices: tuple[int, int], dice: random.Random) -> list[str]:
    at, other = indices
    match edit:
        case "line":
            lines.insert(other, lines[at])
        case "swap":
            lines[at], lines[other] = lines[other], lines[at]
        case "value" if " = " in lines[at]:
            lines[at] = f"{lines[at].partition(' = ')[0]} = {value(dice)}"
        case "key":
            lines.insert(at, f"{dice.choice(NAMES)} = {dice.choice(VALUES)}")
        case "deep":
            lines.insert(at, f"[{'.'.join(['a'] * dice.choice([3, 20, 400]))}]")
    return lines


def options(dice: random.Random) -> list[str]:
    """Up to three ``--set`` options: mostly a known key with a strange value."""
    found = []
    for _ in range(dice.randint(1, 3)):
        key = dice.choice(NAMES) if dice.random() < 0.2 else dice.choice(KEYS)
        given = f"{key}={value(dice)}"
        if dice.random() < 0.2:
            at = dice.randrange(len(given) + 1)
            given = given[:at] + dice.choice(SIGNS) + given[at + dice.randint(0, 2) :]
        found += ["--set", given.replace("\0", "")]  # no argument of a process can hold it
    return found


def lines(seed: int, count: int, folder: Path) -> Iterator[tuple[Path | None, list[str]]]:
    """Command lines of ``mmtk check``, with the file that they read."""
    dice = random.Random(seed)
    path = folder / "recipe.toml"
    for number in range(count):
        if number % 3 == 0:
            yield None, ["multimix", *TOY_SETS, *options(dice)]
            continue
        # Half of them are the complete recipe, in which an edit of one value leaves the rest in order.
        text = damaged(COMPLETE if dice.random() < 0.5 else dice.choice(TEXTS), dice)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        more = options(dice) if number % 9 == 1 else []
        profile = dice.choice(["phantom", "\x1b", "../x", "x" * 5000])
        yield path, [str(path), *more, *(["--profile", profile] if dice.random() < 0.05 else [])]


def written(path: Path | None, given: list[str]) -> dict[str, Any]:
    """Every key that the file and the options give, as a TOML parser reads them: the later one counts."""
    found: dict[str, Any] = {}
    if path is not None:
        found |= dict(toml.leaves(tomllib.loads(path.read_bytes().decode("utf-8-sig"))))
    for text in (text for flag, text in pairwise(given) if flag == "--set"):
        key, _, value = text.partition("=")
        try:
            parsed = tomllib.loads(f"v = {value}")
        except ValueError:
            parsed = {}
        new = parsed["v"] if list(parsed) == ["v"] else value.strip()
        table, _, last = key.strip().rpartition(".")
        if last == "use" and found.get(key.strip()) != new:  # another component: the keys of the first are gone
            found = {k: v for k, v in found.items() if not k.startswith(f"{table}.")}
        more = dict(toml.leaves({key.strip(): new})) if isinstance(new, dict) else {key.strip(): new}
        found |= more
    return found


def same(one: Any, two: Any) -> bool:
    """Equal, true and 1 apart; a date counts as the text that it is written as."""
    if isinstance(one, datetime.date | datetime.time):
        return str(one) == two
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, bool) or isinstance(two, bool):
        return one is two
    if isinstance(two, float) and isinstance(one, int | float):
        return float(one) == two and math.isfinite(two)
    return type(one) is type(two) and one == two


def strayed(path: Path | None, given: list[str]) -> list[str]:
    """The keys whose value is not the one that was written."""
    profile = given[given.index("--profile") + 1] if "--profile" in given else None
    sets = [text for flag, text in pairwise(given) if flag == "--set"]
    recipe = load_recipe(path or "multimix", profile, sets)
    left_out = {
        table for task, tables in recipe_tables.OF_TASK.items() if task not in recipe.tasks for table in tables
    }
    found = []
    for key, value in written(path, given).items():
        skipped = key in ("extends", "profile") or key.startswith("origin.")
        skipped = skipped or any(key.startswith(f"{table}.") for table in left_out)
        if not skipped and not same(value, recipe.get(key)):
            found.append(f"{key}: {value!r} became {recipe.get(key)!r}")
    return found


def short(given: list[str]) -> list[str]:
    return [text if len(text) < 120 else f"{text[:60]} … {text[-50:]}" for text in given]


@pytest.fixture
def check(tmp_path, monkeypatch, capsys):
    """``mmtk check`` with so many command lines; the exit codes with how often they came, and all faults."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTK_PLUGINS", "")
    monkeypatch.delenv("MMTK_DATA", raising=False)

    def call(seed: int, count: int) -> tuple[Counter[int], list[str]]:
        codes: Counter[int] = Counter()
        faults = []
        for number, (path, given) in enumerate(lines(seed, count, tmp_path)):
            monkeypatch.setattr(sys, "argv", ["mmtk", "check", *given])
            try:
                cli.main()
            except SystemExit as ended:
                codes[int(ended.code or 0)] += 1
                _, err = capsys.readouterr()
                if ended.code not in (0, 2) or (ended.code == 2 and not err.strip()) or "Traceback" in err:
                    faults.append(f"{number} {short(given)}: exit code {ended.code}: {short([err[-300:]])}")
                elif not ended.code and (wrong := strayed(path, given)):
                    faults.append(f"{number} {short(given)}: {wrong}")
            except Exception as error:
                faults.append(f"{number} {short(given)}: {error!r}")
        return codes, faults

    return call


def judge(codes: Counter[int], faults: list[str], count: int) -> None:
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(fault[:600] for fault in faults[:20])
    assert set(codes) == {0, 2}
    assert codes.total() == count
    assert min(codes.values()) > count / 50  # some are fine, so that there are values to compare


@pytest.mark.long
def test_hostile_recipes(check):
    judge(*check(1, 300), 300)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(2, 7))
def test_many_hostile_recipes(check, tried, seed):
    count = times(2000)
    tried("mutated recipe or command line", "a message, or the very values that were written", count)
    judge(*check(seed, count), count)


# --- the other commands ---------------------------------------------------------------------------------------

LINES = [
    ["ablate", "--components", "saliency,ssl=none+confidence", "--dry-run", "--seeds", "2"],
    ["ablate", "multimix", "--components", "ssl.weight=0.25+1", "--design", "one-at-a-time", "--dry-run"],
    ["ablate", "unet", "--components", "loss.segmentation", "--labels", "segmentation=10,full", "--dry-run"],
    ["ablate", "--suite", "paper", "--labels", "classification=100", "--seeds", "0,3", "--dry-run"],
    ["show", "umtl", "--set", "train.steps=3"],
    ["diff", "umtl", "multimix"],
    ["check", "enc", "--profile", "phantom"],
    ["plugins", "show", "ssl/confidence"],
    ["plugins", "--kind", "ssl"],
    ["status", "studies/x"],
    ["list"],
    ["report", "studies/x"],
    ["predict", "runs/x", "x.png", "--out", "out"],
    ["track", "runs/x"],
    ["evaluate", "runs/x", "--profile", "phantom"],
    ["data", "inspect", "enc", "--data", "nowhere"],
    ["run", "runs/x", "--precision", "bf17"],
    ["doctor", "--data", "nowhere"],
]


# What does real work is to do it with little: 32 px, few images, a narrow network.
SMALL = TINY | SOURCES | {f"data.classification.{domain}.train": 104 for domain in ("source", "cross")}
SETS = [word for key, value in SMALL.items() for word in ("--set", f"{key}={json.dumps(value)}")]


def spoilt(line: list[str], dice: random.Random) -> list[str]:
    """One to three words of a command line left out, doubled, exchanged, or with characters put in."""
    line = list(line)
    for _ in range(dice.randint(1, 3)):
        at = dice.randrange(1, len(line)) if len(line) > 1 else 0
        match dice.choice(["drop", "double", "sign", "sign", "value", "swap"]):
            case "drop" if at:
                # A study that is not a dry run, or a run, would train.
                line = [word for i, word in enumerate(line) if i != at or word == "--dry-run"]
            case "double":
                line.insert(at, line[at]) if at else None
            case "sign" if line[at] != "--dry-run" and at:
                place = dice.randrange(len(line[at]) + 1)
                line[at] = line[at][:place] + dice.choice([*SIGNS, "+", ","]) + line[at][place:]
            case "value" if not line[at].startswith("--") and at:
                line[at] = dice.choice([*VALUES, *NAMES])
            case "swap" if at and "--dry-run" not in line:
                line[at], line[-1] = line[-1], line[at]
    return [word.replace("\0", "") for word in line]


def broken_lines(seed: int, count: int, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Every command line ends with a message and an exit code, never a traceback."""
    dice, codes, faults = random.Random(seed), Counter[int](), []
    for number in range(count):
        line = spoilt(LINES[number % len(LINES)], dice)
        line += SETS if line[0] in ("ablate", "data") else []
        monkeypatch.setattr(sys, "argv", ["mmtk", *line])
        try:
            cli.main()
        except SystemExit as ended:
            codes[int(ended.code or 0)] += 1
            _, err = capsys.readouterr()
            if ended.code not in (0, 1, 2) or (ended.code and not err.strip()) or "Traceback" in err:
                faults.append(f"{short(line)}: exit code {ended.code}: {err[-300:]}")
        except BaseException as error:
            faults.append(f"{short(line)}: {type(error).__name__}: {error}")
    assert not faults, f"{len(faults)} faults:\n" + "\n".join(fault[:600] for fault in faults[:20])
    assert codes.total() == count
    assert min(codes[0], codes[2]) > count / 50


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MMTK_PLUGINS", "")
    monkeypatch.delenv("MMTK_DATA", raising=False)
    return tmp_path


def test_broken_command_lines(here, monkeypatch, capsys):
    broken_lines(1, 36, monkeypatch, capsys)


@pytest.mark.long
def test_many_broken_command_lines(here, monkeypatch, capsys, tried):
    count = times(1500)
    tried("mutated command line of any command", "a message or an answer, never a traceback", count)
    broken_lines(2, count, monkeypatch, capsys)
