"""Write the reference and the manual page from the live command line, recipe schema and contracts."""

from __future__ import annotations

import dataclasses
import html
import inspect
import json
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel

from mmtk import api, testing
from mmtk.cli import help
from mmtk.cli import main as cli
from mmtk.recipe import describe, tables
from mmtk.registry import catalog
from mmtk.registry import signature as signatures
from mmtk.registry.kinds import KINDS
from mmtk.testing import every
from mmtk.testing.check import named

NOTE = "Made by `make docs` from the installed version; do not edit."
JUDGES = (
    "`doctor`, `data inspect`, `plugins check` and `plugins --load` judge; `check` ends with 2 where a recipe has "
    "a mistake. `list`, `show`, `diff`, `status`, `plugins` and `report` tell what is there and end with 0, "
    "whatever it is. `data inspect --json` writes the whole report before it ends with 1."
)
Rows = Iterable[tuple[str, ...]]


def text(words: str) -> str:
    """A docstring as Markdown: code spans stay, signs that mean something elsewhere are escaped."""
    parts = re.split(r"(``.+?``|`.+?`)", " ".join(words.split()))
    return "".join(p if p.startswith("`") else re.sub(r"([*_<|\[\]])", r"\\\1", p) for p in parts)


def code(words: object) -> str:
    """Code that may stand in a table, where a bar would end the cell; nothing stays nothing."""
    plain = str(words)
    if "|" in plain:
        escaped = re.sub(r"[|_*]", lambda sign: f"&#{ord(sign[0])};", html.escape(plain))
        return f"<code>{escaped}</code>"
    return f"`{plain}`" if plain else ""


def table(head: tuple[str, ...], rows: Rows) -> list[str]:
    """A Markdown table and an empty line; nothing without rows."""
    body = [f"| {' | '.join(row)} |" for row in rows]
    return [f"| {' | '.join(head)} |", "|---" * len(head) + "|", *body, ""] if body else []


# --- the command line -----------------------------------------------------------------------------------------


def commands(command: Any, words: str = "mmtk") -> Iterator[tuple[str, Any]]:
    """Every command below a group, with the words that call it."""
    if not hasattr(command, "commands"):
        yield words, command
        return
    if command.invoke_without_command or words == "mmtk":
        yield words, command
    for name, each in command.commands.items():
        yield from commands(each, f"{words} {name}")


def cli_page() -> list[str]:
    """Every command with its arguments and options."""
    lines = ["`mmtk COMMAND --help` prints the same.", "", "## Exit codes", ""]
    lines += table(
        ("exit code", "meaning"), [(str(number), meaning) for number, meaning in help.EXIT_CODES.items()]
    )
    lines += [JUDGES, ""]
    for words, command in commands(typer.main.get_command(cli.app)):
        lines += [f"## {words}", "", text(command.help or ""), ""]
        with command.make_context(words, [], resilient_parsing=True) as context:
            usage = command.get_usage(context).removeprefix("Usage: ")
            lines += ["```text", " ".join(usage.split()), "```", ""]
            rows = [(code(names), text(about)) for names, about in filter(None, _records(command, context))]
        lines += table(("argument or option", "meaning"), rows)
    return lines


def manual() -> str:
    """The manual page that `man mmtk` shows: every command with its arguments and options, in roff."""
    lines = [".TH MMTK 1", ".SH NAME", "mmtk \\- " + roff(typer.main.get_command(cli.app).help or "")]
    lines += [".SH SYNOPSIS", ".B mmtk", roff("COMMAND [OPTIONS] [ARGUMENTS]"), ".SH COMMANDS"]
    for words, command in commands(typer.main.get_command(cli.app)):
        with command.make_context(words, [], resilient_parsing=True) as context:
            usage = command.get_usage(context).removeprefix("Usage: ")
            records = [*filter(None, _records(command, context))]
        lines += [f".SS {roff(usage)}", roff(command.help or "")]
        for names, about in records:
            lines += [".TP", f".B {roff(names)}", roff(about) or "\\&"]
    lines.append(".SH EXIT STATUS")
    for number, meaning in help.EXIT_CODES.items():
        lines += [".TP", f".B {number}", roff(meaning)]
    return "\n".join([*lines, ""])


