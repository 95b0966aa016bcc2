"""PyMIC as its examples have it: a U-Net for masks, resnet18 for classes, each an agent with a configuration file.

The files follow ``seg_full_sup/2d_JSRT/config/unet.cfg`` and ``classification/CHNCXR/config/net_resnet18.cfg`` of
PyMIC_examples: the same transforms with crops of 7/8 of the side, batches of four, losses and optimisers. Their
UNet2D is called UNet in 0.6.2; no weights are loaded; and images are read in this process, since eight new
workers for ten images cost more than the images. An agent's ``run`` asks for ``cuda:0`` by name, so its parts are
called here in its order, on the CPU.
"""

from __future__ import annotations

import csv
import json
from argparse import Namespace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import shared
import torch
from PIL import Image
from pymic.net_run.agent_cls import ClassificationAgent
from pymic.net_run.agent_seg import SegmentationAgent
from pymic.util.parse_config import parse_config, synchronize_config
from torch.utils.data import DataLoader

BATCH, INTERVAL = 10, 25  # images of a batch in validation, steps between two validations
CONFIGURATION = """
[dataset]
tensor_type = float
root_dir = {folder}
train_dir = {folder}
train_csv = labelled.csv
valid_csv = val.csv
train_batch_size = 4
valid_batch_size = 10
num_worker = 0
modal_num = 1
RandomCrop_output_size = [{crop}, {crop}]
{data}
[network]
class_num = 2
{net}
[training]
random_seed = {seed}
gpus = [0]
learning_rate = 1e-3
momentum = 0.9
weight_decay = 1e-5
lr_gamma = 0.5
iter_valid = {interval}
{training}
[testing]
gpus = [0]
"""
SEGMENTATION = {
    "data": """task_type = seg
train_transform = [NormalizeWithMeanStd, RandomCrop, LabelConvert, LabelToProbability]
valid_transform = [NormalizeWithMeanStd, LabelConvert, LabelToProbability]
NormalizeWithMeanStd_channels = [0]
LabelConvert_source_list = [0, 255]
LabelConvert_target_list = [0, 1]
""",
    "net": """net_type = UNet
in_chns = 1
feature_chns = [16, 32, 64, 128, 256]
dropout = [0, 0, 0.3, 0.4, 0.5]
""",
    "training": """loss_type = DiceLoss
optimizer = Adam
lr_scheduler = MultiStepLR
lr_milestones = [1500, 3000, 4500]
""",
}
CLASSIFICATION = {
    "data": """task_type = cls
train_transform = [RandomCrop, RandomFlip, GrayscaleToRGB, NormalizeWithMeanStd, LabelToProbability]
valid_transform = [CenterCrop, GrayscaleToRGB, NormalizeWithMeanStd, LabelToProbability]
CenterCrop_output_size = [{crop}, {crop}]
RandomFlip_flip_depth = False
RandomFlip_flip_height = False
RandomFlip_flip_width = True
NormalizeWithMeanStd_channels = [0, 1, 2]
""",
    "net": """net_type = resnet18
pretrain = False
input_chns = 3
update_mode = all
""",
    "training": """loss_type = CrossEntropyLoss
optimizer = SGD
lr_scheduler = StepLR
lr_step = 1000
""",
}


class Training:
    """The agent of one task, ready for its steps.

    wish: what ``shared.request`` gave
    task: classification or segmentation
    """

    def __init__(self, wish: dict[str, Any], task: str) -> None:
        self.wish, self.masks = wish, task == "segmentation"
        self.parts = wish["parts"][task]
        for part in ("labelled", "val"):
            self.files(part)
        self.agent = (SegmentationAgent if self.masks else ClassificationAgent)(self.configuration(), "train")
        self.agent.create_dataset()
        self.agent.create_network()
        self.agent.device = torch.device("cpu")
        self.agent.create_optimizer(self.agent.get_parameters_to_update())
        self.agent.create_loss_calculator()
        self.agent.trainIter = iter(self.agent.train_loader)

    def configuration(self) -> dict[str, Any]:
        words = SEGMENTATION if self.masks else CLASSIFICATION
        crop = self.wish["size"] * 7 // 8
        sections = {name: lines.format(crop=crop) for name, lines in words.items()}
        values = {"folder": Path.cwd(), "crop": crop, "seed": self.wish["seed"], "interval": INTERVAL}
        text = CONFIGURATION.format(**values, **sections)
        Path("task.cfg").write_text(text, encoding="utf-8")
        configuration: dict[str, Any] = synchronize_config(parse_config(Namespace(cfg="task.cfg")))
        return configuration

    def files(self, part: str) -> None:
        """PNG images of the run size, and the list of them and their labels, as PyMIC reads them."""
        size, rows = self.wish["size"], []
        for number, item in enumerate(self.parts[part]):
            name, label = f"{part}-{number}.png", item["target"]
            pixels = shared.picture(item["image"], size)[0]
            Image.fromarray(((pixels + 1) * 127.5).round().astype("uint8")).save(name)
            if self.masks:
                mask, label = (255 * shared.mask(label, size)[0]).astype("uint8"), f"{part}-{number}-mask.png"
                Image.fromarray(mask).save(label)
            rows.append((name, label))
        with open(f"{part}.csv", "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("image", "label"), *rows])

    def train(self) -> None:
        self.agent.training()
        self.agent.scheduler.step()

    @torch.no_grad()
    def score(self, part: str) -> float:
        loader = self.agent.valid_loader
        if part == "test":
            self.files(part)
            self.agent.config["dataset"]["valid_csv"] = "test.csv"
            loader = DataLoader(self.agent.get_stage_dataset_from_config("valid"), batch_size=BATCH)
        self.agent.net.eval()
        outputs, labels = [], []
        for batch in loader:
            outputs += list(self.agent.net(batch["image"].float()).softmax(1)[:, 1])
            labels += list(batch["label_prob"][:, 1])
        if self.masks:
            return shared.dice([(p > 0.5).float().numpy() for p in outputs], [m.numpy() for m in labels])
        return shared.auroc([float(p) for p in outputs], [int(label) for label in labels])


def main() -> None:
    """The training of one task, the only one with a goal."""
    wish = shared.request()
    clock = shared.Clock(wish)
    [(task, goal)] = wish["goals"].items()
    training = Training(wish, task)
    tasks = {task: shared.until(goal, clock, training.train, training.score)}
    versions = {"PYMIC": version("PYMIC"), "torch": torch.__version__}
    print(json.dumps({"versions": versions, "tasks": tasks}))


if __name__ == "__main__":
    main()
