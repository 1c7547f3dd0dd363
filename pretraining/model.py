"""The pretraining model: encoder, decoder and templates under the three proxy tasks."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import LongTensor, Tensor, nn
from torch.nn import functional

from brainmvp.networks import NetworkConfig, build_encoder
from brainmvp.sequences import Sequence

from .decoder import build_decoder
from .losses import contrastive_loss, gather, share
from .masking import Plan, masked_views
from .recipe import Recipe
from .templates import template_patches


@dataclass(frozen=True)
class Reconstruction:
    """What one step computed. Views and reconstructions are (N, 1, X, Y, Z); features (N, ...), the coarsest."""

    first_view: Tensor
    second_view: Tensor
    target: Tensor
    first: Tensor
    second: Tensor
    first_feature: Tensor
    second_feature: Tensor


class Losses(NamedTuple):
    """The losses of one step, scalars on the device; `total` is the one to differentiate."""

    total: Tensor
    first: Tensor
    second: Tensor
    contrast: Tensor


class PretrainingModel(nn.Module):
    """Reconstruct sequences from two masked views of them and distil their templates.

    Encoder and decoder take one channel. The names of its entries and `checkpoint.export_published` give the
    published layout.
    """

    def __init__(self, network: NetworkConfig, recipe: Recipe, template_shape: tuple[int, int, int]) -> None:
        """network: of one channel; template_shape: voxels of each template."""
        super().__init__()
        self.recipe = recipe
        self.encoder = build_encoder(network)
        self.decoder = build_decoder(network)
        self.to(memory_format=torch.channels_last_3d)
        # In the order of `Sequence`; zeros, as the official code starts them.
        self.templates = nn.Parameter(torch.zeros(len(Sequence), *template_shape))

    def forward(self, images: Tensor, start: LongTensor, plan: Plan) -> Reconstruction:
        """Mask and reconstruct.

        Args:
            images: (B, M, X, Y, Z) patches of the studies, intensities about 0 to 1.
            start: (B, 3) place of each study's patch in the templates, voxels, on the CPU.
            plan: drawn by `draw_plan`, on the CPU.

        """
        patches = template_patches(
            self.templates, plan.sequence, start[plan.study], images.shape[2:], self.recipe.epsilon
        )
        first_view, second_view, target = masked_views(images, patches, plan.to(images.device))
        feature = self.encoder(torch.cat([first_view, second_view]))[-1]
        first, second = self.decoder(feature).chunk(2)
        first_feature, second_feature = feature.chunk(2)
        return Reconstruction(first_view, second_view, target, first, second, first_feature, second_feature)

    def losses(
        self, result: Reconstruction, epoch: int, counts: Items[int] = (), studies: LongTensor | None = None
    ) -> Losses:
        """Weigh the losses as the recipe says for this epoch; the squared error counts every voxel.

        counts: items of each process, where several train together. Then the contrast has the negatives of all, and
        the mean of the processes' gradients, which is what DDP takes, is the gradient of the mean over all items.
        studies: (sum(counts),) of the items of all processes, see `contrastive_loss`.
        """
        first = functional.mse_loss(result.first.float(), result.target.float())
        second = functional.mse_loss(result.second.float(), result.target.float())
        features = result.first_feature, result.second_feature
        if len(counts) > 1:
            first, second = first * share(counts), second * share(counts)
        total = self.recipe.first_weight * first + self.recipe.second_weight * second
        contrast = torch.zeros_like(total)
        if self.recipe.contrasts(epoch):
            if len(counts) > 1:
                features = gather(features[0], counts), gather(features[1], counts)
            contrast = contrastive_loss(*features, self.recipe.temperature, studies)
            total = total + self.recipe.contrast_weight * contrast
        return Losses(total, first, second, contrast)