def roff(words: str) -> str:
    """A sentence in roff: one line, in which no sign is taken as a command."""
    plain = " ".join(words.replace("`", "").split()).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{plain}" if plain.startswith((".", "'")) else plain


def _records(command: Any, context: Any) -> Iterator[tuple[str, str] | None]:
    for each in command.get_params(context):
        if each.name == "help":
            continue
        record = each.get_help_record(context)
        if record is None:  # an argument that says nothing of itself
            record = (each.make_metavar(context), getattr(each, "help", None) or "")
        yield help.without_type(record[0]), record[1]


# --- recipes --------------------------------------------------------------------------------------------------


def recipes_page() -> list[str]:
    """Every table and key that is not a component's own."""
    lines = [
        "A recipe is TOML. `extends` names one parent recipe or a list of them; tables merge key by key, and a "
        "component table with another `use` replaces the whole table. `mmtk show RECIPE` prints every value with "
        "the place it comes from, `mmtk schema` the JSON Schema for an editor.",
        "",
        "## Above all tables",
        "",
    ]
    extends = ("`extends`", "`text` or `list of text`", "", "parent recipes: names or paths")
    lines += table(("key", "type", "default", "meaning"), [extends, *_keys(tables.Top)])
    for name, model in tables.FIXED.items():
        lines += [f"## [{name}]", "", text(inspect.getdoc(model) or ""), ""]
        lines += table(("key", "type", "default", "meaning"), _keys(model))
    lines += [
        "## Component tables",
        "",
        "`use` names the component; its own keys stand beside it. `*` stands for any name: `[augment.NAME]` is "
        "a view that strategies ask for by NAME; `[metric.TASK]` scores a task and selects its best weights, and "
        "any other `[metric.NAME]` adds scores beside it, called `NAME/SCORE` "
        "([Use your own metric](../how-to/own-metric.md)).",
        "",
    ]
    extra = {name: ", ".join(code(key) for key, _, _ in kind.added_keys) for name, kind in KINDS.items()}
    lines += table(
        ("table", "components", "keys that mmtk adds"),
        [
            (code(f"[{place}]"), f"[{kind}](components.md#{kind})", extra[kind])
            for place, kind in tables.PLACES.items()
        ],
    )
    return [*lines, *TUNE]


TUNE = [
    "## [tune]",
    "",
    "Keys that `mmtk ablate --tune N` varies, by their dotted names: a list of values, or a range. A suite and a "
    "profile may have the table, too. It is no part of a run's digest. A key that means nothing in a system (that "
    "of another component, say) is left out there. [Tune every system equally](../how-to/tune.md) shows it "
    "at work.",
    "",
    "```toml",
    "[tune]",
    "ssl.threshold = [0.5, 0.7, 0.9]                       # any values that the key takes",
    "ssl.weight = { low = 0.1, high = 10, log = true }     # log: equal factors are equally likely",
    "train.batch = { low = 4, high = 16 }                  # whole numbers, as the key takes",
    "```",
    "",
    "Keys of `data`, `metric`, `evaluate` and `tracking` cannot be tuned, because trials are compared on the same "
    "images and scores; nor can `use`: another component is another system.",
    "",
]


def _keys(model: type[BaseModel], meanings: dict[str, str] | None = None) -> Iterator[tuple[str, ...]]:
    types = model.model_json_schema()["properties"]
    for key, field in model.model_fields.items():
        if key == "use":
            continue
        default = "required"
        if not field.is_required():
            default = "" if field.default is None else code(json.dumps(field.default, ensure_ascii=False))
        meaning = (meanings or {}).get(key) or field.description or ""
        yield code(key), code(describe._type(types[key])), default, text(meaning)


