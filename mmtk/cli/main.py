"""The ``mmtk`` command. Every command imports what it needs inside, so that ``--help`` stays instant."""

from __future__ import annotations

import functools
import gc
import io
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from mmtk.cli import bench, compare, completion, export, help, plugins, recipes, runs, study, usage
from mmtk.cli import data as data_commands
from mmtk.cli.lines import wrapped
from mmtk.cli.options import DataOpt
from mmtk.errors import MmtkError, RunFailed, folded, report
from mmtk.io import status_line
from mmtk.registry import memo
from mmtk.runs import pace

app = help.App(
    name="mmtk",
    help="Which part of a semi-supervised, multi-task method really helps?",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
    cls=help.Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(data_commands.app, name="data")
app.add_typer(plugins.app, name="plugins")
for module in (recipes, runs, study, compare, export, bench):
    for name, command_function in module.COMMANDS.items():
        app.command(name)(command_function)

EXIT_WITHOUT_COMMAND = 2  # nothing was done: a script that lacks the command's name stops
DOCTOR = 27  # columns of the names that it prints


def _print_version(enabled: bool) -> None:
    if enabled:
        from mmtk import __version__

        typer.echo(f"mmtk {__version__}")
        raise typer.Exit


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show a traceback with an error.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which part of a semi-supervised, multi-task method really helps?"""


@app.command()
def doctor(data: DataOpt = None) -> None:
    """Judge this machine: versions, device, load, MLflow, disk, data; exit code 1 if something is missing."""
    from mmtk.workflows.doctor import findings

    wrong = 0
    for mark, name, text in findings(data):
        typer.echo("\n".join(wrapped(text, f"{mark} {name:{DOCTOR}}  ", " " * (DOCTOR + 4))))
        wrong += mark == "✗"
    if wrong:
        raise RunFailed(f"{wrong} of these {'has' if wrong == 1 else 'have'} to be mended (✗).")


@app.command("help")
def help_(
    ctx: typer.Context,
    words: Annotated[list[str] | None, typer.Argument(metavar="COMMAND", help="A command, such as run.")] = None,
) -> None:
    """Print the help of a command."""
    typer.echo(help.help_text(ctx, words or []))


@functools.cache
def _command() -> Callable[..., Any]:
    """Return the command, built once in a process: ``app`` builds it at every call."""
    return typer.main.get_command(app)


def main() -> None:
    """Run the command; turn every error into a message and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that lacks a sign shows its number instead
            stream.reconfigure(errors="backslashreplace")
    warnings.formatwarning = _warning_text
    # Libraries and pictures make a million objects that stay: looks for garbage among them took a second of a run.
    gc.set_threshold(20_000, 10, 10)
    pace.share_cores()
    memo.begin()
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    try:
        _check_current_folder()
        with status_line.running(arguments), completion.words_of_bash():
            sys.exit(_command()(args=arguments, prog_name="mmtk", standalone_mode=False) or 0)
    except typer.Abort:
        sys.exit(130)
    except KeyboardInterrupt:
        print("mmtk: interrupted.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        if debug or (code := _reported(error)) is None:
            raise
        sys.exit(code)
    finally:
        memo.end()


def _check_current_folder() -> None:
    """Refuse a current folder that is gone: libraries cannot be loaded from there, and no path is known."""
    try:
        os.getcwd()
    except OSError as error:
        message = f"the current folder is gone ({error.strerror})."
        raise MmtkError(message, hint="Go to a folder that exists, such as: cd ~") from error


def _warning_text(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """A warning of mmtk without the place in its code; one of another package as Python prints it."""
    if category is UserWarning and Path(filename).is_relative_to(Path(__file__).parents[1]):
        return f"{folded(f'Warning: {message}', sys.stderr)}\n"
    return _python_text(message, category, filename, lineno, line)


_python_text = warnings.formatwarning


def _reported(error: Exception) -> int | None:
    """Print an error of the user or of the system, and give its exit code; None for one of mmtk's own."""
    if isinstance(error, MmtkError):
        return report(error)
    if isinstance(error, OSError):
        return report(_from_system(error))
    if usage.asks_for_help(error):
        print(error)
        return EXIT_WITHOUT_COMMAND
    return report(usage.usage_error(error)) if usage.is_usage_error(error) else None


def _from_system(error: OSError) -> MmtkError:
    """Message for a full disk, a read-only folder or a missing file."""
    import errno

    where = str(error.filename) if error.filename else None
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return RunFailed("the disk is full; what was written before is kept.", where, "Make room and run again.")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM):
        return MmtkError("cannot be written or read: permission denied.", where, "Choose another --out.")
    return RunFailed(error.strerror or str(error), where)
