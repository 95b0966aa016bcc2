"""The help of the command line: commands in groups, whole sentences, and an example for each command."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import typer
import typer.core

from mmtk.errors import MmtkError, nearest

Function = TypeVar("Function", bound=Callable[..., Any])

GROUPS: dict[str, tuple[str, ...]] = {
    "Run": ("run", "predict", "evaluate", "saliency", "export", "track"),
    "Compare": ("ablate", "status", "report", "compare", "audit"),
    "Look": ("data", "check", "show", "diff", "list", "schema", "doctor", "help"),
    "Extend and measure": ("plugins", "bench"),
}

EXAMPLES: dict[str, tuple[str, ...]] = {
    "run": ("mmtk run multimix", "mmtk run recipes/umtl.toml --profile chest-xray-small --data DIR --seed 1"),
    "predict": ("mmtk predict runs/mine film.png films/ --out predictions",),
    "evaluate": (
        "mmtk evaluate runs/mine other-hospital",
        "mmtk evaluate runs/mine films --labels films.csv --label Diagnosis",
        "mmtk evaluate runs/mine --profile chest-xray --data DIR",
    ),
    "saliency": ("mmtk saliency studies/ssl", "mmtk saliency runs/mine --map captum,method=grad-cam --map noise"),
    "export": ("mmtk export runs/mine --format onnx",),
    "track": ("mmtk track runs/*",),
    "ablate": (
        "mmtk ablate --components saliency,ssl --seeds 3 --dry-run",
        "mmtk ablate --components ssl=none+confidence+mixmatch --out studies/ssl",
        "mmtk ablate studies/ssl",
    ),
    "status": ("mmtk status studies/ssl",),
    "report": ("mmtk report studies/ssl",),
    "audit": ("mmtk audit published.csv --cases 624",),
    "compare": (
        "mmtk compare results.csv --out report",
        "mmtk compare results.csv --column system=config --seed fold --out report",
        "mmtk compare report/compare.toml",
    ),
    "check": ("mmtk check multimix --set ssl.threshold=0.9",),
    "show": ("mmtk show multimix --profile chest-xray-small", "mmtk show recipe.toml --changed"),
    "diff": ("mmtk diff umtl multimix",),
    "schema": ("mmtk schema > recipe.schema.json",),
    "doctor": ("mmtk doctor --data DIR",),
    "bench": ("mmtk bench step",),
    "data plan": ("mmtk data plan films", 'mmtk data plan films --label "Finding Labels" --patient "Patient ID"'),
    "data inspect": ("mmtk data inspect multimix --profile chest-xray-small --data DIR",),
    "plugins show": ("mmtk plugins show ssl/confidence",),
    "plugins check": ("mmtk plugins check ssl/my-method", "mmtk plugins check code/MyMethod --code my_method.py"),
    "plugins new": ("mmtk plugins new my-method --kind ssl",),
}

EXIT_CODES: dict[int, str] = {
    0: "Done, and all that was judged is fine (✓), or works with a drawback (!).",
    1: "Failed; or a verdict is ✗; or some of several images or runs failed, and the others are done.",
    2: "A mistake in the command, the recipe or the data. The message says where, and the cure.",
    129: "Stopped, as its terminal was closed (SIGHUP). The same command goes on.",
    130: "Stopped by Ctrl-C. The same command goes on.",
    143: "Stopped by SIGTERM. The same command goes on.",
}


class Command(typer.core.TyperCommand):
    """A command whose help ends with examples. Contexts and formatters are Click's, or Typer's own copy of it."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """Return the parts of the usage line; Typer's braces around what is required read like a choice."""
        pieces = [re.sub(r"^\{(.+)\}", r"\1", piece) for piece in super().collect_usage_pieces(ctx)]
        return [_with_dots(piece) if piece.endswith("...") else piece for piece in pieces]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments and options, without types that say nothing to who does not write Python."""
        write = formatter.write_dl
        formatter.write_dl = lambda rows, *rest: write([(without_type(name), text) for name, text in rows], *rest)
        super().format_options(ctx, formatter)
        formatter.write_dl = write

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write the examples, one a line."""
        if examples := EXAMPLES.get(ctx.command_path.removeprefix("mmtk "), ()):
            with formatter.section("Examples"):
                for example in examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")


class App(typer.Typer):
    """A Typer application of such commands."""

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """Register a command."""
        return super().command(name, **{"cls": Command, **options})


class Commands(typer.core.TyperGroup):
    """A group of commands whose help has their whole first sentences, below headings in the outermost group."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return the names of the commands, heading by heading; those below none last."""
        names = super().list_commands(ctx)
        ordered = [name for group in GROUPS.values() for name in group if name in names]
        return [*ordered, *(name for name in names if name not in ordered)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write the commands below the headings of their groups."""
        for title, names in self._sections(ctx):
            rows = [(name, _sentence(command)) for name in names if (command := self.get_command(ctx, name))]
            with formatter.section(title):
                formatter.write_dl(rows)

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """Write what the exit codes mean, below the outermost group."""
        if ctx.parent is None:
            with formatter.section("Exit codes"):
                formatter.write_dl([(str(code), meaning) for code, meaning in EXIT_CODES.items()])

    def _sections(self, ctx: Any) -> Iterator[tuple[str, list[str]]]:
        names = self.list_commands(ctx)
        if ctx.parent is not None:
            yield "Commands", names
            return
        for title, group in GROUPS.items():
            yield title, [name for name in names if name in group]
        if rest := [name for name in names if not any(name in group for group in GROUPS.values())]:
            yield "Other", rest


def _with_dots(piece: str) -> str:
    """An argument that may be repeated, with one sign for it."""
    return piece.removesuffix("...") + ("" if "…" in piece else "…")


def without_type(name: str) -> str:
    """Name of an argument without its type, or of an option with the type that its value has."""
    return name.replace(" range>", ">") if name.startswith("-") else re.sub(r" <.+>$", "", name)


def _sentence(command: Any) -> str:
    """The first paragraph of a command's help, uncut."""
    return " ".join((command.help or "").partition("\n\n")[0].split())


def help_text(ctx: typer.Context, words: list[str]) -> str:
    """The help of the command that ``words`` name, as ``mmtk COMMAND --help`` prints it.

    Raises MmtkError for a command that does not exist.
    """
    context: Any = ctx.find_root()
    for count, word in enumerate(words):
        group = context.command
        command = group.get_command(context, word) if hasattr(group, "get_command") else None
        if command is None:
            names = group.list_commands(context) if hasattr(group, "list_commands") else []
            raise MmtkError(f"mmtk has no command '{' '.join(words[: count + 1])}'.{nearest(word, names)}")
        context = type(context)(command, info_name=word, parent=context)
    return str(context.get_help())