# --- components -----------------------------------------------------------------------------------------------


def components_page() -> list[str]:
    """Every built-in component under its kind, with its keys."""
    lines = [
        "`mmtk plugins` lists these and those of installed plugins; `mmtk plugins show KIND/NAME` prints one."
    ]
    lines.append("")
    for kind, row in KINDS.items():
        wires = ", ".join(map(code, row.wires)) or "nothing"
        contract = f"Contract: [{_contract(kind)}](contracts.md#{_contract(kind).lower()})"
        lines += [f"## {kind}", "", f"{contract}; the host offers {wires} by name.", ""]
        for entry in catalog.entries(kind):
            if entry.dist == catalog.OURS:
                lines += _component(entry)
    return lines


def _contract(kind: str) -> str:
    return KINDS[kind].contract_name.rpartition(".")[2]


def _component(entry: catalog.Entry) -> list[str]:
    loaded, model = catalog.load(entry), tables.model_of(entry)
    keys = [key for key in model.model_fields if key != "use"]
    prose, meanings = _split(inspect.getdoc(loaded) or "", keys)
    facts = [f"wired by the host: {', '.join(map(code, signatures.wired(loaded))) or 'nothing'}"]
    facts += [f"tasks: {', '.join(tasks)}"] if (tasks := describe._tasks(entry, loaded)) else []
    views = describe._views(entry, loaded)
    facts += [f"views: {', '.join(f'{n} {describe._view(v)}' for n, v in views.items())}"] if views else []
    lines = [f"### {entry.word}", ""]
    for paragraph in prose:
        lines += [text(paragraph), ""]
    lines += table(("key", "type", "default", "meaning"), _keys(model, meanings))
    return [*lines, f"*{'; '.join(facts)}*", ""]


def _split(doc: str, keys: list[str]) -> tuple[list[str], dict[str, str]]:
    """A docstring as paragraphs and ``key: meaning`` to its end (``a, b: meaning`` serves both)."""
    prose, meanings = [""], dict[str, str]()
    current: list[str] = []
    for line in doc.splitlines():
        found = re.match(r"([\w-]+(?:, [\w-]+)*): (.*)", line)
        if found and set(found[1].split(", ")) <= set(keys):
            current = found[1].split(", ")
            meanings |= dict.fromkeys(current, found[2])
        elif not line.strip():
            current = []
            prose.append("")
        elif current:
            meanings |= {key: f"{meanings[key]} {line.strip()}" for key in current}
        else:
            prose[-1] += f" {line}"
    return [each for each in prose if each.strip()], meanings


# --- contracts ------------------------------------------------------------------------------------------------


PASSED_ON = {
    "Field": "Ranges and descriptions of keys, as pydantic has it: `Annotated[float, Field(ge=0)]`.",
    "MmtkError": "An error for users: `MmtkError(message, where, hint)` is printed without a traceback.",
}


def contracts_page() -> list[str]:
    """Every public name of mmtk.api from its docstring and signature."""
    lines = [
        "Everything a component author imports: `from mmtk.api import …`. The first parameters of a component",
        "are wired by name by the host (any subset of what it offers); annotated keyword-only ones are its recipe",
        "keys. [What each kind has to keep](checks.md) is checked by `mmtk plugins check`.",
        "",
    ]
    for name in api.__all__:
        thing = getattr(api, name)
        if name in PASSED_ON or not inspect.isclass(thing):
            lines += _plain(name, thing)
            continue
        prose, meanings = _split(inspect.getdoc(thing) or "", [name for name, _ in _annotated(thing)])
        lines += [f"## {name}", "", *(line for paragraph in prose for line in (text(paragraph), ""))]
        fields = [(code(line), text(meanings.get(field, ""))) for field, line in _annotated(thing)]
        body = [*fields, *_methods(thing)]
        lines += table(("member", "meaning"), body)
    return lines


