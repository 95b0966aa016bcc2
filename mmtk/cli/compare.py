"""The command ``mmtk compare``: numbers of other programs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mmtk.cli.lines import table_lines, wrapped
from mmtk.cli.study import MarginOpt, show_report
from mmtk.errors import folded, listing

if TYPE_CHECKING:
    from mmtk.compare.audit import Claim
    from mmtk.workflows.compare import Comparison


def compare(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="Tables or folders, or the compare.toml of an earlier report."),
    ],
    out: Annotated[Path | None, typer.Option(help="Folder of the report (default: report).")] = None,
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column", metavar="ROLE=COLUMN", help="What a column is, as system=model; may be repeated."
        ),
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="KEY,…", help="Columns or keys whose values name a system.")
    ] = None,
    seed: Annotated[
        str | None, typer.Option(metavar="KEY", help="Column or key that names the replicate.")
    ] = None,
    reference: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of reference masks.")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(metavar="SCORE", help="Score to read; may be repeated (default: all).")
    ] = None,
    lower: Annotated[
        list[str] | None, typer.Option(metavar="SCORE", help="Score of which less is better; may be repeated.")
    ] = None,
    system: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Reference: the system from which every other is subtracted (default: the first)."
        ),
    ] = None,
    margin: MarginOpt = None,
) -> None:
    """Compare systems that any program has trained: the tables, tests and page of a study, from their numbers."""
    from mmtk.compare.request import parse_columns
    from mmtk.report.margins import parse_margins
    from mmtk.workflows.compare import compare as compare_sources

    mapping: dict[str, Any] = {
        "columns": parse_columns(column or ()),
        "by": [name.strip() for name in by.split(",")] if by else [],
        "seed": seed or "",
        "reference": str(reference) if reference else "",
        "metrics": metric or [],
        "lower": lower or [],
        "system": system or "",
    }
    margins = parse_margins(margin or ())
    comparison = compare_sources(
        sources, margins=margins or None, **{key: value for key, value in mapping.items() if value}
    )
    _show_mapping(comparison)
    show_report(comparison.report(out))


def _show_mapping(comparison: Comparison) -> None:
    """Print how the sources were read, before anything is computed from them."""
    for number, line in enumerate(comparison.mapping):
        typer.echo("\n".join(wrapped(line, f"{'Mapping' if not number else '':8}", f"{'':8}")))
    typer.echo()


def audit(
    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="A table as printed: CSV, Markdown, JSON, rows of LaTeX.")
    ],
    cases: Annotated[
        list[str] | None,
        typer.Option(metavar="N|SCORE=N", help="Cases of the test set, if no column says it; may be repeated."),
    ] = None,
    pairs: Annotated[bool, typer.Option("--all", help="Show every pair, not the best system's alone.")] = False,
) -> None:
    """Judge every "A is better than B" of a published table by the size of its test set."""
    from mmtk.compare.audit import parse_cases, sentence
    from mmtk.workflows.audit import audit as audit_claims

    result = audit_claims(table, parse_cases(cases or []))
    for line in _judged(result.claims, pairs):
        typer.echo(line)
    unjudged: dict[str, dict[str, None]] = {}
    for claim in result.claims:
        if claim.note:
            unjudged.setdefault(claim.note, {})[claim.where.partition(" (")[0]] = None
    texts = [f"Not judged: {listing(scores, 8)}: {note}." for note, scores in unjudged.items()]
    texts += [f"Note: {text}." for text in result.notes]
    texts += [f"Contradiction: {text}." for text in result.contradictions]
    for text in (*texts, sentence(result)):
        typer.echo(folded(text, sys.stdout))


def _judged(claims: Sequence[Claim], pairs: bool) -> Iterator[str]:
    """A table of the claims that can be judged: of the best system of each score, or of all ``pairs``."""
    rows = [("false if alike / independent", "smallest difference", "claim")]
    best: dict[str, str] = {}
    for claim in claims:
        if not pairs and best.setdefault(claim.where, claim.better) != claim.better:
            continue
        if claim.alike is not None and claim.independent is not None:
            chances = f"{claim.alike:.1%} / {claim.independent:.1%}"
            smallest = " / ".join(f"{value:.3f}" for value in claim.smallest)
            what = f"{claim.better} > {claim.worse} by {claim.difference:.3f}, {claim.where}"
            rows.append((chances, smallest, what))
    return table_lines(rows) if len(rows) > 1 else iter(())


COMMANDS: dict[str, Callable[..., None]] = {"compare": compare, "audit": audit}
