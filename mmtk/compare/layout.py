"""Layout of a table: which column is the system, the seed, the case, and where the values stand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

import numpy as np

from mmtk.compare.columns import SPREAD_CURE
from mmtk.compare.score_names import is_score_name, is_spread, plain
from mmtk.errors import MmtkError, listing, nearest

if TYPE_CHECKING:
    from mmtk.compare.columns import Sheet

# As ``plain`` spells them; those of other languages behind the English ones.
ROLES = {
    "system": "system systems model models method methods algorithm alg algname algorithmname modelname "
    "methodname approach network architecture framework backbone team technique config configuration variant arm "
    "setting experiment "
    "modell modelle methode verfahren netz netzwerk modele systeme reseau modelo metodo modello",
    "seed": "seed seeds replicate replica randomseed randomstate rep repeat trial run runid fold foldid "
    "durchlauf lauf wiederholung startwert graine repetition semilla repeticion seme",
    "case": "case caseid casename cases testcase testcasename id image imageid img imgid imagename filename file "
    "filepath path name sample sampleid scan scanid study studyid slice volume index "
    "imagepath imgname imgpath "
    "bild bildid bildname aufnahme datei dateiname cliche fichier nomdefichier imagen archivo immagine fall",
    "patient": "patient patientid patientname pid subject subjectid subjectname "
    "patientennummer patientenid patientennr patientnr patid paciente paziente",
    "task": "task tasks aufgabe tache tarea",
    "domain": "domain testset dataset cohort site split testdaten datensatz klinik krankenhaus hopital hospital",
    "target": "target targets label labels ytrue truth groundtruth gt reference actual trueclass truelabel "
    "wahrheit befund diagnose verite diagnostic diagnostico",
    "predicted": "predicted prediction predictions pred preds ypred predictedclass predictedlabel output "
    "vorhersage vorhergesagt prediccion predizione",
    "metric": "metric metrics measure scorename score metrik kennzahl mass metrique metrica",
    "value": "value values result metricvalue wert ergebnis valeur resultat valor resultado valore",
}
PROBABILITY = re.compile(r"(?:p|prob|probability|proba|score|logit)s?[-_ .:]+(.+)", re.IGNORECASE)
SINGLE = frozenset(
    ["prob", "probability", "proba", "p", "score", "yscore", "yprob", "logit", "confidence", "probs"]
)
REPLICATE = re.compile(
    r"(?P<system>.+?)[\s_\-./:(\[]+(?:seed|fold|run|rep|replicate|trial|s|r|f)?[\s_\-=#]*(?P<seed>\d+)[)\]]?$",
    re.IGNORECASE,
)
LOGGED = re.compile(
    r"(?:params?|config|hparams|tags)[./]", re.IGNORECASE
)  # before the names in exports of trackers
NUMBERING = ("", "unnamed0")  # a column without a name, in which pandas numbers the rows
STATES = frozenset(["finished", "failed", "crashed", "killed", "running", "scheduled", "pending", "preempted"])
GROUPS = ("group", "jobtype")  # columns by which Weights & Biases groups runs
OF_RUNS = frozenset(["name", "id", "index"])  # columns that name cases, or runs in exports of trackers
Shape = Literal["rows", "scores", "predictions", "wide"]


@dataclass(frozen=True)
class Layout:
    """Meaning of the columns of a table.

    shape: ``rows`` (a metric and a value in every row), ``scores`` (a column for every score), ``predictions``
        (targets beside predicted classes or probabilities) or ``wide`` (a column for every system)
    columns: column by role
    values: columns of scores, of probabilities, or of systems
    attributes: columns that describe cases
    """

    shape: Shape
    columns: Mapping[str, str]
    values: Sequence[str]
    attributes: Sequence[str] = ()
    notes: Sequence[str] = field(default=())

    @property
    def lines(self) -> list[str]:
        """The layout in words, one line for each role."""
        roles = [f"{role} = {column}" for role, column in self.columns.items()]
        names = {"scores": "scores", "predictions": "probabilities", "wide": "a system each"}.get(self.shape, "")
        values = [f"{names}: {listing(self.values, 12)}"] if names and self.values else []
        others = [f"describe the cases: {listing(self.attributes, 12)}"] if self.attributes else []
        return [*roles, *values, *others]


def guess_layout(sheet: Sheet, roles: Mapping[str, str], alone: bool = True) -> Layout:
    """The layout of a table, from the names of its columns.

    sheet: the table
    roles: columns that the user names, by role
    alone: whether there are no other tables, whose names could be those of systems
    """
    columns = roles_of(sheet, roles)
    rest = [name for name in sheet.columns if name not in columns.values() and plain(name) not in NUMBERING]
    numeric = [name for name in rest if sheet.is_numeric(name)]
    attributes = [name for name in rest if name not in numeric]
    scored = [name for name in numeric if is_score_name(name) and not is_spread(name)]
    for name in attributes:
        if is_score_name(name) and sheet.is_mostly_numeric(name):
            sheet.numbers(name)  # which names the cell that is none
    if "metric" in columns and "value" in columns:
        return Layout("rows", columns, (), [])
    if "target" in columns:
        return _predictions(sheet, columns, rest, numeric)
    if "system" not in columns and len(numeric) > 1 and (not scored or (alone and _are_systems(sheet, numeric))):
        return Layout("wide", columns, numeric)
    if "value" in columns:
        values = [columns["value"]]
        return Layout("scores", {k: v for k, v in columns.items() if k != "value"}, values, attributes)
    values = scored or numeric
    if not values:
        cure = "A score is a column of numbers; say which one it is: --column value=COLUMN."
        if sheet.has_spreads():
            cure = SPREAD_CURE
        raise MmtkError(f"no column holds numbers. Columns: {listing(sheet.columns)}.", sheet.where, cure)
    described = [name for name in numeric if name not in values]
    return Layout("scores", columns, values, [*attributes, *described])


def roles_of(sheet: Sheet, roles: Mapping[str, str]) -> dict[str, str]:
    """Column by role: as the user says, else by name; the first name of a role's list wins."""
    for role, column in roles.items():
        if role not in ROLES:
            raise MmtkError(f"--column {role}={column}: no such role.{nearest(role, ROLES)}", hint=_known())
        if column not in sheet.columns:
            near = nearest(column, sheet.columns)
            raise MmtkError(
                f"--column {role}={column}: no such column.{near}",
                sheet.where,
                f"It has {listing(sheet.columns)}.",
            )
    columns = dict(roles)
    by_name: dict[str, str] = {}
    for column in sheet.columns:
        by_name.setdefault(plain(column), column)
    for column in sheet.columns:
        by_name.setdefault(plain(LOGGED.sub("", column, count=1)), column)
    for role, aliases in ROLES.items():
        names = [by_name[alias] for alias in aliases.split() if alias in by_name]
        free = [name for name in names if name not in columns.values()]
        if role not in columns and free:
            columns[role] = free[0]
    if "system" not in columns and (group := _group_of_runs(sheet, by_name)):
        columns["system"] = group
    return _without_doubts(sheet, columns, roles)