def _plain(name: str, thing: Any) -> list[str]:
    """Section of a name that is no class of the contracts: an alias of types, or a name from elsewhere."""
    type_name = re.sub(r"typing\.|mmtk\.api\.\w+\.", "", f"`{thing}`")
    return [f"## {name}", "", PASSED_ON.get(name, type_name), ""]


def _annotated(thing: type[Any]) -> Iterator[tuple[str, str]]:
    """Name of every field, and its declaration: name, type and default."""
    if dataclasses.is_dataclass(thing):
        for field in dataclasses.fields(thing):
            default = "" if field.default is dataclasses.MISSING else f" = {field.default!r}"
            yield field.name, f"{field.name}: {field.type}{default}"
        return
    for name, kind in vars(thing).get("__annotations__", {}).items():
        default = f" = {vars(thing)[name]!r}" if name in vars(thing) else ""
        yield name, f"{name}: {kind}{default}"


def _methods(thing: type[Any]) -> Iterator[tuple[str, str]]:
    for name, member in vars(thing).items():
        own = inspect.isfunction(member) and (not name.startswith("_") or name == "__call__")
        if isinstance(member, property):
            yield code(name), text(inspect.getdoc(member) or "")
        elif own and inspect.getdoc(member):
            signature = str(inspect.signature(member)).replace("'", "")
            must = " **required**" if getattr(member, "__isabstractmethod__", False) else ""
            prose, meanings = _split(inspect.getdoc(member) or "", [*inspect.signature(member).parameters])
            items = [f"<br>{code(parameter)}: {text(meaning)}" for parameter, meaning in meanings.items()]
            yield code(f"{name}{signature}"), text(" ".join(prose)) + must + "".join(items)


# --- checks ---------------------------------------------------------------------------------------------------


def checks_page() -> list[str]:
    """The contract kit, check by check."""
    lines = [
        "`mmtk plugins check KIND/NAME` runs them; `mmtk.testing.suite(kind, Class)` gives them to pytest.",
        "",
    ]
    groups = {"every kind": every.CHECKS, **{kind: testing.kind_checks(kind) for kind in KINDS}}
    for kind, checks in groups.items():
        lines += [f"## {kind}", ""]
        rows = [(code(named(each)), text(inspect.getdoc(each) or "")) for each in checks]
        lines += table(("check", "what it asks"), rows)
    return lines


PAGES = {
    "cli": ("Command line", "every command, argument and option", cli_page),
    "recipes": ("Recipes", "every table and key that is not a component's own", recipes_page),
    "components": ("Components", "every built-in component with its keys", components_page),
    "contracts": ("Contracts", "`mmtk.api`: what a component author imports", contracts_page),
    "checks": ("Checks", "what `mmtk plugins check` asks of each kind", checks_page),
}


def reference() -> str:
    """The first page: what the others hold, and every built-in component by its word."""
    lines = ["# Reference", "", NOTE, ""]
    lines += table(
        ("page", "what it holds"),
        [(f"[{title}](reference/{name}.md)", about) for name, (title, about, _) in PAGES.items()],
    )
    own = [entry for entry in catalog.entries() if entry.dist == catalog.OURS]
    words = {kind: [entry.name for entry in own if entry.kind == kind] for kind in KINDS}
    rows = [(f"[{kind}](reference/components.md#{kind})", ", ".join(map(code, words[kind]))) for kind in words]
    return "\n".join(lines + table(("kind", "built-in components"), rows))


def pages() -> dict[str, str]:
    """Every generated page by its path below docs."""
    made = {"reference.md": reference()}
    for name, (title, _, page) in PAGES.items():
        made[f"reference/{name}.md"] = "\n".join([f"# {title}", "", NOTE, "", *page()])
    made["mmtk.1"] = manual()
    return made


if __name__ == "__main__":
    for path, written in pages().items():
        place = Path(__file__).parent / path
        place.parent.mkdir(exist_ok=True)
        place.write_text(written, encoding="utf-8")
        print(place.relative_to(Path.cwd()) if place.is_relative_to(Path.cwd()) else place, file=sys.stderr)
