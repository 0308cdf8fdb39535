"""Draw ``docs/images/creatures.png``: ``python docs/creatures_figure.py``.

The classes, where the parts are, and one creature with changes.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from pellucid.data import Creatures, CreatureSettings, Difficulty

PICTURE = Path(__file__).parent / "images" / "creatures.png"
SIDE, GAP, CAPTION = 96, 6, 18
PER_ROW = 10
TINTS = np.array([(230, 60, 60), (40, 90, 230), (250, 170, 20), (30, 160, 80), (150, 60, 200)])
PAPER, INK = (255, 255, 255), (45, 45, 55)


def as_pictures(pixels: torch.Tensor) -> list[np.ndarray]:
    return list(pixels.permute(0, 2, 3, 1).numpy())


def with_masks(images: Creatures, indices: torch.Tensor) -> list[np.ndarray]:
    """Tint each part of some pictures, dim the rest, and mark the centers."""
    found = images.annotations(indices)
    shown = []
    for number, picture in enumerate(as_pictures(images.read(indices))):
        grey = picture.mean(axis=2, keepdims=True).repeat(3, axis=2)
        tinted = 0.35 * grey + 0.65 * 255
        for part, mask in enumerate(found.masks[number].numpy()):
            tinted[mask] = 0.45 * grey[mask] + 0.55 * TINTS[part]
        drawn = Image.fromarray(tinted.astype(np.uint8))
        draw = ImageDraw.Draw(drawn)
        for row, column in found.centers_px[number].tolist():
            if row == row:
                draw.ellipse(
                    [column - 2.5, row - 2.5, column + 2.5, row + 2.5], fill="white", outline=INK
                )
        shown.append(np.asarray(drawn))
    return shown


def main() -> None:
    easy = Creatures(
        CreatureSettings(difficulty=Difficulty(pose=0.25, occlusion=0, clutter=0.3)),
        image_size=(SIDE, SIDE),
    )
    images = Creatures(CreatureSettings(), image_size=(SIDE, SIDE))
    classes = as_pictures(easy.read(torch.arange(20)))
    masked = torch.tensor([21, 52, 44, 46, 48])
    one = torch.tensor([55])
    changes = [
        ("as it is", images.read(one)),
        ("without wings", images.without_part(one, "wings")),
        ("without eyes", images.without_part(one, "eyes")),
        ("other ears", images.with_variant(one, "ears", 1)),
        ("other feet", images.with_variant(one, "feet", 0)),
        ("other beak", images.with_variant(one, "beak", 1)),
        ("background", images.with_background(one, 8)),
        ("background", images.with_background(one, 4)),
        ("no objects", images.without_objects(one)),
        ("no part", images.without_part(one, images.part_names)),
    ]
    pairs = [
        entry
        for plain, tinted in zip(
            as_pictures(images.read(masked)), with_masks(images, masked), strict=True
        )
        for entry in (("", plain), ("", tinted))
    ]
    tiles = [
        *zip(easy.class_names, classes, strict=True),
        *pairs,
        *((name, as_pictures(pixels)[0]) for name, pixels in changes),
    ]
    rows = len(tiles) // PER_ROW
    width = PER_ROW * (SIDE + GAP) - GAP
    sheet = Image.new("RGB", (width, rows * (SIDE + CAPTION + GAP)), PAPER)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for number, (name, picture) in enumerate(tiles):
        x = number % PER_ROW * (SIDE + GAP)
        y = number // PER_ROW * (SIDE + CAPTION + GAP)
        sheet.paste(Image.fromarray(picture), (x, y))
        draw.text((x + SIDE / 2, y + SIDE + 2), name, fill=INK, font=font, anchor="ma")
    # The colors of the parts, under the row with the masks.
    x, y = 0, 2 * (SIDE + CAPTION + GAP) + SIDE + 2
    for part, name in enumerate(images.part_names):
        draw.rectangle([x, y + 2, x + 11, y + 13], fill=tuple(TINTS[part].tolist()))
        draw.text((x + 16, y), name, fill=INK, font=font)
        x += 2 * (SIDE + GAP)
    sheet.quantize(256, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE}: {PICTURE.stat().st_size / 1024:.0f} KiB, {sheet.size}")


if __name__ == "__main__":
    main()
