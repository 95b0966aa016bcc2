"""Results of nnU-Net v2 on tiny masks: its folders, and the summaries that its own code writes."""

from pathlib import Path

import numpy as np
import SimpleITK
from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

DATASET, CASES, FOLDS = "Dataset007_Lung", 15, 5


def write(path: Path, mask: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = SimpleITK.GetImageFromArray(mask.astype(np.uint8))
    image.SetSpacing((1.5, 1.5, 3.0))
    SimpleITK.WriteImage(image, str(path), useCompression=True)


def main() -> None:
    rng = np.random.default_rng(7)
    truth = Path("nnUNet_preprocessed") / DATASET / "gt_segmentations"
    names = [f"lung_{number:03d}" for number in range(CASES)]
    masks = {}
    for number, name in enumerate(names):
        mask = np.zeros((4, 8, 8), np.uint8)
        mask[:, 1:7, 1:4] = 1
        if number % 7:  # two cases have no second structure
            mask[1:3, 2 : 5 + number % 3, 5:7] = 2
        masks[name] = mask
        write(truth / f"{name}.nii.gz", mask)
    for configuration, share in (("2d", 0.12), ("3d_fullres", 0.05)):
        model = Path("nnUNet_results") / DATASET / f"nnUNetTrainer__nnUNetPlans__{configuration}"
        for fold in range(FOLDS):
            folder = model / f"fold_{fold}" / "validation"
            for name in names[fold::FOLDS]:
                mask = masks[name].copy()
                mask[(rng.random(mask.shape) < share) & (mask > 0)] = 0
                write(folder / f"{name}.nii.gz", mask)
            compute_metrics_on_folder(
                str(truth),
                str(folder),
                str(folder / "summary.json"),
                SimpleITKIO(),
                ".nii.gz",
                [1, 2],
                num_processes=1,
            )
        merged = model / "crossval_results_folds_0_1_2_3_4"
        for fold in range(FOLDS):
            for path in (model / f"fold_{fold}" / "validation").glob("*.nii.gz"):
                merged.mkdir(exist_ok=True)
                (merged / path.name).write_bytes(path.read_bytes())
        compute_metrics_on_folder(
            str(truth),
            str(merged),
            str(merged / "summary.json"),
            SimpleITKIO(),
            ".nii.gz",
            [1, 2],
            num_processes=1,
        )
        for path in merged.glob("*.nii.gz"):
            path.unlink()  # the same masks once more


if __name__ == "__main__":
    main()
