"""A study: its plan, its runs and its report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmtk.data import locations
from mmtk.errors import MmtkError
from mmtk.io.outputs import refuse_inside
from mmtk.model.device_choice import choose_device, choose_precision
from mmtk.recipe import trials
from mmtk.report.margins import check_margins
from mmtk.runs.display import Display
from mmtk.study import launcher_settings
from mmtk.study.budgets import parse_budgets
from mmtk.study.folder import StudyDir
from mmtk.study.plan import Plan, plan_components, plan_suite
from mmtk.study.results import Study
from mmtk.study.stopping import MAX_SEEDS, Stopping
from mmtk.study.tuning import FIRST_SEED, RANDOM, Tuning, begin, idle_keys
from mmtk.workflows.study_session import StudySession

DEFAULT = "multimix"
USUAL = "Usual: --folds 5 --repeats 2."


LATER = ("recipe", "margins")  # what does not say which systems are compared


@dataclass(frozen=True)
class StudyRequest:
    """Request of a study; None or empty: the default, or the value of the study that goes on.

    recipe: a recipe's name or file, or the directory of a study that goes on
    components: axes, such as ``saliency,ssl`` or ``ssl=none+mixmatch,ssl.weight=0.1+1``
    suite: a list of systems in place of ``components``: ``paper``, or a TOML file
    design: factorial (default), leave-one-out, add-one-in or one-at-a-time
    seeds: runs of every cell
    folds: folds of the patients, each tested once in a repeat, in place of seeds
    repeats: of the folds, each with a division of its own
    labels: label budgets, such as ``classification=8,25``
    overrides: keys that are changed in every cell
    until: ``settled``: seeds are added until every verdict is
    max_seeds: seeds of a cell at most, of a study that adds them
    tune: trials of every cell, of a study that tunes its cells first
    search: ``use`` and keys of what proposes the settings of trials (default: random)
    tune_seeds: runs of every trial (default 1)
    """

    recipe: str | None = None
    components: str | None = None
    suite: str | None = None
    design: str | None = None
    seeds: int | None = None
    labels: tuple[str, ...] = ()
    overrides: Mapping[str, Any] | Iterable[str] = ()
    profile: str | None = None
    out: Path | None = None
    until: str | None = None
    max_seeds: int | None = None
    margins: Mapping[str, float] = field(default_factory=dict)
    folds: int | None = None
    repeats: int | None = None
    tune: int | None = None
    search: Mapping[str, Any] = field(default_factory=dict)
    tune_seeds: int | None = None

    @property
    def continued(self) -> bool:
        """Whether this is a study that lies there already."""
        return self.recipe is not None and (Path(self.recipe) / "study.json").is_file()

    def options(self) -> list[str]:
        """The options that say what is compared, as they are typed."""
        names = {"overrides": "set", "max_seeds": "max-seeds", "tune_seeds": "tune-seeds"}
        present = {key: value for key, value in vars(self).items() if value or value == 0}
        return [f"--{names.get(key, key)}" for key in present if key not in LATER]


def ablate(
    recipe: str | Path | None = None,
    components: str | None = None,
    *,
    suite: str | Path | None = None,
    design: str | None = None,
    seeds: int | None = None,
    folds: int | None = None,
    repeats: int | None = None,
    until: str | None = None,
    max_seeds: int | None = None,
    tune: int | None = None,
    search: str | Mapping[str, Any] | None = None,
    tune_seeds: int | None = None,
    labels: Mapping[str, Iterable[int | str]] | None = None,
    profile: str | None = None,
    overrides: Mapping[str, Any] | Iterable[str] = (),
    data: str | Path | None = None,
    launcher: str | Mapping[str, Any] | None = None,
    device: str = "auto",
    out: str | Path | None = None,
    quiet: bool = True,
) -> Study:
    """Run every combination of components with several seeds, and report their effects; return the study.

    recipe: the recipe that components are taken from (default: multimix), or a study directory to continue
    components: axes, such as ``"saliency,ssl"`` or ``"ssl=none+mixmatch,ssl.weight=0.1+1"``
    suite: a list of systems in their place: ``"paper"``, or a TOML file
    design: factorial (default), leave-one-out, add-one-in or one-at-a-time
    seeds: runs of every cell (default 1, or the suite's)
    folds: in place of seeds: folds of the patients, each tested once in a repeat
    repeats: of the folds, each with a division of its own (default 1)
    until: ``"settled"``: add seeds until every verdict is settled, in place of ``seeds``
    max_seeds: seeds of a cell at most, with ``until`` (default 20)
    tune: trials of every cell, over what its recipe names under ``[tune]``; then its runs with the best settings
    search: what proposes the settings of trials: a name, or a table with ``use`` and keys (default ``"random"``)
    tune_seeds: runs of every trial (default 1)
    labels: label budgets of a task, such as ``{"classification": [8, 25]}``
    profile: data and training budget in place of the recipe's own
    overrides: recipe keys that are changed in every cell
    data: the folder of the data sets
    device: auto, cpu or cuda
    launcher: where runs go: a name, or a table with ``use`` and keys, as ``{"use": "process", "jobs": 2}``
    out: the study directory (default ``studies/NAME-DIGEST``)
    quiet: print nothing; else a line for every run that ends

    What is finished there is not run again. Raises MmtkError before anything runs; RunFailed, after the report of
    the others, where runs failed.
    """
    request = StudyRequest(
        str(recipe) if recipe is not None else None,
        components,
        str(suite) if suite is not None else None,
        design,
        seeds,
        tuple(f"{task}={','.join(map(str, budgets))}" for task, budgets in (labels or {}).items()),
        overrides,
        profile,
        Path(out) if out is not None else None,
        until,
        max_seeds,
        folds=folds,
        repeats=repeats,
        tune=tune,
        search={"use": search} if isinstance(search, str) else search or {},
        tune_seeds=tune_seeds,
    )
    table = {"use": launcher} if isinstance(launcher, str) else dict(launcher or {})
    session = prepare(request, table, Path(data) if data is not None else None, device)
    session.warm()
    session.check()
    with session.locked():
        failed, mirror = session.run(None, Display(quiet))
    page = session.report(mirror)
    session.refuse(failed)
    return page.analysis.study if page else session.study.collect()


def prepare(request: StudyRequest, launcher: Mapping[str, Any], data: Path | None, device: str) -> StudySession:
    """Plan a study, or read the one that goes on; nothing is written.

    request: what the study compares
    launcher: its name under ``use`` and its keys; what is missing is as the study had it before, or the default
    data: the folder of the data sets
    device: auto, cpu or cuda
    """
    if request.continued:
        study, plan, data = _planned_before(request, data)
    else:
        plan = _plan(request, device)
        study = StudyDir(request.out or Path("studies") / f"{_slug(plan.title)}-{plan.digest}")
        for cell in plan.cells:
            refuse_inside(study.path, locations.data_paths(cell.recipe, locations.data_root(data)))
    if request.margins:
        tested = set().union(*(trials.tested_scores(cell.recipe) for cell in plan.cells))
        check_margins(request.margins, plan.stopping, tested)
    keys = {key: value for key, value in launcher.items() if key != "use"}
    table = launcher_settings.choose(study.launcher, launcher.get("use"), keys)
    return StudySession(study, plan, table, launcher_settings.make(table), data, device)


def _planned_before(request: StudyRequest, data: Path | None) -> tuple[StudyDir, Plan, Path | None]:
    """A study that goes on, with its plan and data folder; options that would make another plan are refused."""
    path = str(request.recipe)
    if wrong := request.options():
        cure = f"Leave out {', '.join(wrong)}, or start another study."
        raise MmtkError("this study has its plan already.", path, cure)
    study = StudyDir(Path(path))
    before = study.about["data"]
    return study, study.plan(), data or (Path(before) if before else None)


def _slug(title: str) -> str:
    return "-".join(filter(None, "".join(c if c.isalnum() else "-" for c in title.lower()).split("-")))


def _plan(request: StudyRequest, device: str) -> Plan:
    """The plan of a new study, at the precision that ``device`` has."""
    components, suite = request.components, request.suite
    rule = _stopping(request)
    seeds = rule.max_seeds if rule else _replicates(request)
    if (components is None) == (suite is None):
        raise MmtkError(
            "say what to compare: either --components or --suite.",
            hint="For example: mmtk ablate --components saliency,ssl",
        )
    if suite is not None and request.recipe is not None:
        raise MmtkError("a suite names its own recipes.", request.recipe, "Leave the recipe out.")
    if suite is not None and request.design is not None:
        raise MmtkError("a design is for --components: a suite lists its systems.", hint="Leave --design out.")
    common: dict[str, Any] = {
        "profile": request.profile,
        "overrides": _overrides(request),
        "budgets": parse_budgets(list(request.labels)),
    }
    if suite is not None:
        plan = plan_suite(suite, seeds=range(seeds) if seeds else None, **common)
    else:
        recipe, design = request.recipe or DEFAULT, request.design or "factorial"
        plan = plan_components(recipe, components or "", design, seeds=range(seeds or 1), **common)
    device_name = choose_device(device)
    plan = replace(plan, stopping=rule)
    if rule is not None and plan.folds:
        raise _no_rounds()
    plan = plan.with_precision(lambda precision: choose_precision(precision, device_name))
    tuning = _tuning(request, plan)
    remarks = [*plan.remarks, *(idle_keys(plan.cells, tuning) if tuning else ())]
    return replace(plan, tuning=tuning, remarks=remarks)


def _tuning(request: StudyRequest, plan: Plan) -> Tuning | None:
    """The tuning that is asked for, of the cells of a plan; None without."""
    if request.tune is None:
        for option, value in {"--search": request.search, "--tune-seeds": request.tune_seeds}.items():
            if value:
                raise MmtkError(f"{option} is for studies that tune their systems.", hint="Add --tune N.")
        return None
    if plan.folds:
        raise MmtkError(
            "--tune and --folds do not go together: every image is tested in some fold, so trials would be chosen "
            "by test images.",
            hint="Tune with --seeds; start a second study with --folds and the settings that were chosen.",
        )
    search = {**RANDOM, **request.search}
    first = max(FIRST_SEED, *(seed + 1 for seed in plan.seeds))
    seeds = range(first, first + (request.tune_seeds or 1))
    return begin(plan.cells, request.tune, search, seeds, plan.axes)


def _replicates(request: StudyRequest) -> int | None:
    """Runs of every cell: the seeds that are asked for, or the folds of all repeats."""
    if request.folds is None:
        if request.repeats is not None:
            raise MmtkError("--repeats is for folds.", hint="Add --folds 5, or use --seeds.")
        return request.seeds
    if request.folds < 2:
        raise MmtkError(f"--folds {request.folds}: patients are divided into two folds or more.", hint=USUAL)
    if request.repeats is not None and request.repeats < 1:
        raise MmtkError(f"--repeats {request.repeats}: folds are repeated once or more.", hint=USUAL)
    if request.seeds is not None:
        raise MmtkError(
            "--folds takes the place of --seeds: every fold is a run of its own.",
            hint="Use --repeats for more runs, each with another division of the patients.",
        )
    return request.folds * (request.repeats or 1)


def _overrides(request: StudyRequest) -> Mapping[str, Any] | Iterable[str]:
    """The keys that are changed in every cell, the folds among them."""
    if request.folds is None:
        return request.overrides
    if isinstance(request.overrides, Mapping):
        return {**request.overrides, "data.folds": request.folds}
    return [*request.overrides, f"data.folds={request.folds}"]


def _no_rounds() -> MmtkError:
    return MmtkError(
        "--until settled adds seeds on one test set; the levels of its looks do not hold for folds.",
        hint="Leave --until out, and ask for --repeats; or leave the folds out.",
    )


def _stopping(request: StudyRequest) -> Stopping | None:
    """The stopping rule that is asked for; None where the number of seeds is fixed."""
    if request.until is None:
        if request.max_seeds is not None:
            raise MmtkError(
                "--max-seeds is for studies that add seeds.", hint="Add --until settled, or use --seeds."
            )
        return None
    if request.until != "settled":
        raise MmtkError(f"--until {request.until}: no such rule.", hint="Write --until settled.")
    if request.folds is not None or request.repeats is not None:
        raise _no_rounds()
    if request.seeds is not None:
        raise MmtkError(
            "--until settled adds seeds as they are needed.", hint="Use --max-seeds in place of --seeds."
        )
    return Stopping(request.max_seeds or MAX_SEEDS, request.margins)