def states(sheet: Sheet) -> list[str]:
    """State of every run, in lower case, in the export of a tracker; empty for another table."""
    column = next((name for name in sheet.columns if plain(name) in ("state", "status")), None)
    texts = [] if column is None else [text.casefold() for text in sheet.texts(column)]
    return texts if {*texts} <= STATES else []


def _group_of_runs(sheet: Sheet, by_name: Mapping[str, str]) -> str:
    """The column of a tracker's export that says which runs are of one system; "" without one."""
    names = [by_name[name] for name in GROUPS if name in by_name] if states(sheet) else []
    return next((name for name in names if sheet.frame[name].nunique() > 1 and sheet.repeats(name)), "")


def _without_doubts(sheet: Sheet, columns: dict[str, str], roles: Mapping[str, str]) -> dict[str, str]:
    """The roles without those that make no sense together."""
    for role in ("metric", "value", "predicted"):
        if role in roles or role not in columns:
            continue
        other = {"metric": "value", "value": "metric", "predicted": "target"}[role]
        texts = role == "metric" and sheet.is_numeric(columns[role])
        if texts or (other not in columns and role != "value"):
            del columns[role]
    if "target" in columns and "target" not in roles and "metric" in columns and "value" in columns:
        del columns["target"]
    if "target" not in roles and "target" in columns and _has_scores_alone(sheet, columns):
        del columns["target"]  # a structure, such as label = lung beside its Dice
    if "case" not in columns:
        index = next((name for name in sheet.columns if plain(name) in NUMBERING), None)
        if index is not None and ("system" not in columns or sheet.repeats(index)):
            columns["case"] = index
    if "case" in columns and "case" not in roles and _names_runs(sheet, columns):
        del columns["case"]
    if "case" not in columns and "patient" in columns:
        columns["case"] = columns["patient"]  # one case of a patient
    return {role: columns[role] for role in ROLES if role in columns}


