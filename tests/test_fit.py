"""The second pass over a recipe: parts that are fine alone and do not fit together."""

from __future__ import annotations

import pytest
from torch import nn

from mmtk import api, build, catalog, params
from mmtk.errors import MmtkError
from mmtk.recipe import load_recipe


def refusal(name, *sets):
    with pytest.raises(MmtkError) as caught:
        load_recipe(name, overrides=sets)
    return str(caught.value)


@pytest.mark.parametrize(
    ("sets", "message", "cure"),
    [
        (
            ["data.size=70"],
            "data.size: 70 is not divisible by 16, the stride of encoder 'unet'.",
            "Take 64 or 80.",
        ),
        (["data.size=100", "encoder.depth=7"], "100 is not divisible by 64", "Take 64 or 128."),
        (["data.size=20", "encoder.depth=6"], "20 is not divisible by 32", "Take 32."),
    ],
)
def test_the_size_is_a_multiple_of_the_coarsest_stride(sets, message, cure):
    assert refusal("multimix", *sets) == f"--set: {refusal('multimix', *sets).split(': ', 1)[1]}"
    assert message in refusal("multimix", *sets)
    assert cure in refusal("multimix", *sets)


@pytest.mark.parametrize("size", [16, 64, 96, 256])
def test_sizes_that_fit(size):
    assert load_recipe("multimix", overrides={"data.size": size})["data.size"] == size


@pytest.mark.parametrize("stride", [3, 32, 5])
def test_a_bridge_joins_at_a_stride_of_the_encoder(stride):
    text = refusal("multimix", f"bridge.stride={stride}")
    assert text.startswith(
        f"--set: bridge: joins at stride {stride}, but encoder 'unet' has strides 1, 2, 4, 8, 16."
    )
    assert "Set bridge.stride to one of these." in text


def test_a_shallow_encoder_has_no_stride_for_the_bridge(tmp_path):
    text = refusal("multimix", "encoder.depth=3")
    assert "multimix.toml:7: bridge: joins at stride 8, but encoder 'unet' has strides 1, 2, 4." in text
    assert load_recipe("multimix", overrides={"encoder.depth": 3, "bridge.stride": 4})["bridge.stride"] == 4


def test_a_bridge_reads_the_class_head():
    text = refusal("unet", "bridge.use=saliency")
    assert '--set: bridge.use = "saliency" needs the task classification' in text
    assert 'Set bridge.use = "none".' in text


def test_a_view_needs_its_augmentation(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        'tasks = ["classification"]\nprofile = "phantom"\n[encoder]\nuse = "unet"\n[ssl]\nuse = "confidence"\n'
        '[loss.classification]\nuse = "cross-entropy"\n[metric.classification]\nuse = "classification"\n'
    )
    text = refusal(recipe)
    assert f"{recipe} has 2 problems:" in text
    for view in ("weak", "strong"):
        assert (
            f"{recipe}:6: ssl.use = \"confidence\" asks for a view '{view}', but there is no [augment.{view}]"
            in text
        )
        assert f"Add a table [augment.{view}]." in text


@pytest.mark.parametrize(
    ("name", "sets", "expected"),
    [
        ("enc", ["loss.classification.use=dice"], ["--set: loss/dice compares masks, not class labels."]),
        ("enc", ["loss.classification.use=smp"], ['Set use = "cross-entropy" in [loss.classification].']),
        (
            "unet",
            ["loss.segmentation.use=smp", "loss.segmentation.name=lovasz", "loss.segmentation.alpha=0.5"],
            ["--set: loss/smp 'lovasz' has no key 'alpha'."],
        ),
        (
            "enc",
            ["train.balance=weight", "loss.classification.use=dice"],
            ['--set: train.balance = "weight" needs', "loss/dice compares masks"],
        ),
    ],
)
def test_a_loss_takes_the_task_s_labels_and_its_own_keys(name, sets, expected):
    text = refusal(name, *sets)
    for words in expected:
        assert words in text


@pytest.mark.parametrize("loss", ["cross-entropy", "dice", "smp"])
def test_losses_of_masks(loss):
    assert load_recipe("unet", overrides={"loss.segmentation.use": loss})["loss.segmentation.use"] == loss


def test_class_weights_need_a_loss_that_takes_them():
    for loss in ("cross-entropy", "mmtk/cross-entropy"):
        overrides = {"train.balance": "weight", "loss.classification.use": loss}
        assert load_recipe("enc", overrides=overrides)["train.balance"] == "weight"
    assert load_recipe("unet", overrides={"train.balance": "weight"}).tasks == ["segmentation"]


def test_a_metric_scores_its_task():
    assert refusal("multimix", "metric.segmentation.use=classification").startswith(
        '--set: metric.segmentation.use = "classification" scores classification, not segmentation.'
    )


def test_problems_of_fit_come_together():
    text = refusal("multimix", "data.size=70", "bridge.stride=3", "loss.classification.use=dice")
    assert "has 3 problems:" in text


def test_what_an_encoder_refuses_has_the_line_that_names_it(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text('extends = "enc"\n[encoder]\nuse = "timm"\nmodel = "no_such_model"\n')
    text = refusal(recipe)
    assert text.startswith(f"{recipe}:3: ")
    assert "no_such_model" in text


def test_a_check_reads_no_data_and_draws_no_weights(tmp_path, monkeypatch):
    monkeypatch.delenv("MMTK_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    recipe = load_recipe("multimix", "chest-xray")
    assert all(parameter.is_meta for parameter in build.sketch_encoder(recipe).parameters())
    assert not list(tmp_path.iterdir())


def test_a_module_without_an_init_of_its_own_has_no_keys():
    class Module(nn.Module):
        pass

    assert set(params.schema(Module).model_fields) == {"use"}
    assert params.wired(Module) == {}


@pytest.mark.parametrize(
    "kind", ["encoder", "decoder", "ssl", "consistency", "bridge", "loss", "augment", "metric"]
)
def test_every_builtin_is_of_its_kind_and_has_a_schema(kind):
    for entry in catalog.entries(kind):
        component = catalog.load(entry)
        assert issubclass(component, getattr(api, "SSL" if kind == "ssl" else kind.capitalize()))
        assert "use" in params.schema(component).model_fields
