# SPDX-License-Identifier: Apache-2.0
"""What the networks share, from the papers' formulas: selective scans, rotary positions, linear attention, MLPs."""
import math

import torch
import torch.nn.functional as F
from torch import nn


def selective_scan(u, dt, A, B, C, D, z=None):
    """Mamba-1: u, dt, z [b, T, c], A [c, n], B, C [b, T, n] or [b, T, c, n]; dt is after its softplus."""
    if B.dim() == 3:
        B, C = B[:, :, None], C[:, :, None]
    h, out = torch.zeros(u.shape[0], u.shape[2], A.shape[1], dtype=u.dtype), []
    for t in range(u.shape[1]):
        h = torch.exp(dt[:, t, :, None] * A) * h + B[:, t] * (dt[:, t] * u[:, t])[..., None]
        out.append((h * C[:, t]).sum(-1))
    y = torch.stack(out, 1) + D * u
    return y if z is None else y * F.silu(z)


def rotations(H, W, C):
    """cos and sin of 2-D RoPE for the C / 2 pairs of channels of every pixel, [H, W, C / 2]."""
    theta = 10000 ** (-torch.arange(C // 4, dtype=torch.float64) / (C // 4))
    i, j = torch.arange(H, dtype=torch.float64), torch.arange(W, dtype=torch.float64)
    angle = torch.cat([(i[:, None, None] * theta).expand(H, W, -1), (j[None, :, None] * theta).expand(H, W, -1)], -1)
    return torch.cos(angle).float(), torch.sin(angle).float()


def rotated(x, H, W):
    """RoPE of tokens [b, H W, C]: pairs of neighbouring channels."""
    cos, sin = (t.reshape(1, H * W, -1) for t in rotations(H, W, x.shape[2]))
    re, im = x[..., 0::2], x[..., 1::2]
    return torch.stack([re * cos - im * sin, re * sin + im * cos], -1).flatten(2)


def heads(x, h):
    return x.unflatten(2, (h, -1)).transpose(1, 2)  # [b, h, n, d]


def depthwise(conv, x, H, W):
    """A convolution of tokens [b, H W, C] that are an image."""
    return conv(x.transpose(1, 2).unflatten(2, (H, W))).flatten(2).transpose(1, 2)


def conv3x3(C, bias=True):
    return nn.Conv2d(C, C, 3, padding=1, groups=C, bias=bias)


class RMSNorm(nn.Module):
    def __init__(self, C, eps=1e-5):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(C)), eps

    def forward(self, x):
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Mlp(nn.Module):
    def __init__(self, C, ratio=4):
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(C, ratio * C), nn.Linear(ratio * C, C)

    def forward(self, x):
        return self.fc2(F.gelu(self.fc1(x)))


class Staged(nn.Module):
    """A stem, stages of pictures [b, C, H, W], and class scores of the mean of the normalised tokens."""

    def __init__(self, patch_embed, stages, C, classes):
        super().__init__()
        self.patch_embed, self.layers = patch_embed, nn.ModuleList(stages)
        self.norm, self.head = nn.LayerNorm(C), nn.Linear(C, classes)

    def forward(self, x):
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.head(self.norm(x.flatten(2).transpose(1, 2)).mean(1))


def randomise(module, seed):
    """Weights with which no part of a network is idle and nothing overflows: not those of a beginning."""
    g = torch.Generator().manual_seed(seed)
    for name, p in list(module.named_parameters()) + list(module.named_buffers()):
        last = name.rsplit(".", 1)[-1]
        with torch.no_grad():
            if last == "num_batches_tracked":
                continue
            if last == "running_var":
                p.uniform_(0.5, 2, generator=g)
            elif "log" in last:  # rates
                p.uniform_(-1, 1, generator=g)
            elif p.dim() <= 1:
                centre = 1 if last in ("weight", "D", "Ds") else 0
                p.normal_(centre, 0.2, generator=g)
            else:
                p.normal_(0, 1 / math.sqrt(p[0].numel()), generator=g)
    return module.eval()
