# SPDX-License-Identifier: Apache-2.0
"""MILA (Han et al. 2024, arXiv 2405.16605), from its formulas, under the public model's names."""
import torch
import torch.nn.functional as F
from torch import nn

from parts import Mlp, Staged, conv3x3, depthwise, heads, rotated


class Attention(nn.Module):
    def __init__(self, C, h):
        super().__init__()
        self.h, self.qk, self.lepe = h, nn.Linear(C, 2 * C), conv3x3(C)

    def forward(self, x, H, W):
        q, k = (F.elu(t) + 1 for t in self.qk(x).chunk(2, -1))
        q_turned, k_turned, v = (heads(t, self.h) for t in (rotated(q, H, W), rotated(k, H, W), x))
        q, k = heads(q, self.h), heads(k, self.h)
        z = 1 / (q @ k.mean(2, keepdim=True).transpose(2, 3) + 1e-6)
        y = q_turned @ (k_turned.transpose(2, 3) @ v / x.shape[1]) * z
        return y.transpose(1, 2).flatten(2) + depthwise(self.lepe, x, H, W)


class Block(nn.Module):
    def __init__(self, C, h):
        super().__init__()
        self.cpe1, self.norm1, self.in_proj, self.act_proj = conv3x3(C), nn.LayerNorm(C), nn.Linear(C, C), nn.Linear(C, C)
        self.dwc, self.attn, self.out_proj = conv3x3(C), Attention(C, h), nn.Linear(C, C)
        self.cpe2, self.norm2, self.mlp = conv3x3(C), nn.LayerNorm(C), Mlp(C)

    def forward(self, x, H, W):
        x = x + depthwise(self.cpe1, x, H, W)
        u = self.norm1(x)
        g = F.silu(self.act_proj(u))
        u = F.silu(depthwise(self.dwc, self.in_proj(u), H, W))
        x = x + self.out_proj(self.attn(u, H, W) * g)
        x = x + depthwise(self.cpe2, x, H, W)
        return x + self.mlp(self.norm2(x))


class Conv(nn.Module):
    def __init__(self, I, O, k, s=1, groups=1, bias=False, norm=True, act=True):
        super().__init__()
        self.conv = nn.Conv2d(I, O, k, s, k // 2, groups=groups, bias=bias)
        self.norm, self.act = nn.BatchNorm2d(O) if norm else nn.Identity(), act

    def forward(self, x):
        x = self.norm(self.conv(x))
        return F.relu(x) if self.act else x


class Stem(nn.Module):
    def __init__(self, E):
        super().__init__()
        e = E // 2
        self.conv1, self.conv2 = Conv(3, e, 3, 2), nn.Sequential(Conv(e, e, 3), Conv(e, e, 3, act=False))
        self.conv3 = nn.Sequential(Conv(e, 4 * E, 3, 2), Conv(4 * E, E, 1, act=False))

    def forward(self, x):
        x = self.conv1(x)
        return self.conv3(x + self.conv2(x))


class Downsample(nn.Module):
    def __init__(self, C):
        super().__init__()
        w = 8 * C
        self.conv = nn.Sequential(Conv(C, w, 1, bias=True, norm=False), Conv(w, w, 3, 2, w, bias=True, norm=False),
                                  Conv(w, 2 * C, 1, bias=True, act=False))

    def forward(self, x):
        return self.conv(x)


class Stage(nn.Module):
    def __init__(self, C, h, depth, last):
        super().__init__()
        self.blocks = nn.ModuleList(Block(C, h) for _ in range(depth))
        self.downsample = None if last else Downsample(C)

    def forward(self, x):
        H, W = x.shape[2:]
        t = x.flatten(2).transpose(1, 2)
        for block in self.blocks:
            t = block(t, H, W)
        x = t.transpose(1, 2).unflatten(2, (H, W))
        return x if self.downsample is None else self.downsample(x)


class Mila(Staged):
    def __init__(self, E=64, depths=(2, 4, 8, 4), h=(2, 4, 8, 16), classes=1000):
        super().__init__(Stem(E), (Stage(E << s, h[s], depths[s], s == 3) for s in range(4)), 8 * E, classes)
