"""One method by its name on a benchmark's work, in a process of its own. Prints one line of JSON."""

import json
import sys
from dataclasses import replace

import torch
from pydantic import TypeAdapter
from tool_tunesmith import train
from transformers import AutoModelForCausalLM
from work import Work

from tunesmith.methods import AnyMethod
from tunesmith.methods.inject import parameter_counts
from tunesmith.methods.names import spelled_out
from tunesmith.models.language import CausalLM


def run(work: Work, name: str) -> dict[str, object]:
    name, _, recompute = name.partition("+")
    network = AutoModelForCausalLM.from_pretrained(work.base, dtype=torch.bfloat16).eval()
    model = CausalLM(network, recompute=bool(recompute))
    method = TypeAdapter(AnyMethod).validate_python(spelled_out({"method": name})["method"])
    torch.manual_seed(0)
    method.attach(model.network)
    trained, _ = parameter_counts(model.network)
    return train(replace(work, rate=method.learning_rate), model) | {"trained": trained}


if __name__ == "__main__":
    print(json.dumps(run(Work.read(sys.argv[1]), sys.argv[2])))
