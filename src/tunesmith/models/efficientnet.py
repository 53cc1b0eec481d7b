"""EfficientNet-Lite0: a small network that was trained to name photographs, here to say how alike pictures are.

Blocks of expansion, depthwise convolution and projection (https://arxiv.org/abs/1905.11946); the Lite kind has no
squeeze-and-excitation, and ReLU6 throughout. The last layer, which names, is left out.

Shapes: N pictures, C channels, H and W.
"""

from pathlib import Path

import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

SIDE = 224  # pixels of what it was trained on
WIDTH = 1280  # of what it says
_STAGES = (  # blocks, kernel, stride, expansion, channels in and out
    (1, 3, 1, 1, 32, 16),
    (2, 3, 2, 6, 16, 24),
    (2, 5, 2, 6, 24, 40),
    (3, 3, 2, 6, 40, 80),
    (3, 5, 1, 6, 80, 112),
    (4, 5, 2, 6, 112, 192),
    (1, 3, 1, 6, 192, 320),
)


class Padded(nn.Conv2d):
    """A convolution that pads as TensorFlow does, where the weights come from: the odd pixel at the right and below."""

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.kernel_size[0], self.stride[0]
        missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
        high, wide = missing
        return super().forward(F.pad(x, (wide // 2, wide - wide // 2, high // 2, high - high // 2)))


def _layer(inner: int, outer: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Sequential:
    convolution = Padded(inner, outer, kernel, stride, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outer, eps=1e-3))


class Block(nn.Module):
    def __init__(self, kernel: int, stride: int, expansion: int, inner: int, outer: int) -> None:
        super().__init__()
        wide = inner * expansion
        self.expand = _layer(inner, wide) if expansion > 1 else None
        self.depthwise = _layer(wide, wide, kernel, stride, groups=wide)
        self.project = _layer(wide, outer)
        self.adds = stride == 1 and inner == outer

    def forward(self, x: Tensor) -> Tensor:
        made = x if self.expand is None else F.relu6(self.expand(x))
        made = self.project(F.relu6(self.depthwise(made)))
        return x + made if self.adds else made


class EfficientNetLite0(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem = _layer(3, 32, 3, 2)
        self.blocks = nn.Sequential(
            *(
                Block(kernel, stride if place == 0 else 1, expansion, inner if place == 0 else outer, outer)
                for count, kernel, stride, expansion, inner, outer in _STAGES
                for place in range(count)
            )
        )
        self.head = _layer(320, WIDTH)

    def forward(self, pictures: Tensor) -> Tensor:
        """(N, 3, H, W), 0 to 255 -> (N, WIDTH)"""
        x = F.relu6(self.stem((pictures - 127) / 128))
        return F.relu6(self.head(self.blocks(x))).mean((2, 3))


def load_efficientnet(path: Path) -> EfficientNetLite0:
    """-> the network with the weights of the catalogue's entry, frozen."""
    network = EfficientNetLite0()
    network.load_state_dict(load_file(path))
    return network.eval().requires_grad_(False)
