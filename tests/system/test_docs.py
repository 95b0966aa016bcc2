"""The documentation: it builds, its links resolve, its recipes are recipes, its commands run as they stand."""

from __future__ import annotations

import functools
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from fake_plugin import refresh
from loops import some
from PIL import Image

from mmtk import api, load_recipe, testing
from mmtk.cli import main as cli
from mmtk.recipe import tables as recipe_tables
from mmtk.recipe import toml
from mmtk.recipe.describe import recipe_schema
from mmtk.recipe.load import system_for
from mmtk.registry import catalog
from mmtk.registry.kinds import KINDS
from mmtk.study.plan import plan_suite

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
ALL = [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "plugins").glob("*/README.md"))]
# Results and decisions are records of what was once run.
SESSIONS = [page for page in ALL if not {"results", "decisions", "reference"} & {*page.relative_to(ROOT).parts}]
LONG = {
    "tutorial/plugin.md",
    "how-to/run-a-study.md",
    "how-to/compare-systems.md",
    "how-to/track-with-mlflow.md",
    "how-to/export.md",
    "how-to/ensembles.md",
    "how-to/fine-tune.md",
    "explanation/paper-and-release.md",
    *(f"plugins/{page.parent.name}/README.md" for page in ALL if "plugins" in page.relative_to(ROOT).parts),
    "README.md: Which part helps?",
    "README.md: From Python",
    "README.md: Your own component",
}
SLOW = {  # more than two seconds: with the long ones, but each of them on every machine
    "tutorial/compare.md",
    "how-to/own-data.md",
    "how-to/predict.md",
    "how-to/cluster.md",
    "how-to/compare-tables.md",
    "how-to/own-encoder.md",
    "how-to/own-metric.md",
    "how-to/read-results.md",
    "explanation/determinism.md",
    "README.md: Your own data",
}
MLFLOW = "how-to/track-with-mlflow.md"
SEEDS = "how-to/run-a-study.md"  # here a study has all its seeds; elsewhere one: commands are what is tested
# What a page promises its commands to print.
SAYS = {
    "tutorial/plugin.md": "All 16 checks passed.",
    "how-to/cluster.md": "3 runs, 1 to do",
    "README.md: Your own component": "All 16 checks passed.",
    "plugins/mmtk-hello/README.md": "All 16 checks passed.",
}
# Lines that are there to fail, and what they say.
FAILS = {
    "mmtk check multimix --set ssl.treshold=0.9": "ssl.treshold: unknown key. Did you mean 'threshold'?",
    "mmtk plugins check consistency/release-kl": "2 of 17 checks failed",
}


def name(page: Path) -> str:
    return page.relative_to(DOCS if page.is_relative_to(DOCS) else ROOT).as_posix()


@dataclass(frozen=True)
class Block:
    """A fenced block: its page, its language, its text, the comment before it and the heading that it is below."""

    page: Path
    language: str
    text: str
    comment: str | None
    section: str


