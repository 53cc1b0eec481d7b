"""How many tokens may pass at once: from the memory that is free and what a token leaves behind for the backward pass.

An estimate to begin with; a pass that does not fit is cut in half and done again.
"""

from typing import Any

import psutil
import torch

FEW, MANY = 256, 2048  # below, products are too small to be fast; above, nothing is gained


def tokens_per_pass(config: Any, dtype: torch.dtype, device: torch.device, reserved: int) -> int:
    """-> between `FEW` and `MANY`. `reserved` bytes are for weights, gradients and optimizer."""
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else psutil.virtual_memory().available
    most = int((free - reserved) * 0.6 / bytes_per_token(config, dtype))
    return max(FEW, min(MANY, most // 64 * 64))


def bytes_per_token(config: Any, dtype: torch.dtype) -> int:
    """What one token keeps in every layer until the backward pass, for blocks of any family, generously."""
    text = config.get_text_config()
    width, layers = text.hidden_size, text.num_hidden_layers
    inner = getattr(text, "intermediate_size", None) or 4 * width
    return layers * (10 * width + 4 * inner) * dtype.itemsize
