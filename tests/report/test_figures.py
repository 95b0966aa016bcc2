from __future__ import annotations

import filecmp
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from matplotlib.colors import to_rgb
from pictures import draw_as_users_get
from PIL import Image
from scipy import ndimage

from mmtk import builtin_scores
from mmtk.counts import share
from mmtk.report.figures import (
    classes,
    curves,
    distributions,
    examples,
    fonts,
    roc_curves,
    saliency,
    study_classes,
    style,
)
from mmtk.report.figures import run as run_figures
from mmtk.runs.finished import Run
from mmtk.runs.folder import RunDir
from mmtk.study.results import Cell, Study

SIDE = 48
NAMES = ["normal", "pneumonia"]

DECLARED = {
    task: builtin_scores.of_task(task, ("normal", "pneumonia"), True)
    for task in ("classification", "segmentation")
}


def disc(radius: float, centre: tuple[float, float] = (SIDE / 2, SIDE / 2)) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE]
    return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 < radius**2


def xrays(n: int) -> np.ndarray:
    noise = np.random.default_rng(3).random((n, SIDE, SIDE))
    return (255 * ndimage.gaussian_filter(noise, (0, 2, 2)) ** 2).astype(np.uint8)


def masks(n: int) -> np.ndarray:
    return np.array([disc(10 + i % 4) for i in range(n)]).reshape(n, 1, SIDE, SIDE)


def rows(epochs: int = 6, steps: int = 30) -> list[dict[str, float]]:
    found = []
    for epoch in range(1, epochs + 1):
        for step in range((epoch - 1) * steps, epoch * steps):
            found.append(
                {
                    "step": step,
                    "epoch": epoch,
                    "train/loss": 6 / (1 + step),
                    "train/lr": 1e-3,
                    "train/classification/cross-entropy": 1 / (1 + step),
                    "train/segmentation/kl": 0.0,
                }
            )
        score = 0.9 - 0.02 * (epoch - 3) ** 2
        found.append(
            {
                "step": epoch * steps - 1,
                "epoch": epoch,
                "val/score": score,
                "val/segmentation/dice": score + 0.03,
                "val/classification/macro-f1": score - 0.03,
            }
        )
    return found


