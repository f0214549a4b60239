# SPDX-License-Identifier: Apache-2.0
"""Vim (Zhu et al. 2024, arXiv 2401.09417), from its formulas, under the public model's names."""
import torch
from torch import nn

from language import Mamba
from parts import RMSNorm


class Layer(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.norm, self.mixer = RMSNorm(C), Mamba(C, bidirectional=True)


class PatchEmbed(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.proj = nn.Conv2d(3, C, 16, 16)


class Vim(nn.Module):
    def __init__(self, C=192, depth=24, patches=196, classes=1000):
        super().__init__()
        self.patch_embed = PatchEmbed(C)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, C))
        self.pos_embed = nn.Parameter(torch.zeros(1, patches + 1, C))
        self.layers = nn.ModuleList(Layer(C) for _ in range(depth))
        self.norm_f, self.head = RMSNorm(C), nn.Linear(C, classes)

    def forward(self, picture):
        x = self.patch_embed.proj(picture).flatten(2).transpose(1, 2)
        middle = x.shape[1] // 2
        x = torch.cat([x[:, :middle], self.cls_token.expand(len(x), 1, -1), x[:, middle:]], 1) + self.pos_embed
        for layer in self.layers:
            x = x + layer.mixer(layer.norm(x))
        return self.head(self.norm_f(x[:, middle]))
