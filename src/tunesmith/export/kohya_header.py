"""What the header of a kohya file says: the `ss_` keys that web interfaces show, and ModelSpec's.

https://github.com/kohya-ss/sd-scripts, https://github.com/Stability-AI/ModelSpec
"""

import json
from collections import Counter
from collections.abc import Mapping

from tunesmith.export.kohya import Described, Parts
from tunesmith.export.tensors import MAGNITUDE

BASES: Mapping[str, str] = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_", "sd3": "sd3", "flux": "flux1"}
"""How `ss_base_model_version` begins."""
_VERSIONS = {"sdxl": "sdxl_base_v1-0", "sd3": "sd3-medium"}
ARCHITECTURES = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-768-v",
    "sdxl": "stable-diffusion-xl-v1-base",
    "sd3": "stable-diffusion-3-medium",
    "flux": "flux-1-dev",
}


def kohya_header(parts: Parts, described: Described, *, family: str, base_name: str, name: str) -> dict[str, str]:
    """-> key: value, all of them texts."""
    configs = [described[part] for part in parts]
    kind = str(configs[0]["peft_type"])
    magnitudes = any(own.endswith(MAGNITUDE) for tensors in parts.values() for own in tensors)
    lycoris = kind != "LORA" or magnitudes
    ranks, alphas = _most(configs, "r"), _most(configs, "lora_alpha" if kind == "LORA" else "alpha")
    arguments = {"algo": {"LORA": "locon"}.get(kind, kind.lower()), "dora_wd": magnitudes, "wd_on_output": magnitudes}
    return {
        "ss_network_module": "lycoris.kohya" if lycoris else "networks.lora",
        "ss_network_dim": ranks,
        "ss_network_alpha": alphas,
        "ss_network_args": json.dumps(arguments if lycoris else {}),
        "ss_base_model_version": _VERSIONS.get(family, BASES[family]),
        "ss_v2": str(family == "sd2"),
        "ss_output_name": name,
        "ss_sd_model_name": base_name,
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{ARCHITECTURES[family]}/lora",
        "modelspec.implementation": "diffusers",
        "modelspec.title": name,
    }


def _most(configs: list[Mapping[str, object]], key: str) -> str:
    return str(Counter(config.get(key, 8) for config in configs).most_common(1)[0][0])
