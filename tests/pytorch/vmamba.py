# SPDX-License-Identifier: Apache-2.0
"""VMamba (Liu et al. 2024, arXiv 2401.10166), from its formulas, under the public model's names."""
import torch
import torch.nn.functional as F
from torch import nn

from parts import Mlp, selective_scan


class LayerNorm2d(nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class SS2D(nn.Module):
    def __init__(self, C, N=1, ratio=1):
        super().__init__()
        D, R, self.N = ratio * C, -(-C // 16), N
        self.in_proj, self.out_proj = nn.Linear(C, D, bias=False), nn.Linear(D, C, bias=False)
        self.conv2d, self.out_norm = nn.Conv2d(D, D, 3, padding=1, groups=D, bias=False), nn.LayerNorm(D)
        self.x_proj_weight = nn.Parameter(torch.zeros(4, R + 2 * N, D))
        self.dt_projs_weight, self.dt_projs_bias = nn.Parameter(torch.zeros(4, D, R)), nn.Parameter(torch.zeros(4, D))
        self.A_logs, self.Ds = nn.Parameter(torch.zeros(4 * D, N)), nn.Parameter(torch.ones(4 * D))

    def forward(self, x):  # [b, H, W, C]
        b, H, W, _ = x.shape
        x = F.silu(self.conv2d(self.in_proj(x).permute(0, 3, 1, 2)))
        D = x.shape[1]
        rows, columns = x.flatten(2), x.transpose(2, 3).flatten(2)
        ways = torch.stack([rows, columns, rows.flip(2), columns.flip(2)], 1).transpose(2, 3)  # [b, 4, L, D]
        proj = torch.einsum("bkld,kcd->bklc", ways, self.x_proj_weight)
        dt, B, C = proj.split([proj.shape[-1] - 2 * self.N, self.N, self.N], -1)
        dt = F.softplus(torch.einsum("bklr,kdr->bkld", dt, self.dt_projs_weight) + self.dt_projs_bias[:, None])
        A, skip = -torch.exp(self.A_logs).view(4, D, self.N), self.Ds.view(4, D)
        y = [selective_scan(ways[:, k], dt[:, k], A[k], B[:, k], C[:, k], skip[k]) for k in range(4)]
        by_rows, by_columns = y[0] + y[2].flip(1), y[1] + y[3].flip(1)
        y = by_rows.view(b, H, W, D) + by_columns.view(b, W, H, D).transpose(1, 2)
        return self.out_proj(self.out_norm(y))


class Block(nn.Module):
    def __init__(self, C):
        super().__init__()
        self.norm, self.op, self.norm2, self.mlp = nn.LayerNorm(C), SS2D(C), nn.LayerNorm(C), Mlp(C)

    def forward(self, x):
        x = x + self.op(self.norm(x))
        return x + self.mlp(self.norm2(x))


class Stage(nn.Module):
    def __init__(self, C, depth, last):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(C) for _ in range(depth)))
        nothing = nn.Identity()
        self.downsample = nothing if last else nn.Sequential(nothing, nn.Conv2d(C, 2 * C, 3, 2, 1), nothing, LayerNorm2d(2 * C))

    def forward(self, x):
        return self.downsample(self.blocks(x.movedim(1, -1)).movedim(-1, 1))


class Classifier(nn.Module):
    def __init__(self, C, classes):
        super().__init__()
        self.norm, self.head = LayerNorm2d(C), nn.Linear(C, classes)


class VMamba(nn.Module):
    def __init__(self, E=96, depths=(2, 2, 8, 2), classes=1000):
        super().__init__()
        nothing = nn.Identity()
        self.patch_embed = nn.Sequential(nn.Conv2d(3, E // 2, 3, 2, 1), nothing, LayerNorm2d(E // 2), nothing, nn.GELU(),
                                         nn.Conv2d(E // 2, E, 3, 2, 1), nothing, LayerNorm2d(E))
        self.layers = nn.ModuleList(Stage(E << s, depths[s], s == 3) for s in range(4))
        self.classifier = Classifier(8 * E, classes)

    def forward(self, x):
        x = self.patch_embed(x)
        for stage in self.layers:
            x = stage(x)
        return self.classifier.head(self.classifier.norm(x).mean((2, 3)))
