"""Mistakes of a command line in plain words, whichever version of Typer, Click or pydantic finds them."""

from __future__ import annotations

import re
from typing import Any

from mmtk.errors import MmtkError, nearest

WORDS = (  # of the libraries, and ours
    (r"Input should be a valid integer\b.*|.* is not a valid integer\b.*", "should be a whole number"),
    (r"Input should be a valid (?:number|float)\b.*|.* is not a valid float\b.*", "should be a number"),
    (
        r"(?:Input should be greater than or equal to |.* is not in the range x>=)([\d.-]+?)\.?",
        r"should be \1 or more",
    ),
    (r"(?:Value error, )?.* is not one of (.+?)\.?", r"should be one of \1"),
    (r"(?:Value error, |Input )(.+?)\.?", r"\1"),
    (r"Option '(.+)' requires an argument\.?", r"\1 needs a value"),
    (r"Got unexpected extra arguments?(?:\(s\))? \((.+)\)", r"nothing is expected behind the others: \1"),
    (r"Missing command\.?", "which command?"),
)


def is_usage_error(error: Exception) -> bool:
    """Whether an error is that of a command line, of Click or of Typer's own copy of it."""
    return hasattr(error, "format_message") and hasattr(error, "show")


def asks_for_help(error: Exception) -> bool:
    """Whether a group was called without a command."""
    return type(error).__name__ == "NoArgsIsHelpError"


def usage_error(error: Any) -> MmtkError:
    """The message of a mistake in a command line: problem, place and cure.

    error: of Click or of Typer's own copy of it
    """
    context, param = getattr(error, "ctx", None), getattr(error, "param", None)
    cure = _cure(context) if context is not None else ""
    if hasattr(error, "possibilities"):
        names = [name for one in context.command.params for name in one.opts] if context else error.possibilities
        return MmtkError(f"no option {error.option_name}.{nearest(error.option_name, names or ())}", hint=cure)
    if param is None:
        return MmtkError(_sentence(plain(error.message)), hint=cure)
    quoted = re.search("'(.+?)'", error.format_message())
    name = quoted[1] if quoted else str(param.name)
    if hasattr(error, "param_type"):
        return MmtkError(f"{name} is missing.", hint=cure)
    text = plain(error.message)
    return MmtkError(_sentence(f"{name}: {text}{_input(error)}") + _near(text, error), hint=cure)


def plain(message: str) -> str:
    """The message of a library in plain words, without a stop."""
    for pattern, words in WORDS:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            return match.expand(words)
    return message.removesuffix(".")


def _sentence(text: str) -> str:
    return text if text.endswith((".", "?")) else f"{text}."


def _value(error: Any) -> str:
    """The value as it was typed; "" where the error does not hold it."""
    details: list[Any] = getattr(error.__cause__, "errors", list)()
    quoted = re.match(r"(?:Value error, )?'([^']*)' is not", error.message)
    return str(details[0]["input"]) if details else quoted[1] if quoted else ""


def _input(error: Any) -> str:
    return f', got "{value}"' if (value := _value(error)) else ""


def _near(text: str, error: Any) -> str:
    return nearest(_value(error), re.findall("'([^']+)'", text)) if " one of " in text else ""


def _cure(context: Any) -> str:
    """The usage of the command, and where it is explained."""
    usage = " ".join(context.get_usage().split())
    return f"{usage}\n  Help: {context.command_path} -h"
