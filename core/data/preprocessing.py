"""What happens to an image before the network sees it. Belongs to the checkpoint."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """Resize to (height, width), scale to [0, 1], subtract ``mean``, divide by ``std``.

    ``crop_from``: the shorter side is resized to this many pixels and the centre is cropped, as
    ImageNet models are evaluated; None resizes straight to (height, width).
    """

    height: int
    width: int
    channels: int  # 1 grey, 3 RGB
    mean: tuple[float, ...]
    std: tuple[float, ...]
    crop_from: int | None = None
    interpolation: str = "bilinear"

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the network's input."""
        return (self.channels, self.height, self.width)

    def describe(self) -> str:
        """One line in words, for pages."""

        def numbers(values: tuple[float, ...]) -> str:
            return ", ".join(f"{v:.3f}".rstrip("0").rstrip(".") for v in values)

        crop = f", centre crop of {self.crop_from}" if self.crop_from else ""
        return (
            f"{self.height}×{self.width}{crop}, "
            f"mean ({numbers(self.mean)}), std ({numbers(self.std)})"
        )
