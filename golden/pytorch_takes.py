"""Whether PyTorch takes the state dicts that cellstate writes, and gives the same with them.

    cargo test --test formats state_dicts_come_out_as_they_came_in
    python golden/pytorch_takes.py target/tmp/for_pytorch

The test writes each case of golden/pytorch again, from a model that it was loaded into; here torch loads what was written into the module
of the case (`load_state_dict`, strict) and runs it. torch 2.15.0: all cases within 1e-6.
"""

import os
import sys

import torch
from safetensors.torch import load_file
from torch import nn

from pytorch_files import HERE, Chain, in_float64

MODULES = {
    "gru": lambda: Chain(gru=nn.GRU(4, 6, num_layers=2, batch_first=True)),
    "gru_float16": lambda: Chain(gru=nn.GRU(4, 6, batch_first=True), head=nn.Linear(6, 2)),
    "rnn_relu": lambda: Chain(rnn=nn.RNN(4, 6, nonlinearity="relu", batch_first=True)),
    "rnn_tanh": lambda: Chain(rnn=nn.RNN(4, 6, bidirectional=True, batch_first=True)),
    "lstm_projection": lambda: Chain(lstm=nn.LSTM(4, 6, num_layers=2, proj_size=3, batch_first=True)),
    "lstm_3_bidirectional": lambda: Chain(lstm=nn.LSTM(3, 5, num_layers=3, bidirectional=True, batch_first=True)),
    "lstm_no_bias": lambda: Chain(lstm=nn.LSTM(4, 6, bias=False, batch_first=True)),
    "layer_norm": lambda: Chain(
        lstm=nn.LSTM(4, 6, batch_first=True), norm=nn.LayerNorm(6, eps=1e-3), head=nn.Linear(6, 2)
    ),
}

if __name__ == "__main__":
    folder, worst = sys.argv[1], 0.0
    for name, make in MODULES.items():
        module = make()
        module.load_state_dict(load_file(os.path.join(folder, f"{name}.safetensors")))
        case = load_file(os.path.join(HERE, f"{name}.expected.safetensors"))
        error = (in_float64(module.eval())(case["x"].double()) - case["y"]).abs().max().item()
        print(f"{name:24} {error:.1e}")
        worst = max(worst, error if error == error else float("inf"))
    sys.exit(worst > 1e-6)
