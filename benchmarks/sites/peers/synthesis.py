"""Data-free synthesis for distillation: a generator learns a batch at a time, and a pool keeps the batches.

What DENSE and Co-Boosting share, as both authors' programs do it. In each of T rounds fresh noise z and
labels y are drawn, a fresh generator and z itself learn for T_G steps by the method's own loss, the best
batch joins the pool, and the student learns from one pass over the pool, shifted and mirrored. The pool of
round t has t batches, so T rounds are T (T + 1) / 2 steps of the student: the budget of the center is in
these steps, and T follows from it (T = 200, as DENSE has it, is 20,100 steps).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from benchmarks.sites.peers.generator import Generator
from benchmarks.sites.peers.multi_category_net import answer
from edge.teach.augment import Augmentation
from transplant.nets.measures import as_images

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from transplant.types import Precision


@dataclass(frozen=True)
class SynthesisSettings:
    """The numbers that both papers share."""

    latent: int = 256
    channels: int = 64
    steps: int = 30
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.5, 0.999)
    gradient_norm: float = 10.0


def rounds_within(student_steps: int) -> int:
    """Return the largest T with T (T + 1) / 2 <= `student_steps`, at least 1."""
    return max(1, (math.isqrt(8 * student_steps + 1) - 1) // 2)


def steps_of(rounds: int) -> int:
    """Return how many steps the student takes in that many rounds."""
    return rounds * (rounds + 1) // 2


class Synthesiser:
    """Makes one batch after the other.

    Args:
        settings: of the generator and its training.
        image_px: side of the pictures.
        batch_size: pictures a batch.
        categories: that labels are drawn from.
        generator: of everything random.
        precision: of the generator's forward passes.
    """

    def __init__(
        self,
        settings: SynthesisSettings,
        image_px: int,
        batch_size: int,
        categories: Sequence[int],
        generator: torch.Generator,
        precision: Precision = "float32",
    ) -> None:
        self._settings = settings
        self._net = Generator(settings.latent, settings.channels, image_px)
        self._net.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue] - absent from the stubs
        self._batch_size = batch_size
        self._categories = torch.tensor(categories)
        self._generator = generator
        self._precision: Precision = precision

    def make(self, loss: Callable[[Tensor, Tensor], Tensor]) -> tuple[Tensor, Tensor]:
        """Let a fresh generator learn a batch by `loss`.

        Args:
            loss: of images (B, 3, H, W) in [0, 1] and labels (B,).

        Returns:
            The images of the step with the lowest loss, uint8, and their labels.
        """
        size, settings = self._batch_size, self._settings
        drawn = torch.randint(len(self._categories), (size,), generator=self._generator)
        labels = self._categories[drawn]
        noise = torch.randn(size, settings.latent, generator=self._generator).requires_grad_(True)
        self._net.start_anew(self._generator)
        self._net.train()
        learned = [*self._net.parameters(), noise]
        optimizer = torch.optim.Adam(learned, settings.learning_rate, betas=settings.betas)
        best, kept = math.inf, torch.empty(0)
        for _ in range(settings.steps):
            images = answer(self._net, noise, self._precision)
            value = loss(images, labels)
            if value.item() < best or len(kept) == 0:
                best, kept = value.item(), images.detach()
            optimizer.zero_grad()
            value.backward()
            nn.utils.clip_grad_norm_(self._net.parameters(), settings.gradient_norm)
            optimizer.step()
        return kept.mul(255).round().to(torch.uint8), labels


@dataclass
class ImagePool:
    """All batches so far, a byte a colour."""

    images: list[Tensor] = field(default_factory=list[Tensor])
    labels: list[Tensor] = field(default_factory=list[Tensor])

    def add(self, images_B3HW: Tensor, labels_B: Tensor) -> None:
        """Keep a batch."""
        self.images.append(images_B3HW)
        self.labels.append(labels_B)

    def one_pass(self, generator: torch.Generator) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield every picture once, in as many batches as were added: images in [0, 1], and labels."""
        images, labels = torch.cat(self.images), torch.cat(self.labels)
        augmentation = Augmentation(
            shift_px=images.shape[-1] // 8, zoom=0.0, contrast=0.0, mirror=True, exchange_colours=False
        )
        for chosen in torch.randperm(len(images), generator=generator).chunk(len(self.images)):
            moved, _ = augmentation.apply(images[chosen], None, generator)
            yield as_images(moved), labels[chosen]
