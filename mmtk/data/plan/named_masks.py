"""Masks that a name alone does not give to their films: in a column of a table, or beside a film of their name."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath

from mmtk.components.source._organ_words import first_organ
from mmtk.components.source._sides import mirrored
from mmtk.counts import counted
from mmtk.data.plan import words
from mmtk.data.plan.columns import film_of_cell, film_spellings
from mmtk.data.plan.label_maps import SAMPLES
from mmtk.data.plan.listing import Listing, parent, stem
from mmtk.data.plan.masks import Masks, keys_by_look
from mmtk.data.plan.organs import complete
from mmtk.data.plan.pairing import END, pair
from mmtk.data.plan.readers import are_readers, has_agreed
from mmtk.data.plan.roles import Roles
from mmtk.data.plan.tables import Table
from mmtk.errors import listing as listing_of

NOT_ORGANS = {"mask", "masks", "seg", "segmentation", "segmentations", "label", "path", "file", "filename"}


@dataclass(frozen=True)
class NamedMasks:
    """Masks by film, one for each of ``organs`` where these have a column each; ``notes`` on what names them.

    ``files`` are all that are named, also those of films that lack an organ.
    """

    pairs: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    organs: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    files: frozenset[str] = frozenset()

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the table of masks that is to be written; none where no table has to name them."""
        return (self.organs or ("mask",)) if self.pairs else ()


def take_named_masks(listing: Listing, roles: Roles) -> tuple[Roles, NamedMasks]:
    """Find masks that a table names, or that lie beside their films in another format; roles without them."""
    named = (
        _by_column(listing, roles) or _beside(listing, roles.films) or _of_several_endings(roles) or NamedMasks()
    )
    films, masks = (
        tuple(path for path in paths if path not in named.files) for paths in (roles.films, roles.masks)
    )
    return replace(roles, films=films, masks=masks), named


def masks_by_name(listing: Listing, films: Collection[str], named: NamedMasks) -> Masks:
    """Keys of the source for masks that a table of mmtk's is to name; ``films`` are those that are read."""
    pairs = {film: masks for film, masks in named.pairs.items() if film in films}
    organs = named.organs or (first_organ((*named.notes[:1], listing.root.name)),)
    keys, notes = keys_by_look(listing, pairs, organs)
    return Masks({"masks": "", **keys}, pairs, (*named.notes, *notes))


def _by_column(listing: Listing, roles: Roles) -> NamedMasks | None:
    """Masks in columns of their own whose names are not those of their films; None without one."""
    tables = {**listing.tables, **listing.sheets}
    candidates = {name: [*filter(_may_be_of_masks, table.columns)] for name, table in tables.items()}
    ways = film_spellings([*roles.films, *roles.masks]) if any(candidates.values()) else {}
    for name, table in tables.items() if ways else ():
        images = {column: _images(table, column, ways) for column in dict.fromkeys(table.columns)}
        columns = [one for one in candidates[name] if images[one] and _are_masks(listing, [*images[one].values()])]
        film_columns = [
            column
            for column, files in images.items()
            if files and column not in columns and not _is_of_masks(column)
        ]
        if not columns or not film_columns:
            continue
        masks = {column: _masks_of(table, film_columns[0], column, images) for column in columns}
        columns, notes = _of_one_reader(listing, masks)
        of_film: dict[str, dict[str, str]] = defaultdict(dict)
        for column in columns:
            for film, mask in masks[column].items():
                of_film[film][column] = mask
        files = frozenset(mask for files in masks.values() for mask in files.values())
        called_so = pair([*of_film], [*files]).of
        if any({*called_so.get(film, ())} != {*row.values()} for film, row in of_film.items()):
            return _named(name, of_film, columns, notes, files)
    return None


def _masks_of(
    table: Table, film_column: str, column: str, images: Mapping[str, Mapping[str, str]]
) -> dict[str, str]:
    """Masks by film of a column."""
    cells = zip(table.cells(film_column), table.cells(column), strict=True)
    films, masks = images[film_column], images[column]
    return {films[one]: masks[other] for one, other in cells if one in films and other in masks}