def ranking(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Targets [N] and probabilities [N,2]."""
    rng = np.random.default_rng(seed)
    positive = np.arange(60) % 3 == 0
    score = np.clip(rng.normal(0.35 + 0.2 * positive, 0.2), 0, 1)
    return positive.astype(int), np.column_stack([1 - score, score])


class System:
    """A study of one system with one run, made of the files that its pictures are drawn from."""

    def __init__(self, folder: Path, names: list[str] = NAMES) -> None:
        self.folder, self.names = folder, names
        self.arrays: dict[str, np.ndarray] = {}
        self.tables: list[pa.Table] = []
        self.scores: dict[str, object] = {}
        folder.mkdir(parents=True, exist_ok=True)

    def images(self, task: str, domain: str = "in-domain", **arrays: object) -> None:
        """Example images of a test set: ids, image and what else is given."""
        self.arrays |= {f"{domain}/{task}/{name}": np.asarray(values) for name, values in arrays.items()}

    def cases(self, task: str, ids: list[str], domain: str = "in-domain", **columns: object) -> None:
        """Values per image of a test set."""
        facts = {"domain": [domain] * len(ids), "task": [task] * len(ids), "id": ids}
        self.tables.append(pa.table(facts | {name: list(values) for name, values in columns.items()}))

    def classes(self, target: np.ndarray, probabilities: np.ndarray, domain: str = "in-domain") -> None:
        """Targets [N] and probabilities [N,C] of a test set."""
        columns = {f"p-{name}": probabilities[:, k] for k, name in enumerate(self.names)}
        ids = [f"{domain}-{k:03}" for k in range(len(target))]
        self.cases("classification", ids, domain, target=target, predicted=probabilities.argmax(1), **columns)

    def study(self) -> Study:
        """The study, its files written."""
        if self.arrays:
            np.savez(self.folder / "samples.npz", **self.arrays)
        if self.tables:
            pq.write_table(
                pa.concat_tables(self.tables, promote_options="permissive"), self.folder / "cases.parquet"
            )
        targets = {"classification": {"names": self.names}, "segmentation": {"names": ["lung"]}}
        run = Run(RunDir(self.folder), "digest", 0, self.scores, {"targets": targets})
        labels = {"classification": 8, "segmentation": 4}
        return Study("one", [Cell("MultiMix", {}, labels, "digest", reference=True, runs={0: run})], [0])

    def draw(self, function: object, path: Path, **options: object) -> Path | None:
        """Draw a picture of the study as that of a run."""
        study = self.study()
        figure = function(study, study.cells[0].labels, path, vector=False, **options)
        return figure and figure.path


def draw_boundaries(path, images, references, predictions, ids, dice) -> Path | None:
    system = System(path.with_suffix(""))
    system.images("segmentation", ids=ids, image=images, reference=references, predicted=predictions)
    system.cases("segmentation", ids, dice=dice)
    return system.draw(examples.boundaries, path, domain="in-domain")


def draw_saliency(path, images, maps, ids) -> Path | None:
    system = System(path.with_suffix(""))
    probabilities = np.tile([0.2, 0.8], (len(ids), 1))
    system.images("segmentation", ids=ids, image=images, maps=maps, probabilities=probabilities)
    system.cases("segmentation", ids, dice=np.linspace(0.8, 0.9, len(ids)))
    return system.draw(saliency.saliency_segmentation, path, domain="in-domain")


def draw_sets(kind: str, path: Path, n: int) -> Path | None:
    """ROC, calibration or Dice of n test sets."""
    system = System(path.with_suffix(""))
    for k in range(n):
        if kind == "dice_distribution":
            ids = [f"case-{i}" for i in range(9)]
            system.cases("segmentation", ids, f"set {k}", dice=np.linspace(0.8, 0.99, 9))
        else:
            system.classes(*ranking(k), f"set {k}")
    draws = {
        "roc": study_classes.roc,
        "calibration": study_classes.calibration,
        "dice_distribution": distributions.dice_distribution,
    }
    return system.draw(draws[kind], path)


def confident(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    confidence = 0.5 + 0.499 * rng.random(80)
    return confidence, rng.random(80) < confidence - 0.1


def jsonl(path: Path, content: list[dict[str, float]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in content))
    return path


def draw(kind: str, path: Path, n: int = 2) -> Path | None:
    """Each picture from well-formed data of n images (n curves, n sets)."""
    images, truth = xrays(n), masks(n)
    guess = np.roll(truth, 2, axis=-1)
    dice, ids = np.linspace(0.8, 0.99, n), [f"case-{i}" for i in range(n)]
    maps = np.stack([images, 255 - images], 1).astype(float)
    if kind in ("roc", "calibration", "dice_distribution"):
        return draw_sets(kind, path, n)
    if kind in ("boundaries", "saliency") and not n:
        function = examples.boundaries if kind == "boundaries" else saliency.saliency_segmentation
        return System(path.with_suffix("")).draw(function, path, domain="in-domain")
    if kind == "boundaries":
        return draw_boundaries(path, images, truth, guess, ids, dice)
    if kind == "saliency":
        return draw_saliency(path, images, maps, ids)
    if kind == "overview":
        arrays = {"image": images, "reference": truth, "predicted": guess, "saliency": maps[:, 0]}
        arrays["probabilities"] = np.tile([0.2, 0.8], (n, 1))
        return run_figures.overview(arrays, dice, NAMES, path, "Overview")
    if kind == "confusion":
        return run_figures.confusion(np.full((2, 2), 4 * n), NAMES, path, "Confusion")
    metrics = jsonl(path.with_suffix(".jsonl"), rows(epochs=n))
    return curves.curves(metrics, path, "Training", DECLARED)


KINDS = ["boundaries", "saliency", "overview", "roc", "calibration", "dice_distribution", "confusion", "curves"]


@pytest.fixture
def figs(monkeypatch):
    """The matplotlib figures that were drawn, to ask what they show; coarse, to be quick."""
    from matplotlib.figure import Figure

    monkeypatch.setitem(style.STYLE, "figure.dpi", 40)
    monkeypatch.setitem(style.STYLE, "savefig.dpi", 40)
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda fig, *a, **k: (drawn.append(fig), save(fig, *a, **k))[1])
    return drawn


@pytest.mark.parametrize("kind", KINDS)
def test_writes_a_png_of_sane_size_that_is_not_blank(kind, tmp_path, recwarn, monkeypatch):
    draw_as_users_get(monkeypatch)
    path = tmp_path / "new" / f"{kind}.png"
    path.parent.mkdir()
    assert draw(kind, path) == path
    with Image.open(path) as image:
        image.verify()
    with Image.open(path) as image:
        assert image.format == "PNG"
        assert 600 <= image.width <= 1250
        assert 250 <= image.height <= 1300
        assert np.asarray(image.convert("L"), float).std() > 8
    assert not [item for item in path.parent.iterdir() if item.suffix == ".tmp"]
    assert [str(warning.message) for warning in recwarn.list] == []


@pytest.mark.parametrize("kind", ["boundaries", "curves"])
def test_same_bytes_twice_whatever_the_users_settings(kind, tmp_path, figs):
    import matplotlib

    draw(kind, tmp_path / "a.png")
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        draw(kind, tmp_path / "b.png")
    assert filecmp.cmp(tmp_path / "a.png", tmp_path / "b.png", shallow=False)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_show_writes_nothing(kind, tmp_path):
    path = tmp_path / f"{kind}.png"
    assert draw(kind, path, n=0) is None
    assert not path.exists()


@pytest.mark.parametrize(
    ("kind", "n"),
    [(kind, 1) for kind in KINDS if kind not in ("roc", "confusion")] + [(kind, 9) for kind in KINDS[:3]],
)
def test_one_and_too_many(kind, n, tmp_path, figs):
    """Nine images: eight (six in the overview) are shown, and the page says so."""
    path = tmp_path / f"{kind}.png"
    assert draw(kind, path, n=n) == path
    words = [text.get_text() for text in figs[0].texts]
    if kind == "overview":
        assert any(f"n = {n}" in text for text in words)
    if kind == "boundaries":
        assert any(share(min(n, 8), n, "image") in text for text in words)
    if kind in ("boundaries", "saliency", "overview"):
        tiles = [axes for axes in figs[0].axes if axes.images]
        per_image = {"boundaries": 1, "saliency": 3, "overview": 3}[kind]
        most = 6 if kind == "overview" else 8
        assert len(tiles) == min(n, most) * per_image + (kind == "saliency")


def test_signs_that_no_font_has_are_told_in_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(fonts, "families", lambda: [fonts.FONT])
    with pytest.warns(UserWarning, match="boxes in place of") as told, style.page(tmp_path / "a.png", 3, 2) as fig:
        fig.suptitle("肺炎 and pneumonia")
    assert [str(one.message) for one in told] == [
        "Pictures show boxes in place of 炎 肺, which no font here has. Install one that does, such as Noto Sans "
        "CJK, and draw them again: those of runs and studies with mmtk report, others with the same command."
    ]


def test_an_installed_font_draws_the_signs_that_the_first_has_not(monkeypatch):
    monkeypatch.setattr(fonts, "MORE_FONTS", ("No Such Font", "DejaVu Serif"))
    assert fonts.families.__wrapped__() == ["DejaVu Sans", "DejaVu Serif"]


def test_a_failing_drawing_leaves_the_old_picture(tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), style.page(path, 2, 2):
        raise RuntimeError
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def near(pixels: np.ndarray, colour: str) -> np.ndarray:
    return np.abs(pixels - np.array(to_rgb(colour))).max(-1) < 0.12


@pytest.mark.parametrize("channels", [1, 2])
def test_boundaries_lie_where_the_masks_end(channels, tmp_path, figs, monkeypatch):
    """A reference disc and a smaller prediction: each colour only near its own circle."""
    monkeypatch.setitem(style.STYLE, "figure.dpi", 200)
    monkeypatch.setitem(style.STYLE, "savefig.dpi", 200)
    truth, guess = disc(16), disc(9)
    parts = [truth] if channels == 1 else [truth & (np.arange(SIDE) < 24), truth & (np.arange(SIDE) >= 24)]
    path = tmp_path / "b.png"
    images = np.full((1, SIDE, SIDE), 60, np.uint8)
    draw_boundaries(path, images, np.stack(parts)[None], guess[None, None], ["a"], [0.5])

    box = figs[0].axes[0].get_window_extent()
    pixels = np.asarray(Image.open(path).convert("RGB")) / 255
    height = pixels.shape[0]
    tile = pixels[round(height - box.y1) : round(height - box.y0), round(box.x0) : round(box.x1)]
    scale = tile.shape[0] / SIDE
    y, x = (np.indices(tile.shape[:2]) + 0.5) / scale - 0.5
    radius = np.hypot(y - SIDE / 2, x - SIDE / 2)
    for mask, look, size in ((truth, style.REFERENCE, 16), (guess, style.PREDICTION, 9)):
        coloured = near(tile, look["colors"])
        # Independent oracle: the distance to the mask's edge by SciPy, at the place of each coloured pixel.
        inside = ndimage.distance_transform_edt(mask)
        outside = ndimage.distance_transform_edt(~mask)
        edge = np.minimum(np.where(mask, inside, np.inf), np.where(mask, np.inf, outside))
        where = edge[np.clip(y.round().astype(int), 0, SIDE - 1), np.clip(x.round().astype(int), 0, SIDE - 1)]
        on_rim = coloured & (np.abs(radius - size) < 2)
        assert on_rim.sum() > 100
        if channels == 1 or look is style.PREDICTION:
            assert where[coloured].max() < 2.5
        quadrants = np.arctan2(y - SIDE / 2, x - SIDE / 2)[on_rim] // (np.pi / 2)
        assert set(quadrants) == {-2, -1, 0, 1}
    middle = radius < 5
    halved = channels == 2  # two touching halves share a boundary through the middle
    assert near(tile, style.REFERENCE["colors"])[middle].any() == halved
    assert not near(tile, style.PREDICTION["colors"])[middle].any()


def test_a_mask_at_the_edge_is_closed(figs, tmp_path):
    full = np.ones((1, 1, SIDE, SIDE), bool)
    draw_boundaries(tmp_path / "b.png", xrays(1), full, full, ["a"], [1.0])
    path = figs[0].axes[0].collections[0].get_paths()[0]
    assert np.allclose(path.vertices[0], path.vertices[-1])
    assert np.allclose(path.vertices.min(0), -0.5)
    assert np.allclose(path.vertices.max(0), SIDE - 0.5)


def test_boundaries_survive_empty_nan_and_ignored(tmp_path, figs):
    odd = np.zeros((3, 1, SIDE, SIDE))
    odd[1], odd[2] = np.nan, 255
    images = xrays(3).astype(float)
    images[0, :5] = np.nan
    dice = [np.nan, None, 0.5]
    draw_boundaries(tmp_path / "b.png", images, odd, odd, ["a", "$b$", "c" * 99], dice)
    texts = [text.get_text() for axes in figs[0].axes for text in axes.texts]
    assert texts.count("Dice –") == 2
    assert texts.count("nothing predicted") == 3
    assert not any(axes.collections for axes in figs[0].axes)


def test_saliency_scales_each_map_and_says_where_it_is_zero(tmp_path, figs):
    maps = np.zeros((2, 2, SIDE, SIDE))
    maps[0, 1] = np.random.default_rng(0).normal(size=(SIDE, SIDE)) * 1e-9
    maps[1, 0] = np.nan
    maps[1, 1, 3, 3] = 7  # the 99th percentile is 0
    draw_saliency(tmp_path / "s.png", xrays(2), maps, ["a", "b"])
    tags = [text.get_text() for axes in figs[0].axes for text in axes.texts]
    assert sum(tag.endswith("zero everywhere") for tag in tags) == 2
    assert [axes.get_title() for axes in figs[0].axes[:3]] == ["X-ray", *NAMES]
    assert figs[0].axes[-1].get_ylabel() == "relative saliency"


@pytest.mark.parametrize("factor", [1e-12, 1.0, 1e6])
def test_relative_is_one_at_the_99th_percentile(factor):
    values = np.arange(-100, 101).reshape(3, 67)
    found = style.relative(values * factor)
    assert np.allclose(found, np.minimum(np.abs(values) / np.percentile(np.abs(values), 99), 1))


def test_heat_shows_the_dimmed_xray_where_the_map_is_zero():
    image, saliency = xrays(1)[0], np.zeros((SIDE, SIDE))
    assert np.allclose(style.heat(image, saliency), image[..., None] / 510, atol=0.02)
    saliency[:24] = 1
    glowing = style.heat(image, saliency)
    assert glowing[:24].mean() > 4 * glowing[24:].mean()
    assert 0 <= glowing.min() <= glowing.max() <= 1


def test_gray_keeps_the_unit_range_and_stretches_what_leaves_it():
    unit = np.linspace(0.2, 0.4, 9, dtype=np.float32).reshape(3, 3)
    assert np.array_equal(style.gray(unit), unit)
    assert np.allclose(style.gray(unit * 2 - 1), (unit - 0.2) / 0.2, atol=1e-6)
    assert style.gray(np.full((2, 2), 255, np.uint8)).max() == 1
    assert np.array_equal(style.gray(np.full((2, 2), np.nan)), np.zeros((2, 2)))


def test_overview_names_the_class_and_leaves_unknown_parts_out(tmp_path, figs):
    images, classes = xrays(4), np.array([[0.9, 0.1], [0.25, 0.75], [np.nan, np.nan], [0.5, 0.5]])
    dice = [0.91, np.nan, 0.93, 0.94]
    arrays = {"image": images, "reference": masks(4), "predicted": masks(4), "saliency": images * 0}
    arrays["probabilities"] = classes
    run_figures.overview(arrays, dice, NAMES, tmp_path / "a.png", "A")
    texts = [text.get_text() for axes in figs[0].axes for text in axes.texts]
    assert texts[:3] == ["normal", "predicted, p = 0.90", "Dice 0.910"]
    assert texts[3:6] == ["pneumonia", "predicted, p = 0.75", "Dice –"]
    assert texts[6:8] == ["no class", "predicted, p –"]
    assert len(figs[0].axes) == 12
    run_figures.overview({"image": images, "probabilities": classes}, [], NAMES, tmp_path / "b.png", "B")
    assert len(figs[1].axes) == 4
    assert not figs[1].legends


def test_roc_has_area_band_and_operating_point_and_leaves_one_class_out(tmp_path, figs):
    from sklearn.metrics import roc_auc_score

    target, probabilities = ranking(1)
    system = System(tmp_path / "run")
    system.classes(target, probabilities)
    system.classes(np.ones(9, int), np.linspace(0, 1, 18).reshape(9, 2), "cross-domain")
    numbers = {"specificity-at-threshold": 0.75, "sensitivity-at-threshold": 0.6}
    system.scores["in-domain"] = {"classification": numbers}
    assert system.draw(study_classes.roc, tmp_path / "roc.png")
    axes, _ = figs[0].axes
    assert axes.get_title() == "in-domain (n = 60)"
    assert np.ravel(axes.lines[1].get_data()) == pytest.approx([0.25, 0.6])
    area = roc_auc_score(target == 1, probabilities[:, 1])
    band_words = "band: 95 % of bootstrap samples of the patients"
    assert axes.get_legend_handles_labels()[1] == [
        *(f"MultiMix: {area:.3f}", "chance: 0.500"),
        *(band_words, "threshold chosen on validation"),
    ]
    band = roc_curves.band(target, probabilities, np.arange(60), np.linspace(0, 1, 11))
    line = roc_curves.curve(target, probabilities)
    curve = np.interp(np.linspace(0, 1, 11), line.false, line.true)
    assert (band[0] <= curve + 0.15).all()
    assert (band[0] <= band[1]).all()
    assert len(axes.collections) == 1
    assert axes.get_aspect() == 1


def test_roc_of_several_classes_is_their_mean_against_the_rest_without_an_operating_point(tmp_path, figs):
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(4)
    target = np.arange(60) % 3
    probabilities = rng.dirichlet(np.ones(3), 60) + 0.3 * np.eye(3)[target]
    probabilities /= probabilities.sum(1, keepdims=True)
    absent = np.column_stack([probabilities * 0.9, np.full(60, 0.1)])  # a fourth class that does not occur
    area = roc_auc_score(target, probabilities, multi_class="ovr", average="macro")
    for values in (probabilities, absent):
        system = System(tmp_path / str(values.shape[1]), [f"class {k}" for k in range(values.shape[1])])
        system.classes(target, values)
        study = system.study()
        figure = study_classes.roc(study, study.cells[0].labels, tmp_path / "roc.png", vector=False)
        assert "as means over the classes, each against the rest" in figure.caption
        axes, _ = figs.pop().axes
        band_words = "band: 95 % of bootstrap samples of the patients"
        assert axes.get_legend_handles_labels()[1] == [f"MultiMix: {area:.3f}", "chance: 0.500", band_words]
        assert len(axes.lines) == 2


def test_the_reliability_diagram_has_the_calibration_error_of_torchmetrics():
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    confidence, right = confident(3)
    expected = binary_calibration_error(torch.tensor(confidence), torch.tensor(right).long(), n_bins=15).item()
    found = classes.reliability(confidence, right)
    assert found.error == pytest.approx(expected, abs=1e-6)
    assert found.images.sum() == len(confidence)


def test_titles_wrap_into_lines_of_about_one_length():
    title = "MultiMix: cross-domain test images, from the worst to the best Dice of 120"
    lines = style.wrap(title, 7)
    assert " ".join(lines) == title
    assert min(map(len, lines)) > 0.6 * max(map(len, lines))
    assert style.wrap("short", 7) == ["short"]


def test_dice_distribution_states_the_median_and_leaves_missing_values_out(tmp_path, figs):
    system = System(tmp_path / "run")
    values = {"JSRT": [0.9, 0.95, 0.97, np.nan], "MCU": [np.nan], "one": [0.5]}
    for domain, dice in values.items():
        system.cases("segmentation", [f"{k}" for k in range(len(dice))], domain, dice=dice)
    study = system.study()
    figure = distributions.dice_distribution(study, study.cells[0].labels, tmp_path / "d.png", vector=False)
    assert "n = 3 JSRT and n = 1 one images" in figure.caption
    first, last = figs[0].axes  # a set without any value has no panel
    assert [text.get_text() for axes in (first, last) for text in axes.texts] == ["0.950", "0.500"]
    points = first.collections[0].get_offsets()
    assert sorted(points[:, 0]) == [0.9, 0.95, 0.97]
    assert np.abs(points[:, 1]).max() < 0.33
    assert first.get_xlim()[0] < 0.5  # the lowest box is inside


def test_confusion_counts_and_row_shares(tmp_path, figs):
    counts = np.array([[150, 50, 0], [1, 3, 0], [0, 0, 0]])
    run_figures.confusion(counts, ["a", "b", "c"], tmp_path / "c.png", "Confusion")
    texts = [text.get_text() for text in figs[0].axes[0].texts]
    assert texts[:4] == ["150", "75.0%", "50", "25.0%"]
    assert texts[-2:] == ["0", "0.0%"]
    assert [label.get_text() for label in figs[0].axes[0].get_yticklabels()] == ["a\nn = 200", "b\nn = 4"]
    assert figs[0].get_suptitle() == "Confusion (n = 204)"


def test_curves_mark_the_best_epoch(tmp_path, figs):
    found = rows()
    assert curves.best_epoch(found)["epoch"] == 3
    curves.curves(jsonl(tmp_path / "metrics.jsonl", found), tmp_path / "c.png", "Training", DECLARED)
    left, right = figs[0].axes
    star = next(line for line in right.lines if line.get_marker() == "*")
    assert np.ravel(star.get_data()).tolist() == [89, pytest.approx(0.9)]
    names = left.get_legend_handles_labels()[1]
    assert names == ["classification: cross-entropy × 6", "segmentation: kl (always 0)", "total"]
    assert {axes.get_xlabel() for axes in (left, right)} == {"step"}


def noisy_terms(weights: dict[str, float], ramp: bool = False) -> list[dict[str, float]]:
    """Rows of 40 steps whose total is the weighted sum of the terms, with rates beside them."""
    rng, found = np.random.default_rng(1), []
    for step in range(1, 41):
        values = {name: float(rng.random()) for name in weights}
        values["segmentation/confidence"] = 0.0 if step < 20 else values.get("segmentation/confidence", 0.0)
        total = sum(w * values[n] * (step / 40 if ramp else 1) for n, w in weights.items())
        rates = {"classification/mask-rate": 0.0 if step < 20 else 0.7}
        rates |= {"classification/pseudo-label-accuracy": 0.8} if step >= 20 else {}
        found.append({"step": step, "train/loss": total} | {f"train/{n}": v for n, v in (values | rates).items()})
    return found


def test_weighted_terms_stack_to_the_total_and_rates_stand_apart(tmp_path, figs):
    weights = {"classification/cross-entropy": 1.0, "segmentation/dice": 5.0, "segmentation/confidence": 0.25}
    curves.curves(
        jsonl(tmp_path / "metrics.jsonl", noisy_terms(weights)), tmp_path / "c.png", "Training", DECLARED
    )
    losses, rates, _ = figs[0].axes
    names = losses.get_legend_handles_labels()[1]
    assert set(names) == {
        "classification: cross-entropy",
        "segmentation: dice × 5",
        "segmentation: confidence × 0.25",
        "total",
    }
    top = max(path.vertices[:, 1].max() for fill in losses.collections for path in fill.get_paths())
    assert top == pytest.approx(losses.lines[-1].get_ydata().max(), rel=1e-3)
    assert losses.get_yscale() == "linear"
    assert rates.get_ylim() == pytest.approx((-0.02, 1.02))
    assert "classification: pseudo-label-accuracy" in rates.get_legend_handles_labels()[1]  # as the terminal says
    drawn = rates.lines[2].get_xdata().tolist()
    assert drawn == list(range(20, 41))  # no accuracy where no image was taken: a gap, not a zero


def test_terms_with_a_ramp_are_lines_that_say_so(tmp_path, figs):
    found = noisy_terms({"classification/cross-entropy": 1.0, "segmentation/dice": 5.0}, ramp=True)
    curves.curves(jsonl(tmp_path / "metrics.jsonl", found), tmp_path / "c.png", "Training", DECLARED)
    assert figs[0].axes[0].get_ylabel() == "loss terms, not weighted"


def test_ticks_of_small_and_large_losses_are_plain_numbers(tmp_path, figs):
    names = ("loss", "segmentation/dice", "segmentation/kl")
    log = [{"step": k} | {f"train/{name}": 10.0 ** (-2 * k) for name in names} for k in range(2)]
    curves.curves(jsonl(tmp_path / "metrics.jsonl", log), tmp_path / "c.png", "Training", DECLARED)
    axes = figs[0].axes[0]
    assert axes.get_yscale() == "symlog"
    assert {"0.01", "0.1", "1"} <= {label.get_text() for label in axes.get_yticklabels()}


def test_best_epoch_takes_the_first_of_equals_and_no_nan():
    scores = [0.5, float("nan"), 0.8, 0.8]
    found = [{"epoch": i, "val/score": score} for i, score in enumerate(scores)]
    assert curves.best_epoch(found)["epoch"] == 2
    assert curves.best_epoch([{"epoch": 1, "val/segmentation/dice": 0.9}]) is None


@pytest.mark.parametrize("place", [0, 30])
def test_curves_of_a_single_row(place, tmp_path, recwarn):
    metrics = jsonl(tmp_path / "metrics.jsonl", rows()[place : place + 1])
    assert curves.curves(metrics, tmp_path / "c.png", "Training", DECLARED)
    assert [str(warning.message) for warning in recwarn.list] == []


def test_curves_of_an_interrupted_and_resumed_run(tmp_path, figs):
    """Broken lines are left out, a repeated step counts once and by its last row, NaN leaves a gap."""
    content = '{"step": 0, "train/loss": 4}\n{"step": 1, "train/loss": 9}\n{"step": 2, "tra\n'
    content += '{"step": 1, "train/loss": 3}\n{"step": 2, "train/loss": NaN}\n17\n{"step": 3, "train/loss": 2}'
    metrics = tmp_path / "metrics.jsonl"
    metrics.write_text(content)
    curves.curves(metrics, tmp_path / "c.png", "Training", DECLARED)
    x, y = figs[0].axes[0].lines[0].get_data()
    assert x.tolist() == [0, 1, 3]
    assert y.tolist() == [4, 3, 2]


def test_curves_of_several_validations_per_epoch(tmp_path, figs):
    found = [
        {"step": 10 * i, "epoch": 1 + i // 3, "val/score": score}
        for i, score in enumerate([0.1, 0.2, 0.6, 0.5, 0.4, 0.3])
    ]
    curves.curves(jsonl(tmp_path / "metrics.jsonl", found), tmp_path / "c.png", "Training", DECLARED)
    right = figs[0].axes[1]
    assert right.get_xlabel() == "step"
    assert right.lines[0].get_xdata().tolist() == [0, 10, 20, 30, 40, 50]
    assert right.get_legend_handles_labels()[1][-1] == "best: step 20, score 0.600"


def test_curves_without_a_file(tmp_path):
    assert curves.curves(tmp_path / "metrics.jsonl", tmp_path / "c.png", "Training", DECLARED) is None


@pytest.mark.parametrize("n", [1, 5, 41, 200])
def test_smoothing_keeps_a_constant_and_a_length(n):
    assert np.allclose(style.smooth(np.full(n, 3.0)), 3)
    noise = np.random.default_rng(n).normal(size=n)
    half = n // 40
    slow = [noise[max(0, i - half) : i + half + 1].mean() for i in range(n)]
    assert np.allclose(style.smooth(noise), slow)


def test_importing_loads_neither_matplotlib_nor_torch_and_drawing_no_pyplot(tmp_path):
    code = """
import sys
from pathlib import Path
from mmtk.report.figures import run as figures
print(*{"matplotlib", "torch"} & set(sys.modules), "/")
figures.confusion([[1, 2], [3, 4]], ["a", "b"], Path(sys.argv[1]), "Confusion")
print(*{"matplotlib.pyplot", "torch"} & set(sys.modules), "/")
"""
    run = [sys.executable, "-c", code, str(tmp_path / "c.png")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["/", "/"]