FENCE = re.compile(r"(?:<!--((?:(?!-->).)*)-->\n)?^```([\w-]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
SNIPPET = re.compile(r'^--8<-- "(.+)"$', re.MULTILINE)


@functools.cache
def blocks(page: Path) -> tuple[Block, ...]:
    """The blocks of a page, with what it includes from other files in its place."""
    text = SNIPPET.sub(lambda found: (ROOT / found[1]).read_text().rstrip(), page.read_text())
    return tuple(
        Block(page, found[2], found[3], found[1] or None, (["", *HEADING.findall(text[: found.start()])])[-1])
        for found in FENCE.finditer(text)
    )


def lines(block: Block) -> list[str]:
    """The commands of a shell block: one a line, lines that end in a backslash joined, without comments."""
    joined = block.text.replace("\\\n", " ")
    words = [shlex.split(line, comments=True) for line in joined.splitlines()]
    return [shlex.join(each) for each in words if each]


def shell(pages: list[Path]) -> list[Block]:
    return [block for page in pages for block in blocks(page) if block.language == "sh"]


# --- the reference --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def generated() -> dict[str, str]:
    made: dict[str, str] = runpy.run_path(str(DOCS / "make_reference.py"))["pages"]()
    return made


def test_the_reference_is_what_the_installed_version_says(generated):
    files = [DOCS / "mmtk.1", DOCS / "reference.md", *(DOCS / "reference").glob("*.md")]
    there = {name(page): page.read_text() for page in files}
    assert there == generated, "run make docs"


def test_the_manual_page_has_every_command_and_is_installed(generated):
    lines = generated["mmtk.1"].splitlines()
    headings = [line.removeprefix(".SS ").replace("\\-", "-") for line in lines if line.startswith(".SS")]
    assert {words for words in COMMANDS if not any(line.startswith(words) for line in headings)} == set()
    requests = {line.split()[0] for line in lines if line.startswith((".", "'"))}
    assert requests == {".TH", ".SH", ".SS", ".TP", ".B"}  # no sentence is taken as a request
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    shared = project["tool"]["hatch"]["build"]["targets"]["wheel"]["shared-data"]
    assert shared == {"docs/mmtk.1": "share/man/man1/mmtk.1"}


def sections(text: str, mark: str) -> dict[str, str]:
    """The text below every heading of a level."""
    parts = re.split(rf"^{mark} (.+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_component_stands_below_its_kind_with_every_key(generated):
    kinds = sections(generated["reference/components.md"], "##")
    assert list(kinds) == list(KINDS)
    for kind, words in catalog.BUILTINS.items():
        found = sections(kinds[kind], "###")
        assert set(found) == {f"{kind}/{word}" for word in words}
        for word in words:
            for key in set(recipe_tables.model_of(catalog.find(kind, f"mmtk/{word}")).model_fields) - {"use"}:
                assert f"\n| `{key}` |" in found[f"{kind}/{word}"], f"{kind}/{word}: {key}"
            assert f"`{word}`" in generated["reference.md"]


def tables(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every table of the recipe's schema with its own keys, components left out."""
    own = schema.get("properties", {})
    parts = {key for key, each in own.items() if any("$ref" in way for way in (each, *each.get("anyOf", ())))}
    yield path, {key: each for key, each in own.items() if key not in parts and "properties" not in each}
    for key, each in own.items():
        if "properties" in each:
            yield from tables(each, f"{path}.{key}".strip("."))


def test_every_key_of_the_recipe_s_schema_is_in_the_reference(generated):
    page = generated["reference/recipes.md"]
    found, seen = sections(page, "##"), 0
    for path, keys in tables(recipe_schema()):
        for key in keys:
            if "additionalProperties" in keys[key] and keys[key].get("type") == "object":
                assert f"`[{key}.*]`" in page
                continue
            assert f"\n| `{key}` |" in found[f"[{path}]" if path else "Above all tables"], f"{path}.{key}"
            seen += 1
    assert seen > 30
    for place, kind in recipe_tables.PLACES.items():
        assert f"| `[{place}]` | [{kind}]" in page


def commands(command: Any, words: str = "mmtk") -> Iterator[tuple[str, Any]]:
    yield words, command
    for short, each in getattr(command, "commands", {}).items():
        yield from commands(each, f"{words} {short}")


COMMANDS = dict(commands(typer.main.get_command(cli.app)))


def test_every_command_and_option_is_in_the_reference(generated):
    found = sections(generated["reference/cli.md"], "##")
    for words, command in COMMANDS.items():
        if words == "mmtk data":  # a group that does nothing itself
            continue
        for option in command.params:
            for opt in option.opts if option.param_type_name == "option" and option.name != "help" else []:
                # A choice has bars, which only an element of HTML can hold within a table.
                assert re.search(f"(`|<code>){opt}\\b", found[words]), f"{words} {opt}"


def test_every_contract_and_every_check_is_in_the_reference(generated):
    assert list(sections(generated["reference/contracts.md"], "##")) == list(api.__all__)
    kinds = sections(generated["reference/checks.md"], "##")
    assert list(kinds) == ["every kind", *KINDS]
    for kind in KINDS:
        for check in testing.kind_checks(kind):
            assert f"`{check.__name__.replace('_', '-')}`" in kinds[kind]


def test_meanings_of_keys_fields_and_arguments_stand_beside_them_whole(generated):
    (val,) = re.findall(
        r"^\| `val` \|.+", sections(generated["reference/components.md"], "###")["source/chex"], re.M
    )
    assert "in hash order;" in val
    contracts = sections(generated["reference/contracts.md"], "##")
    assert "| `unit: str = ''` | of its values, such as ``mm``;" in contracts["ScoreInfo"]
    assert "<br>`labelled`: labelled images of the step, with their classes<br>" in contracts["SSL"]


# --- recipes --------------------------------------------------------------------------------------------------

TABLES = {path.split(".")[0] for path in (*recipe_tables.FIXED, *recipe_tables.PLACES)}
TOP = {*recipe_tables.Top.model_fields, "extends", "tune", *TABLES}
NAMES = {"name", "description", "profile"}
PROFILES = {path.stem for path in (toml.recipe_folder() / "profiles").glob("*.toml")}
TOML = [block for page in ALL for block in blocks(page) if block.language == "toml"]


@pytest.mark.parametrize("block", TOML, ids=lambda block: name(block.page))
def test_every_toml_block_is_what_it_seems(block, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    values = tomllib.loads(block.text)
    file = tmp_path / "block.toml"
    if "systems" in values:
        file.write_text(block.text)
        assert plan_suite(str(file)).cells
    elif set(values) & TOP:
        profile = str(values.get("extends")) in PROFILES
        text = block.text if "extends" in values else f'extends = "multimix"\n{block.text}'
        place = tmp_path / ("profiles" if profile else "") / "block.toml"
        place.parent.mkdir(exist_ok=True)
        place.write_text(text)
        made = load_recipe(system_for("multimix", str(place)), str(place)) if profile else load_recipe(str(place))
        values.pop("extends", None)
        # What a block sets has to arrive: a profile lies over a recipe and may take it away.
        wanted = {key: None if toml.drops(key, value) else value for key, value in toml.leaves(values)}
        lost = [key for key, value in wanted.items() if key not in NAMES and made.get(key) != value]
        assert lost == [], f"overruled by {made.profile}: see docs/how-to/own-data.md"
    else:
        ((group, points),) = values["project"]["entry-points"].items()
        assert group.removeprefix("mmtk.") in KINDS
        assert all(":" in target for target in points.values())


# --- commands -------------------------------------------------------------------------------------------------


def command_of(arguments: list[str]) -> tuple[str, list[str]]:
    """The longest words that name a command, and the rest."""
    for count in range(min(3, len(arguments)), 0, -1):
        if (words := " ".join(arguments[:count])) in COMMANDS:
            return words, arguments[count:]
    raise AssertionError(f"no command: {' '.join(arguments)}")


@pytest.mark.parametrize("page", ALL, ids=name)
def test_every_mmtk_line_names_commands_and_options_that_exist(page):
    for block in shell([page]):
        for line in lines(block):
            arguments = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
            if arguments[0] != "mmtk":
                continue
            words, rest = command_of(arguments)
            command = COMMANDS[words]
            with command.make_context(words, [], resilient_parsing=True) as bare:
                parser = command.make_parser(bare)
            parser.ctx = None  # the bare context forgives what a user would be refused
            given, left, _ = parser.parse_args(list(rest))
            missing = [each.name for each in command.params if each.required and given.get(each.name) is None]
            assert not left, line
            assert not missing, line
    for inline in re.findall(r"`(mmtk [^`\n]+)`", FENCE.sub("", page.read_text())):
        if re.match(r"mmtk [a-z]", inline):
            words, rest = command_of(inline.split())
            known = {opt for option in COMMANDS[words].params for opt in option.opts} | {"--help"}
            assert {word for word in rest if word.startswith("--")} <= known, inline


@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_blocks_that_are_not_run_say_why(page):
    for block in shell([page]):
        if block.comment is not None:
            assert re.fullmatch(r" not run: \S.{9,} ", block.comment), block


TINY = {
    "data.size": 32,
    "encoder.width": 4,
    "decoder.width": 4,
    "train.steps": 4,
    "train.validate_every": 2,
    "train.batch": 2,
    "train.precision": "fp32",
    "evaluate.cases": 2,
    **{
        f"data.{task}.{domain}.{part}": count
        for task, train in (("classification", 104), ("segmentation", 16))
        for domain in ("source", "cross")
        for part, count in (("train", train), ("val", 8), ("test", 10), ("size", 32))
    },
}


def has_unet(words: list[str]) -> bool:
    """Whether a system of a command has the paper's encoder, whose width is a key."""
    recipes = [word for word in words if Path(word).suffix == ".toml" and Path(word).is_file()]
    encoders = [tomllib.loads(Path(recipe).read_text()).get("encoder", {}).get("use") for recipe in recipes]
    encoders += [word.partition("=")[2] for word in words if word.startswith("encoder.use=")]
    return all(encoder in (None, "unet") for encoder in encoders)


def tiny(arguments: list[str], tracked: bool, pictures: bool) -> list[str]:
    """The same command with so small a network, data set and budget that it takes a second."""
    words, rest = command_of(["mmtk", *arguments])
    study = any((Path(word) / "study.json").is_file() for word in rest)
    if words == "mmtk ablate" and "--launcher" not in rest:
        arguments = [*arguments, "--launcher", "inline"]
    if words in ("mmtk run", "mmtk evaluate") and not pictures:  # which have tests of their own
        arguments = [*arguments, "--no-pictures"]
    if words in ("mmtk run", "mmtk ablate", "mmtk data inspect") and not study:
        own = "--profile" in rest  # the sources of a page's own profile are as small as they are
        sets = {key: value for key, value in TINY.items() if not (own and key.count(".") == 3)}
        if not has_unet(rest):
            del sets["encoder.width"]
        sets["tracking.enabled"] = str(tracked).lower()
        arguments = [*arguments, *(word for key, value in sets.items() for word in ("--set", f"{key}={value}"))]
    return arguments


SAVED = re.compile(
    r"[Ss]ave (?:this )?as `([\w/.-]+)`:\n\n```(?:toml|python)\n(.*?)^```", re.MULTILINE | re.DOTALL
)


def save_files(page: Path, here: Path) -> None:
    """The files that a page asks its reader to save, and the images that its profiles speak of: noise."""
    noise = np.random.default_rng(0)
    for file, text in SAVED.findall(page.read_text()):
        (here / file).parent.mkdir(exist_ok=True)
        (here / file).write_text(text)
        root = here / "DIR" if "--data DIR" in page.read_text() and page.name == "README.md" else here
        for task in tomllib.loads(text).get("data", {}).values() if file.endswith(".toml") else ():
            for table in (task["source"], task["cross"]):
                draw_images(root, table, noise)


def draw_images(root: Path, table: dict[str, str], noise: np.random.Generator) -> None:
    """The files of a folder source: images with masks, or with a table of labels."""
    count = 20 if "masks" in table else 150
    for key in [key for key in ("images", "masks") if key in table]:
        (root / table[key]).mkdir(parents=True)
        for number in range(count):
            pixels = noise.integers(0, 2 if key == "masks" else 256, (24, 24)).astype(np.uint8)
            Image.fromarray(pixels).save(root / table[key] / f"{number:03}.png")
    if "labels" in table:
        rows = "".join(f"{number:03}.png,{'sick' if number % 3 else 'well'}\n" for number in range(count))
        (root / table["labels"]).write_text(f"image,label\n{rows}")


def session_params() -> list[Any]:
    """A page is a session of its reader; the README has one below each heading."""
    made: list[Any] = []
    long: list[Any] = []
    for page in SESSIONS:
        sections = dict.fromkeys(block.section for block in blocks(page) if block.language in ("sh", "python"))
        for section in sections if page == ROOT / "README.md" else [None]:
            title = f"{name(page)}: {section}" if section else name(page)
            marks = [pytest.mark.long] if title in LONG | SLOW else []
            (long if title in LONG else made).append(pytest.param(page, section, id=title, marks=marks))
    return made + some(long)


@pytest.mark.parametrize(("page", "section"), session_params())
def test_the_commands_of_a_page_run_in_their_order(page, section, tmp_path, monkeypatch, capsys):
    outside = not page.is_relative_to(DOCS)
    if page.parent.name == "mmtk-hello":  # its reader stands in the package
        shutil.copytree(page.parent, tmp_path, dirs_exist_ok=True)
    elif outside:  # and these in the repository
        for folder in ("plugins", "recipes"):
            (tmp_path / folder).symlink_to(ROOT / folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MMTK_DATA", raising=False)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    save_files(page, tmp_path)
    said = ""
    try:
        for block in blocks(page):
            if section is not None and block.section != section:
                continue
            if block.language == "python" and block.text.startswith("import") and block.comment is None:
                exec(compile(block.text, str(page), "exec"), {})
            for line in lines(block) if block.language == "sh" and block.comment is None else []:
                _run(line, tmp_path, monkeypatch, page)
                told = capsys.readouterr()
                assert FAILS.get(line, "") in " ".join((told.out + told.err).split())
                said += told.out
    finally:
        monkeypatch.undo()
        refresh()
        catalog.offer(None)
    assert SAYS.get(f"{name(page)}: {section}" if section else name(page), "") in " ".join(said.split())


def _run(line: str, here: Path, monkeypatch: pytest.MonkeyPatch, page: Path) -> None:
    """One line of a page: ``mmtk`` in this process, an installation into a folder of the test's own."""
    one_seed, pictures = name(page) != SEEDS, ".figures[" in page.read_text()
    words = shlex.split(line)
    if words[0] == "mmtk":
        fewer = ["--seeds", "1"] if one_seed and "--seeds" in words else []
        monkeypatch.setattr(sys, "argv", ["mmtk", *tiny(words[1:], name(page) == MLFLOW, pictures), *fewer])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert bool(ended.value.code) == (line in FAILS), line
        return
    if words[0] == "pip":
        words = [sys.executable, "-m", *words]
    own = words[1:4] == ["-m", "pip", "install"]
    if own:
        words += ["--quiet", "--no-deps", "--no-build-isolation", "--target", str(here / "site")]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if own:  # what an installer into the environment itself would leave on sys.path
        paths = [str(here / "site"), str(here / words[words.index("-e") + 1].partition("[")[0])]
        for path in paths:
            monkeypatch.syspath_prepend(path)
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
        refresh()


# --- links and the site ---------------------------------------------------------------------------------------


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as the site makes them."""
    from markdown.extensions.toc import slugify, unique

    seen: set[str] = set()
    for heading in re.findall(r"^#+ (.+)$", FENCE.sub("", page.read_text()), re.MULTILINE):
        unique(slugify(re.sub(r"[`*]|\]\(.*?\)", "", heading), "-"), seen)
    return frozenset(seen)


@pytest.mark.parametrize("page", ALL, ids=name)
def test_every_link_resolves(page):
    prose = re.sub(r"`[^`\n]+`", "", FENCE.sub("", page.read_text()))
    wrong = []
    for target in re.findall(r"\]\(([^()\s]+)\)", prose):
        if target.startswith("http"):
            if not re.fullmatch(r"https?://[\w-]+(\.[\w-]+)+(:\d+)?(/\S*)?", target):
                wrong.append(target)
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(target)
    assert wrong == []


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    """The site, built strictly."""
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.long
def test_the_site_builds_strictly_and_asks_the_network_for_nothing(site):
    built = sorted(site.rglob("*.html"))
    assert len(built) > len(PAGES)
    remote = re.compile(r'<(?:script|img|iframe)[^>]+src="?(?:https?:)?//|<link[^>]+href="?(?:https?:)?//')
    assert [page.name for page in built if remote.search(page.read_text())] == []
    styles = [style.name for style in site.rglob("*.css") if re.search(r"url\(\"?https?:", style.read_text())]
    assert styles == []


def test_every_page_is_in_the_navigation_once():
    from mkdocs.config import load_config

    def entries(nav: Any) -> Iterator[str]:
        if isinstance(nav, str):
            yield nav
        for each in nav if isinstance(nav, list) else nav.values() if isinstance(nav, dict) else []:
            yield from entries(each)

    assert sorted(entries(load_config(str(ROOT / "mkdocs.yml"))["nav"])) == sorted(map(name, PAGES))


def test_decisions_have_numbers_of_their_own_and_stand_in_their_order():
    numbers = re.findall(r"decisions/(\d+)-", (ROOT / "mkdocs.yml").read_text())
    assert numbers == sorted({*numbers})


def test_the_targets_of_make_are_listed_in_one_column():
    text = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    starts = {re.match(r"[a-z-]+ +", line).end() for line in text.splitlines() if "make[" not in line}
    assert len(starts) == 1
