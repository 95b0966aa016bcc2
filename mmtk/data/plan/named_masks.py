"""Masks that a name alone does not give to their films: in a column of a table, or beside a film of their name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath

from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings
from mmtk.data.plan.label_maps import SAMPLES
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.masks import Masks, keys_by_look
from mmtk.data.plan.pairing import pair
from mmtk.data.plan.roles import Roles
from mmtk.data.plan.tables import Table

Named = tuple[dict[str, str], str]  # masks by film, and a note on what names them


def take_named_masks(listing: Listing, roles: Roles) -> tuple[Roles, Named]:
    """Find masks that a table names, or that lie beside their films in another format; roles without them."""
    masks, note = _by_column(listing, roles) or _beside(listing, roles.films) or ({}, "")
    films, others = (
        tuple(path for path in paths if path not in {*masks.values()}) for paths in (roles.films, roles.masks)
    )
    return replace(roles, films=films, masks=others) if masks else roles, (masks, note)


def masks_by_name(listing: Listing, films: Collection[str], named: Named) -> Masks:
    """Keys of the source for masks that a table of mmtk's is to name; ``films`` are those that are read."""
    masks, note = named
    pairs = {film: (mask,) for film, mask in masks.items() if film in films}
    keys, notes = keys_by_look(listing, pairs, words.organ(note) or "lung")
    return Masks({"masks": "", **keys}, pairs, (note, *notes))


def _by_column(listing: Listing, roles: Roles) -> Named | None:
    """Masks in a column of their own whose names are not those of their films; None without one."""
    tables = {**listing.tables, **listing.sheets}
    of_masks = {name: [*filter(_is_of_masks, table.columns)] for name, table in tables.items()}
    ways = film_spellings([*roles.films, *roles.masks]) if any(of_masks.values()) else {}
    for name, table in tables.items() if ways else ():
        columns = {column: _images(table, column, ways) for column in dict.fromkeys(table.columns)}
        mask_columns = [column for column in of_masks[name] if columns[column]]
        film_columns = [column for column, images in columns.items() if images and column not in of_masks[name]]
        if len(mask_columns) != 1 or not film_columns:
            continue
        cells, mask_cells = table.cells(film_columns[0]), table.cells(mask_columns[0])
        film_of, mask_of = columns[film_columns[0]], columns[mask_columns[0]]
        masks = {
            film_of[a]: mask_of[b] for a, b in zip(cells, mask_cells, strict=True) if a in film_of and b in mask_of
        }
        called_so = pair([*masks], [*masks.values()]).of
        if _are_masks(listing, [*masks.values()]) and any(called_so.get(film) != [masks[film]] for film in masks):
            return masks, f'"{mask_columns[0]}" of {name} names {counted(len(masks), "mask")}'
    return None


def _is_of_masks(column: str) -> bool:
    """Whether a column is called after masks, and not after labels."""
    return words.role(column) == "masks" and words.plain(column) not in words.LABEL_COLUMNS


def _images(table: Table, column: str, ways: Mapping[str, str]) -> dict[str, str]:
    """Images by the cells of a column; none where most cells name no image, or two cells the same one."""
    cells = {cell for cell in table.cells(column) if cell}
    images = {cell: image for cell in cells if (image := film_of_cell(cell, ways))}
    return images if 2 * len(images) > len(cells) and len({*images.values()}) == len(images) > 1 else {}


def _beside(listing: Listing, films: Sequence[str]) -> Named | None:
    """Masks in the folder of their films, of the same name in another format; None where most films have none."""
    formats: dict[str, dict[str, str]] = defaultdict(dict)
    for path in films:
        formats[f"{parent(path)}/{stem(path)}"][PurePosixPath(path).suffix.lower()] = path
    twins = [paths for paths in formats.values() if len(paths) == 2]
    if not twins or 2 * len(twins) < len(formats) or len({*map(frozenset, twins)}) > 1:
        return None
    kinds = {suffix: _are_masks(listing, [paths[suffix] for paths in twins]) for suffix in twins[0]}
    if sorted(kinds.values()) != [False, True]:
        return None
    film, mask = sorted(kinds, key=lambda suffix: kinds[suffix])
    masks = {paths[film]: paths[mask] for paths in twins}
    return masks, f"{counted(len(masks), 'film lies', 'films lie')} here as {film}, their masks as {mask}"


def _are_masks(listing: Listing, paths: Sequence[str]) -> bool:
    """Whether images look like masks, by some of them."""
    looks = [listing.look(path) for path in paths[:: max(1, len(paths) // SAMPLES)]]
    return bool(looks) and all(look is not None and look.mask for look in looks)