def _of_one_reader(listing: Listing, masks: Mapping[str, Mapping[str, str]]) -> tuple[list[str], list[str]]:
    """Columns of organs; of the columns of several readers what they agreed on, or the first, with a note."""
    if len(masks) < 2 or not are_readers(listing.root, masks):
        return [*masks], []
    best = next(filter(has_agreed, masks), next(iter(masks)))
    others = listing_of(f'"{column}"' for column in masks if column != best)
    return [best], [f'{others}: masks of the same as "{best}", left out']


def _named(
    name: str,
    of_film: Mapping[str, Mapping[str, str]],
    columns: Sequence[str],
    notes: Sequence[str],
    files: frozenset[str],
) -> NamedMasks:
    """Masks of the columns of the table ``name``, of the films that have all organs."""
    shared_organs = complete(of_film, columns)
    count = counted(sum(map(len, shared_organs.pairs.values())), "mask")
    columns_text = listing_of(f'"{column}"' for column in shared_organs.names)
    note = f"{columns_text} of {name} {'name' if len(shared_organs.names) > 1 else 'names'} {count}"
    organs = _organ_names(shared_organs.names) if len(shared_organs.names) > 1 else ()
    return NamedMasks(shared_organs.pairs, organs, (note, *notes, *shared_organs.notes), files)


def _organ_names(columns: Sequence[str]) -> tuple[str, ...]:
    """Columns without words for masks: ``left_lung_mask`` is the left lung."""
    names = [
        " ".join(word for word in words.plain(column).split() if word not in NOT_ORGANS) for column in columns
    ]
    return tuple(names) if all(names) and len({*names}) == len(names) else tuple(columns)


def _may_be_of_masks(column: str) -> bool:
    """Whether a column is called after masks, an organ or a side."""
    return _is_of_masks(column) or bool(words.organ(column)) or mirrored(column) != column


def _is_of_masks(column: str) -> bool:
    """Whether a column is called after masks, and not after labels."""
    return words.role(column) == "masks" and words.plain(column) not in words.LABEL_COLUMNS


def _images(table: Table, column: str, ways: Mapping[str, str]) -> dict[str, str]:
    """Images by the cells of a column; none where most cells name no image, or two cells the same one."""
    cells = {cell for cell in table.cells(column) if cell}
    images = {cell: image for cell in cells if (image := film_of_cell(cell, ways))}
    return images if 2 * len(images) > len(cells) and len({*images.values()}) == len(images) > 1 else {}


def _beside(listing: Listing, films: Sequence[str]) -> NamedMasks | None:
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
    pairs = {paths[film]: (paths[mask],) for paths in twins}
    note = f"{counted(len(pairs), 'film lies', 'films lie')} here as {film}, their masks as {mask}"
    return NamedMasks(pairs, (), (note,), frozenset(mask for (mask,) in pairs.values()))


def _of_several_endings(roles: Roles) -> NamedMasks | None:
    """Masks of one folder with different words for masks in their names, as of two hospitals; None of others."""
    films: dict[str, list[str]] = defaultdict(list)
    for path in roles.films:
        films[stem(path)].append(path)
    pairs: dict[str, tuple[str, ...]] = {}
    endings: set[str] = set()
    for path in roles.masks:
        name = stem(path)
        ending = next((end for end in _mask_endings(name) if len(films[name.removesuffix(end)]) == 1), None)
        if ending is not None:
            pairs[films[name.removesuffix(ending)][0]] = (path,)
            endings.add(ending)
    files = frozenset(path for (path,) in pairs.values())
    if len(endings) < 2 or len({*map(parent, roles.masks)}) > 1 or len(files) < len(roles.masks):
        return None
    kinds = listing_of(f'"{ending}"' if ending else "none" for ending in sorted(endings))
    return NamedMasks(
        pairs,
        (),
        (f"{counted(len(pairs), 'mask')} in {parent(min(files)) or '.'} with the endings {kinds}",),
        files,
    )


def _mask_endings(name: str) -> list[str]:
    """None, and the last word of a name if it is one for masks."""
    match = END.search(name)
    return ["", match[0]] if match and words.plain(match[0]) in words.MASKS else [""]


def _are_masks(listing: Listing, paths: Sequence[str]) -> bool:
    """Whether images look like masks, by some of them."""
    looks = [listing.look(path) for path in paths[:: max(1, len(paths) // SAMPLES)]]
    return bool(looks) and all(look is not None and look.mask for look in looks)
