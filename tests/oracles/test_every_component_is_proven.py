"""The checklist of proofs: no loss, strategy, bridge, metric or statistic without its oracle and its gradients.

Of every component, those of the plugins beside mmtk too: the test that compares it with an independent computation
on drawn inputs, extremes among them; the one that compares its gradient with finite differences or a closed form;
and the one that says which parameters and images it teaches. A component that is not in the list fails here.
"""

from __future__ import annotations

import ast
import tomllib
from pathlib import Path

import pytest

from mmtk import stats
from mmtk.registry import catalog

ROOT = Path(__file__).parents[2]
KINDS = ("loss", "ssl", "consistency", "bridge", "metric")
CONSTANT = "gives numbers, or joins channels, that carry no gradient"

ORACLES, PLUGINS = "tests/oracles", "plugins"
LOSSES, TEACHES = f"{ORACLES}/test_loss_oracles.py", f"{ORACLES}/test_gradients.py"
SSL, SEG, METRICS = (f"{ORACLES}/test_{name}_oracles.py" for name in ("ssl", "consistency", "metric"))
BRIDGES, STATISTICS = f"{ORACLES}/test_bridge_oracles.py", f"{ORACLES}/test_statistic_oracles.py"
SSL_ZOO = f"{PLUGINS}/mmtk-ssl-zoo/tests/test_ssl_equations.py"
SEG_ZOO = f"{PLUGINS}/mmtk-seg-zoo/tests/test_seg_equations.py"
START = f"{PLUGINS}/mmtk-self-start/tests/test_self_start.py"
CAPTUM = f"{PLUGINS}/mmtk-captum/tests/test_captum"
HELLO, RELEASE = f"{PLUGINS}/mmtk-hello/tests/test_hello.py", f"{PLUGINS}/mmtk-release/tests/test_release.py"

TAUGHT = f"{TEACHES}::test_a_term_teaches_the_encoder_and_the_branch_of_its_task"
TOLD = f"{TEACHES}::test_the_bridge_tells_but_does_not_teach"
IN_SSL_ZOO = (
    f"{SSL_ZOO}::test_the_terms_are_those_of_the_paper_at_any_logits",
    f"{SSL_ZOO}::test_gradients_go_where_they_must_and_nowhere_else",
    f"{SSL_ZOO}::test_gradients_go_where_they_must_and_nowhere_else",
)
IN_SEG_ZOO = (
    f"{SEG_ZOO}::test_the_terms_are_those_of_the_paper_at_any_logits",
    f"{SEG_ZOO}::test_the_gradient_is_that_of_the_equation_and_reaches_no_target",
    f"{SEG_ZOO}::test_the_gradient_is_that_of_the_equation_and_reaches_no_target",
)
IN_CAPTUM = (
    f"{CAPTUM}_maps.py::test_the_maps_of_drawn_images",
    CONSTANT,
    f"{CAPTUM}_maps.py::test_the_image_and_the_class_branch_get_no_gradient_and_keep_their_modes",
)

TAUGHT_WITHOUT_LABELS = f"{START}::test_no_label_reaches_the_encoder_and_the_rest_no_head"

