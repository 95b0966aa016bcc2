"""Folders called as those of a public set, with films of that set and with others."""

from __future__ import annotations

from pathlib import Path

from layout_inputs import film, mask

from mmtk.data.plan.profile import plan_folder


def test_only_films_named_as_the_public_ones_are_read_by_the_source_of_the_set(tmp_path: Path) -> None:
    for use, names in (
        ("chex", ("IM-{:04}-0001", "person{}_virus_1")),
        ("chex", ("NORMAL-{:07}-0001", "BACTERIA-{:07}-0002")),
        ("folder", ("pat{}_a", "pat{}_b")),
    ):
        root = tmp_path / names[0][:3]
        for part, start, size in (("train", 0, 8), ("val", 20, 3), ("test", 40, 4)):
            for folder, name in zip(("NORMAL", "PNEUMONIA"), names, strict=True):
                for n in range(start, start + size):
                    film(root / part / folder / f"{name.format(n)}.png")
        text = plan_folder(root, tmp_path / f"{root.name}.toml").text
        assert f'use = "{use}"' in text, names
    for use, name in (("mcu", "MCUCXR_{:04}_0"), ("folder", "film{}")):
        root = tmp_path / use
        for n in range(12):
            film(root / "CXR_png" / f"{name.format(n)}.png")
            for side in ("leftMask", "rightMask"):
                mask(root / "ManualMask" / side / f"{name.format(n)}.png")
        assert f'use = "{use}"' in plan_folder(root, tmp_path / f"{use}.toml").text, name