def _names_runs(sheet: Sheet, columns: Mapping[str, str]) -> bool:
    """Whether the column of cases names runs: another in every row, so that no case is in two systems."""
    case, system = columns["case"], columns.get("system", "")
    rows = sheet.frame.drop_duplicates()
    if not system or rows[case].nunique() < len(rows) or rows[system].nunique() < 2:
        return False
    run = [column for role, column in columns.items() if role in ("system", "seed", "domain", "task", "metric")]
    return plain(case) in OF_RUNS or ("seed" in columns and not rows.duplicated(run).any())


def _has_scores_alone(sheet: Sheet, columns: Mapping[str, str]) -> bool:
    """Whether a table has columns of scores, and no predictions."""
    free = [name for name in sheet.columns if name not in columns.values() and sheet.is_numeric(name)]
    is_predicted = "predicted" in columns or any(
        PROBABILITY.fullmatch(name) or plain(name) in SINGLE for name in free
    )
    return not is_predicted and any(is_score_name(name) for name in free)


def _predictions(sheet: Sheet, columns: dict[str, str], rest: Sequence[str], numeric: Sequence[str]) -> Layout:
    """Targets beside predictions: of one system in a row, or of a system in each column."""
    named = [name for name in numeric if PROBABILITY.fullmatch(name)]
    single = [name for name in numeric if plain(name) in SINGLE]
    if "predicted" in columns or named or single:
        values = named or single[:1]
        return Layout("predictions", columns, values, [name for name in rest if name not in values])
    if "system" in columns:
        raise MmtkError(
            f"it has targets ('{columns['target']}') and no predictions beside them.",
            sheet.where,
            "Name the column of predicted classes, --column predicted=COLUMN, or call probabilities p-CLASS.",
        )
    if not rest:
        raise MmtkError(
            f"it has targets ('{columns['target']}') and no predictions beside them.",
            sheet.where,
            "Put each system's predictions into a column beside the targets.",
        )
    return Layout("wide", columns, rest)


def _are_systems(sheet: Sheet, numeric: Sequence[str]) -> bool:
    """Whether columns are systems of which some are called by a score, such as ``dice_net`` beside ``unet``.

    Fewer than half are, none is called by nothing else, and all hold fractions of one order of magnitude.
    """
    scored = [name for name in numeric if is_score_name(name)]
    if 2 * len(scored) >= len(numeric) or any(is_score_name(name, whole=True) for name in scored):
        return False
    columns = [np.abs(values[np.isfinite(values)]) for values in map(sheet.numbers, numeric)]
    scales = [float(np.median(values)) for values in columns]
    return max(scales) < 10 * min(scales) and all((values % 1 > 0).any() for values in columns)


def _known() -> str:
    return f"Roles: {listing(ROLES)}."


def split_system(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """System and seed by column; a number at the end is a seed where several columns differ in it alone."""
    matches = {name: REPLICATE.fullmatch(name) for name in names}
    stems: dict[str, list[str]] = {}
    for name, match in matches.items():
        if match:
            stems.setdefault(match["system"].strip(), []).append(name)
    together = {name for members in stems.values() if len(members) > 1 for name in members}
    # Systems called alg_01, alg_02, … differ in a number alone, and are no seeds of one system.
    if len(stems) < 2 and together == {*names}:
        together = {name for name in together if re.search(r"seed|fold|run|rep|trial", name, re.IGNORECASE)}
    result = {}
    for name, match in matches.items():
        result[name] = (match["system"].strip(), match["seed"]) if match and name in together else (name, "0")
    return result
