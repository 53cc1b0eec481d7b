"""The names that people know methods by. Some are a kind of their own, some a kind with settings.

`--method NAME`, `method: NAME` and `tunesmith compare --methods` take all of them.
"""

from collections.abc import Mapping
from typing import Any

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "full": {"method": {"kind": "full"}},
    "lora": {"method": {"kind": "lora"}},
    "rslora": {"method": {"kind": "lora", "rank_stabilized": True}},
    "dora": {"method": {"kind": "lora", "magnitude": True}},
    "loraplus": {"method": {"kind": "lora", "up_rate": 16.0}},
    "pissa": {"method": {"kind": "lora", "start": "pissa"}},
    "eva": {"method": {"kind": "lora", "start": "eva"}},
    "loha": {"method": {"kind": "loha"}},
    "lokr": {"method": {"kind": "lokr"}},
    "qlora": {"method": {"kind": "lora"}, "base_quantize": "nf4"},
    "ia3": {"method": {"kind": "ia3"}},
    "prefix": {"method": {"kind": "prefix"}},
    "prompt": {"method": {"kind": "prompt"}},
    "ptuning": {"method": {"kind": "ptuning"}},
    "bottleneck": {"method": {"kind": "bottleneck"}},
    "bitfit": {"method": {"kind": "bitfit"}},
    "token": {"method": {"kind": "token"}},
    "last-layers": {"method": {"kind": "full", "last_layers": 2}},
}
"""Name -> what it stands for in a recipe. What the recipe says beside it comes first."""


def spelled_out(values: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's plain values with the name of a method replaced by what it stands for."""
    given = values.get("method")
    method = {"kind": given} if isinstance(given, str) else given
    if not isinstance(method, dict) or method.get("kind") not in PRESETS:
        return dict(values)
    preset = PRESETS[method["kind"]]
    rest = {key: value for key, value in preset.items() if key != "method" and values.get(key) is None}
    return {**values, **rest, "method": {**preset["method"], **{k: v for k, v in method.items() if k != "kind"}}}