# Component: (oracle on drawn inputs, gradient, what it teaches).
PROOFS = {
    "ssl/simclr": (
        f"{START}::test_contrast_is_the_equation_of_the_paper",
        TAUGHT_WITHOUT_LABELS,
        TAUGHT_WITHOUT_LABELS,
    ),
    "ssl/masked": (
        f"{START}::test_the_masked_loss_is_the_mean_over_the_grayed_pixels",
        TAUGHT_WITHOUT_LABELS,
        TAUGHT_WITHOUT_LABELS,
    ),
    "loss/cross-entropy": (
        f"{LOSSES}::test_cross_entropy_of_classes",
        f"{TEACHES}::test_cross_entropy_at_any_logits",
        TAUGHT,
    ),
    "loss/dice": (f"{LOSSES}::test_dice", f"{TEACHES}::test_dice_at_any_logits", TAUGHT),
    "loss/smp": (
        f"{LOSSES}::test_smp_overlap",
        f"{TEACHES}::test_losses_of_masks",
        f"{TEACHES}::test_every_exponent_gives_a_finite_gradient",
    ),
    "ssl/none": (f"{SSL}::test_none", f"{TEACHES}::test_cross_entropy_at_any_logits", TAUGHT),
    "ssl/confidence": (f"{SSL}::test_confidence", f"{TEACHES}::test_confidence", TAUGHT),
    "ssl/mixmatch": (f"{SSL}::test_mixmatch", f"{TEACHES}::test_mixmatch", TAUGHT),
    "consistency/none": (f"{SEG}::test_none", f"{TEACHES}::test_dice_at_any_logits", TAUGHT),
    "consistency/kl": (f"{SEG}::test_kl_strategy", f"{TEACHES}::test_kl_at_any_logits", TAUGHT),
    "bridge/none": (f"{BRIDGES}::test_none_joins_no_channel", CONSTANT, TOLD),
    "bridge/saliency": (f"{BRIDGES}::test_equations_3_and_4", CONSTANT, TOLD),
    "metric/classification": (f"{METRICS}::test_classification", CONSTANT, CONSTANT),
    "metric/segmentation": (f"{METRICS}::test_segmentation", CONSTANT, CONSTANT),
    "ssl/hello": (
        f"{HELLO}::test_the_entropy_of_any_logits",
        f"{HELLO}::test_its_gradient",
        f"{HELLO}::test_it_learns_from_the_weak_view_alone",
    ),
    **dict.fromkeys(catalog.BESIDE["mmtk-ssl-zoo"], IN_SSL_ZOO),
    **dict.fromkeys(catalog.BESIDE["mmtk-seg-zoo"], IN_SEG_ZOO),
    **dict.fromkeys(catalog.BESIDE["mmtk-captum"], IN_CAPTUM),
    "bridge/attention": (
        f"{CAPTUM}_maps.py::test_the_maps_of_drawn_images",
        f"{CAPTUM}_maps.py::test_the_gradient_of_the_attention",
        f"{CAPTUM}_training.py::test_the_segmentation_loss_trains_the_attention_and_not_the_class_head",
    ),
    "consistency/release-kl": (
        f"{RELEASE}::test_it_is_the_released_mean_at_any_logits",
        f"{RELEASE}::test_over_one_channel_value_and_gradient_are_exactly_zero",
        f"{RELEASE}::test_over_more_channels_it_is_the_released_mean",
    ),
}

PROVEN_STATISTICS = {
    "summary": "test_summary",
    "student": "test_student",
    "paired": "test_paired",
    "holm": "test_holm_is_the_closed_test_of_bonferroni",
    "jackknife": "test_jackknife_is_the_score_of_the_other_images",
    "two_way": "test_two_way_is_an_analysis_of_variance",
    "combine": "test_two_way_is_an_analysis_of_variance",
    "difference": "test_two_way_is_an_analysis_of_variance",
    "factorial": "test_factorial_is_least_squares",
    "shapley": "test_shapley_shares_every_dividend_equally",
}


def components() -> set[str]:
    """All of the core and of the plugins in this checkout, by their own metadata."""
    found = {f"{kind}/{name}" for kind in KINDS for name in catalog.BUILTINS[kind]}
    for path in (ROOT / PLUGINS).glob("*/pyproject.toml"):
        points = tomllib.loads(path.read_text(encoding="utf-8"))["project"]["entry-points"]
        found |= {f"{group[5:]}/{name}" for group, names in points.items() if group[5:] in KINDS for name in names}
    return found


def proofs_in(path: Path) -> dict[str, set[str]]:
    """The tests of a file by name, with the names of their decorators."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name[:5] == "test_"]
    return {
        each.name: {
            name.id for line in each.decorator_list for name in ast.walk(line) if isinstance(name, ast.Name)
        }
        for each in functions
    }


def test_every_component_is_in_the_list_and_nothing_else():
    assert set(PROOFS) == components()


def test_every_statistic_is_in_the_list():
    functions = {name for name in stats.__all__ if not isinstance(getattr(stats, name), type)}
    assert set(PROVEN_STATISTICS) == functions
    found = proofs_in(ROOT / STATISTICS)
    for name in PROVEN_STATISTICS.values():
        assert "given" in found[name], name


@pytest.mark.parametrize("word", PROOFS)
def test_its_proofs_are_tests_and_its_oracle_draws_its_inputs(word):
    """Hypothesis draws them; the strategies in ``oracle_inputs`` and the plugins' own hold the extremes."""
    oracle, *others = PROOFS[word]
    for place in (oracle, *(other for other in others if other != CONSTANT)):
        file, _, name = place.partition("::")
        found = proofs_in(ROOT / file)
        assert name in found, place
        assert place != oracle or "given" in found[name], f"{place} draws nothing"
