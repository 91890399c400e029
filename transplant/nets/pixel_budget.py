"""How many images go through a net together. Nothing here needs torch."""

from __future__ import annotations


def images_at_once(image_px: int, most: int = 128, pixels: int = 1 << 19) -> int:
    """Return how many square images go through a net together: memory follows pixels, not images.

    Args:
        image_px: their side.
        most: for small images.
        pixels: of all images of a chunk. The default suits a backward pass: about 0.5 GB of VGG-16's maps
            at any size; passes without a graph may take twice as many.
    """
    return max(1, min(most, pixels // image_px**2))
