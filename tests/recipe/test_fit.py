"""The second pass over a recipe: parts that are fine alone and do not fit together."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
import torch
from safetensors.torch import save_file
from tiny import tiny
from torch import nn

from mmtk import api
from mmtk.errors import MmtkError, Problems
from mmtk.model import build, sketch
from mmtk.recipe import parts, toml
from mmtk.recipe.load import load_recipe
from mmtk.registry import catalog, local_file, signature
from mmtk.study.plan import plan_components
from mmtk.workflows.check import check
from mmtk.workflows.rehearsal import check_weights
from mmtk.workflows.run import run


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


@pytest.mark.parametrize("size", [32, 64, 96, 256])
def test_sizes_that_fit(size):
    assert load_recipe("multimix", overrides={"data.size": size})["data.size"] == size


@pytest.mark.parametrize("name", ["multimix", "enc", "unet"])
def test_a_size_that_a_part_refuses_in_its_pass(name):
    text = refusal(name, "data.size=16")
    assert text.startswith("--set: encoder/unet of depth 5 takes images from 32 × 32 up, got 16 × 16.")
    assert "Set data.size = 32 or more, or a smaller encoder.depth." in text
    fine = {"data.size": 16, "encoder.depth": 4}
    assert load_recipe(name, overrides=fine)["data.size"] == 16


def test_a_decoder_that_cannot_be_made_has_the_key_that_names_it():
    text = refusal("unet", "encoder.depth=3", "decoder.use=smp", "decoder.name=fpn")
    assert text.startswith("--set: The SMP decoder 'fpn' needs four levels")


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


LOSSES = '''
from torch.nn import functional as F
from mmtk.api import Loss

class Weighted(Loss):
    """Mean of the weighted costs."""
    tasks = ("classification",)
    def __init__(self, class_weights):
        self.weights = class_weights
    def __call__(self, logits, target):
        return F.cross_entropy(logits, target, weight=self.weights, reduction="sum") / len(target)

class Plain(Weighted):
    """Mean of the costs."""
    def __init__(self):
        super().__init__(None)
'''


def test_class_weights_reach_a_loss_of_another_author_that_takes_them(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "_local", [])
    (tmp_path / "losses.py").write_text(LOSSES)
    local_file.use(tmp_path / "losses.py")
    changes = {"loss__classification": {"use": "code/Weighted"}, "data__classification__labels": 7}
    first_losses = []
    for balance in ("weight", "none"):
        recipe = tiny("enc", train__steps=1, train__balance=balance, **changes)
        result = run(recipe, tmp_path / balance, pictures=False)
        first_losses.append(json.loads((result.path / "metrics.jsonl").read_text().splitlines()[0])["train/loss"])
    assert first_losses[0] != first_losses[1]
    text = refusal("enc", "train.balance=weight", "loss.classification.use=code/Plain")
    assert text.startswith('--set: train.balance = "weight" needs a loss that takes class_weights; ')
    assert 'loss.classification.use = "code/Plain" takes none.' in text


def test_a_metric_scores_its_task():
    assert refusal("multimix", "metric.segmentation.use=classification").startswith(
        '--set: metric.segmentation.use = "classification" scores classification, not segmentation.'
    )


def test_problems_of_fit_come_together():
    text = refusal("multimix", "data.size=70", "bridge.stride=3", "loss.classification.use=dice")
    assert "has 3 problems:" in text


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("ssl.use=mixmach", "ssl.use: No ssl component is called 'mixmach'."),
        ("bridge.use=7", 'bridge: needs use = "NAME"'),
        ("trian=3", "trian: unknown key."),
        ("seed=-1", "seed: should be"),
    ],
)
def test_a_wrong_name_hides_no_problem_of_the_other_parts(wrong, message):
    text = refusal("multimix", wrong, "data.size=70", "train.batchs=3")
    assert "has 3 problems:" in text
    assert f"--set: {message}" in text
    assert "train.batchs: unknown key." in text
    assert "data.size: 70 is not divisible by 16" in text


@pytest.mark.parametrize("path", ["metric.kappa", "augment.new", "augment.weak", "loss.segmentation"])
def test_a_component_in_place_of_its_table_names_the_key(path, tmp_path):
    assert f"--set {path}.use=code/Kappa" in refusal("multimix", f"{path}=code/Kappa")
    file, (group, name) = tmp_path / "r.toml", path.split(".")
    file.write_text(f'extends = "multimix"\n[{group}]\n{name} = "code/Kappa"\n')
    assert f'  Write {path}.use = "code/Kappa".' in refusal(file)


def test_what_cannot_be_guessed_adds_no_problem():
    for wrong in ("encoder.use=mine", "encoder.depth=9"):
        assert refusal("multimix", wrong, "data.size=70").startswith(f"--set: {wrong.partition('=')[0]}: ")


def test_what_can_be_guessed_adds_its_problem():
    text = refusal("multimix", "encoder.use=unett", "data.size=70")
    assert "has 2 problems" in text
    assert "--set: data.size: 70 is not divisible by 16, the stride of encoder 'unet'." in text


@pytest.mark.parametrize(
    "part",
    [
        "encoder",
        "decoder",
        "bridge",
        "ssl",
        "consistency",
        "loss.classification",
        "loss.segmentation",
        "augment.strong",
        "metric.segmentation",
        "data.classification.source",
        "data.segmentation.cross",
    ],
)
def test_a_part_with_a_wrong_name_hides_no_problem_of_another(part):
    others = {
        "loss.classification": ["loss.classification.use=dice", "loss/dice compares masks"],
        "metric.classification": ["metric.classification.use=segmentation", "scores segmentation, not class"],
        "train.balance": ["train.balance=weight", 'train.balance = "weight" needs'],
        "bridge": ["bridge.stride=3", "bridge: joins at stride 3"],
    }
    unasked = {"encoder": {"bridge"}, "loss.classification": {"train.balance"}}.get(part, set()) | {part}
    asked = {key: pair for key, pair in others.items() if key not in unasked}
    text = refusal("multimix", f"{part}.use=nonsense", *(change for change, _ in asked.values()))
    assert f"has {len(asked) + 1} problems:" in text
    assert f"--set: {part}.use: No " in text
    for _, words in asked.values():
        assert words in text


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
    assert all(parameter.is_meta for parameter in parts.sketch_encoder(recipe).parameters())
    assert not list(tmp_path.iterdir())


def test_a_module_without_an_init_of_its_own_has_no_keys():
    class Module(nn.Module):
        pass

    assert set(signature.schema(Module).model_fields) == {"use"}
    assert signature.wired(Module) == {}


@pytest.mark.parametrize(
    "kind", ["encoder", "decoder", "ssl", "consistency", "bridge", "loss", "augment", "metric"]
)
def test_every_builtin_is_of_its_kind_and_has_a_schema(kind):
    for entry in catalog.entries(kind):
        component = catalog.load(entry)
        assert issubclass(component, getattr(api, "SSL" if kind == "ssl" else kind.capitalize()))
        assert "use" in signature.schema(component).model_fields


# --- what a run would refuse or crash on later ----------------------------------------------------------------

RESNET = ["encoder.use=timm", "encoder.model=resnet18", "data.size=32"]


class Pooled(api.Decoder):
    """A decoder that normalises one number per channel and image, and asks for a value, which meta has not."""

    def __init__(self, channels: tuple[int, ...], strides: tuple[int, ...], classes: int):
        super().__init__()
        self.out = nn.Conv2d(channels[0], classes, 1)
        self.norm = nn.BatchNorm2d(classes)

    def forward(self, features, size):
        x = self.out(features[0])
        assert float(x.detach().sum()) == float(x.detach().sum())
        return x + self.norm(x.mean((2, 3), keepdim=True))


def test_a_batch_norm_of_a_part_that_needs_values_is_found(monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["decoder"], "pooled", f"{__name__}:Pooled")
    small = ["decoder.use=pooled", "data.size=32"]
    assert "leave a batch norm of this network one" in refusal("unet", *small, "train.batch=1")
    assert load_recipe("unet", overrides=[*small, "train.batch=2"])["decoder.use"] == "pooled"


def test_batch_norms_on_several_processes_of_a_cpu_are_refused_before_anything_starts(tmp_path):
    recipe = load_recipe("enc", overrides=[*RESNET, "train.batch=2"])
    with pytest.raises(MmtkError, match="batch norms, whose statistics torch cannot share among"):
        run(recipe, tmp_path / "r", device="cpu", devices=2)
    assert not (tmp_path / "r").exists()


def test_a_plan_opens_its_weights_files(tmp_path):
    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"no weights")
    for file, message in ((tmp_path / "gone.safetensors", "no such weights file"), (torn, "torn.safetensors")):
        plan = plan_components("enc-ssl", "ssl", overrides={"encoder.weights": str(file)})
        with pytest.raises(Problems) as caught:
            check_weights(plan)
        assert message in str(caught.value)
        assert len(caught.value.problems) == 1, "said once for all systems"
    check_weights(plan_components("enc-ssl", "ssl"))


def test_a_batch_norm_with_one_value_cannot_train():
    text = refusal("enc", *RESNET, "train.batch=1")
    assert text.startswith("--set: train.batch: 1 image on a device and data.size = 32 leave a batch norm")
    assert "Take two images or more, or data.size = 64." in text
    for fine in (["train.batch=2"], ["train.batch=1", "data.size=64"]):
        assert load_recipe("enc", overrides=[*RESNET, *fine])["train.batch"] < 3
    assert load_recipe("multimix", overrides=["train.batch=1", "data.size=32"])["data.size"] == 32


@pytest.mark.parametrize(("task", "name"), [("enc", "weak"), ("unet", "segmentation")])
def test_labelled_images_need_their_augmentation(task, name, tmp_path):
    layer = toml.with_parents(toml.locate(task))
    toml.drop(layer.values, f"augment.{name}")
    recipe = tmp_path / "r.toml"
    recipe.write_text(tomli_w.dumps(layer.values))
    assert f"augment.{name}: missing, and the labelled images of" in refusal(recipe)


class Counted(api.Metric):
    """A metric that gives no score by which weights could be chosen."""

    task = "classification"

    def __init__(self, names, *, broken: bool = False):
        self.seen, self.broken = 0, broken

    def update(self, logits, target, ids):
        if self.broken:
            raise IndexError("no such class")
        self.seen += len(ids)

    def merge(self, other):
        self.seen += other.seen

    def compute(self):
        return {"seen": float(self.seen)}


def test_the_metric_of_a_task_gives_the_score_that_selects(monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["metric"], "counted", f"{__name__}:Counted")
    text = refusal("enc", "metric.classification.use=counted")
    assert '--set: metric.classification.use = "counted" gives no macro-f1' in text
    assert "add yours as a table of its own, [metric.NAME]" in text
    assert load_recipe("enc", overrides={"metric.mine.use": "counted"})["metric.mine.use"] == "counted"
    text = refusal("enc", "metric.classification.use=counted", "metric.classification.broken=true")
    assert "metric/counted fails on a small batch of classification: IndexError: no such class (" in text
    text = refusal("enc", "metric.mine.use=counted", "metric.mine.broken=true")
    assert text.startswith("--set: metric/counted fails on a small batch of classification: IndexError")


class Columns(Counted):
    """A metric whose values per image belong to none."""

    def per_image(self):
        return {"loss": [0.0, 1.0]}


@pytest.mark.parametrize("name", ["classification", "mine"])
def test_values_per_image_of_a_metric_have_their_ids(name, monkeypatch):
    monkeypatch.setitem(catalog.BUILTINS["metric"], "columns", f"{__name__}:Columns")
    text = refusal("enc", f"metric.{name}.use=columns")
    assert text.startswith(f"--set: metric.{name}: per_image() gives columns without 'id'")


def test_weights_files_are_opened(tmp_path):
    save_file({"weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    for key, name, words in [
        ("encoder.weights", "none.safetensors", "no such weights file."),
        ("encoder.weights", "torn.safetensors", "damaged"),
        ("encoder.weights", "other.safetensors", "does not fit this network"),
        ("init", "other.safetensors", "does not fit this network"),
    ]:
        recipe = load_recipe("multimix", overrides={key: str(tmp_path / name)})
        (problem,) = sketch.wrong_weights(recipe)
        assert str(problem).startswith(f"--set: {key}: {tmp_path / name}")
        assert words in str(problem)
    recipe = load_recipe("multimix", overrides={"encoder.width": 4, "decoder.width": 4})
    net = build.build_model(recipe)
    own = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    save_file(own, tmp_path / "w.safetensors")
    fine = {"encoder.width": 4, "decoder.width": 4, "init": str(tmp_path / "w.safetensors")}
    fine["encoder.weights"] = fine["init"]
    assert not list(sketch.wrong_weights(load_recipe("multimix", overrides=fine)))


@pytest.mark.long
@pytest.mark.parametrize("key", ["encoder.weights", "init"])
def test_check_refuses_weights_in_the_words_of_the_run(key, tmp_path):
    small = {"encoder.width": 4, "decoder.width": 4}
    net = build.build_model(load_recipe("multimix", overrides=small))
    weights = {name: tensor.contiguous() for name, tensor in net.state_dict().items()}
    name = next(name for name, tensor in weights.items() if tensor.dim() == 4)
    nan = weights[name].clone()
    nan.view(-1)[3] = float("nan")
    save_file({**weights, name: nan}, tmp_path / "nan.safetensors")
    save_file(weights, tmp_path / "w.safetensors")
    (tmp_path / "cut.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-9])
    torch.save({**weights, "args": Path("x")}, tmp_path / "code.pt")
    torch.save(weights, tmp_path / "w.pt")
    check(load_recipe("multimix", overrides={**small, key: str(tmp_path / "w.pt")}))
    for file, values, words in [
        ("none.safetensors", {}, "no such weights file."),
        ("cut.safetensors", {}, "damaged"),
        ("code.pt", {}, "it is a pickle that holds more than weights, which may be code."),
        ("w.safetensors", {"encoder.width": 8}, "does not fit this network"),
        ("nan.safetensors", {}, f"1 of {nan.numel():,} values is not finite."),
    ]:
        recipe = load_recipe("multimix", overrides={**small, **values, key: str(tmp_path / file)})
        with pytest.raises(MmtkError) as of_check:
            check(recipe)
        with pytest.raises(MmtkError) as of_run:
            build.build_model(recipe)
        assert words in str(of_check.value)
        assert of_run.value.message.partition(": ")[0] in str(of_check.value)  # the classes of the data come later
        assert of_run.value.hint in str(of_check.value)


def test_a_wrong_key_hides_no_part_that_does_not_fit():
    text = refusal("multimix", "ssl.treshold=0.9", "bridge.stride=3", "train.lr=x", "data.size=70")
    assert text.startswith("What --set says of ")
    assert "has 4 problems:" in text
    for words in (
        "ssl.treshold: unknown key",
        "bridge: joins at stride 3",
        "train.lr: should",
        "data.size: 70 is",
    ):
        assert f"--set: {words}" in text
