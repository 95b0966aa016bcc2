"""The commands of components: ``mmtk plugins``, ``plugins show``, ``plugins check`` and ``plugins new``."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mmtk.cli import completion
from mmtk.cli.code import CodeOpt
from mmtk.cli.help import App, Commands
from mmtk.cli.lines import table_lines
from mmtk.counts import counted, share
from mmtk.errors import RunFailed, folded
from mmtk.registry.kinds import KINDS

if TYPE_CHECKING:
    from mmtk.registry.catalog import Entry

app = App(help="List, describe, check and begin components.", rich_markup_mode=None, cls=Commands)
WordArg = Annotated[str, typer.Argument(metavar="KIND/NAME", autocompletion=completion.components)]


@app.callback(invoke_without_command=True)
def plugins(
    context: typer.Context,
    load: Annotated[
        bool, typer.Option("--load", help="Import every one of them, to find those that are broken.")
    ] = False,
) -> None:
    """List the installed components: kind, name, where it is from, and what it does.

    A state stands where recipes cannot use a component by its name; with --load, ok where it could be imported,
    and exit code 1 if one is broken.
    """
    if context.invoked_subcommand:
        return
    from mmtk.registry import catalog
    from mmtk.registry.summaries import summary

    rows: list[tuple[str, ...]] = [("kind", "name", "from", "state", "what it does")]
    for entry, state in catalog.states():
        state_text, does = "" if state == "ok" else str(state), summary(entry)
        if load and state in ("ok", "clash"):
            from mmtk.recipe.describe import fault

            reason = fault(entry)
            state_text, does = ("broken", reason) if reason else (state, does)
        rows.append((entry.kind, entry.name, f"{entry.dist} {entry.version}".strip(), state_text, does))
    broken = sum(row[3] == "broken" for row in rows)
    if not any(row[3] for row in rows[1:]):
        rows = [(*row[:3], *row[4:]) for row in rows]
    typer.echo("\n".join(table_lines(rows)))
    for line in _reasons(catalog.states()):
        typer.echo(folded(line, sys.stdout))
    if broken:
        raise RunFailed(f"{share(broken, len(rows) - 1, 'component', 'is broken', 'are broken')}.")


def _reasons(states: Iterable[tuple[Entry, str]]) -> list[str]:
    """Lines on why recipes cannot use components by their bare names, each once, with the cure."""
    from mmtk.registry import catalog

    lines = []
    for entry, state in states:
        if state == "excluded":
            dist = f"{entry.dist} {entry.version}"
            lines.append(f"excluded: {dist} asks for {entry.excluded}, and this is mmtk {catalog.version()}")
        elif state == "hidden":
            lines.append(f"hidden: MMTK_PLUGINS does not name {entry.dist}; add it there, or unset the variable")
        elif state == "clash":
            name = f'use = "{entry.dist}/{entry.name}"'
            lines.append(f"clash: several bring {entry.word}; a recipe says which, as {name}")
    return [*dict.fromkeys(lines)]


@app.command()
def show(word: WordArg, code: CodeOpt = None) -> None:
    """Print a component's documentation, recipe keys, tasks, views, wiring and source line."""
    from mmtk.recipe.describe import describe

    text = re.sub(r"(?<=\S)\n {4}(?=\S)", " ", describe(word))  # a key's lines are one paragraph, broken anew
    typer.echo(folded(text, sys.stdout))


@app.command()
def check(
    word: Annotated[
        str,
        typer.Argument(
            metavar="COMPONENT",
            help="KIND/NAME, code/CLASS or a distribution.",
            autocompletion=completion.components,
        ),
    ],
    set_: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A recipe key of it; may be repeated.")
    ] = None,
    data: Annotated[Path | None, typer.Option("--data", help="The data folder, for a source.")] = None,
    code: CodeOpt = None,
) -> None:
    """Run the contract kit on a component, or on all of a distribution; exit code 1 if a check fails."""
    from mmtk.recipe.toml import assignment
    from mmtk.testing import checks_of, outcomes

    keys = dict(assignment(text) for text in set_ or [])
    failed = passed = unrun = 0
    for entry, checks in checks_of(word, keys, data):
        typer.echo(f"{entry.word}  ({entry.dist} {entry.version})")
        unrun += len(checks)
        for check, error in outcomes(checks):
            unrun -= 1
            typer.echo(f"  {'✗' if error else '✓'} {check}")
            if error:
                typer.echo("".join(f"      {line}\n" for line in str(error).splitlines()), nl=False)
            failed, passed = failed + bool(error), passed + (not error)
    if failed:
        rest = f" {counted(unrun, 'check needs', 'checks need')} that mended first." if unrun else ""
        raise RunFailed(f"{share(failed, failed + passed, 'check')} failed.{rest}")
    typer.echo(f"All {counted(passed, 'check')} passed.")


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="What recipes will call it, such as my-method.")],
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.", autocompletion=completion.kinds)],
    folder: Annotated[Path, typer.Option("--dir", help="Where the package's folder is made.")] = Path(),
) -> None:
    """Write a package with one small, working component, its test, its recipe and a README."""
    from mmtk.registry.scaffold import write_package

    package = write_package(name, kind, folder)
    typer.echo(f"Wrote {package.folder}: {package.kind}/{package.name}, version 0.1.0")
    for path in package.files:
        typer.echo(f"  {path}")
    typer.echo("Next")
    for command in package.commands:
        typer.echo(f"  {command}")
