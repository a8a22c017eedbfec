"""State dicts as PyTorch writes them, with inputs and what its modules give: golden/pytorch.

    python golden/pytorch_files.py

Each case is NAME.pt and NAME.safetensors (the state dict) and NAME.expected.safetensors (x, y, and lengths where sequences are packed).
What PyTorch gives is computed in float64 from the weights in the file and rounded to float32. The files that must be refused are there
too. torch 2.15.0, safetensors of the same day; the chains stand in tests/formats/pytorch.rs.
"""

import collections
import os
import zipfile

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pytorch")
BATCH, TIME_STEPS = 3, 7


def path(name):
    return os.path.join(HERE, name)


def spread(module, seed):
    """Distinct weights, larger than PyTorch draws them, so that a mistake shows."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.4)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(torch.randn_like(buffer))
            if name.endswith("running_var"):
                buffer.copy_(torch.rand_like(buffer) + 0.5)
    return module.eval()


def expected(name, x, y, **others):
    tensors = {"x": x, "y": y.detach().to(torch.float32).contiguous(), **others}
    save_file({key: value.contiguous() for key, value in tensors.items()}, path(f"{name}.expected.safetensors"))


def weights(name, module, wrap=lambda state_dict: state_dict, prefix=""):
    state_dict = collections.OrderedDict((prefix + key, value) for key, value in module.state_dict().items())
    torch.save(wrap(state_dict), path(f"{name}.pt"))
    save_file({key: value.contiguous() for key, value in state_dict.items()}, path(f"{name}.safetensors"))


def inputs(features, seed):
    return torch.randn(BATCH, TIME_STEPS, features, generator=torch.Generator().manual_seed(seed))


class Chain(nn.Module):
    """Modules one behind the other; of a recurrent one the outputs."""

    def __init__(self, **modules):
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x):
        for module in self.children():
            x = module(x)
            x = x[0] if isinstance(x, tuple) else x
        return x


class Steps(nn.Module):
    """A cell called step by step."""

    def __init__(self, cell):
        super().__init__()
        self.cell = cell

    def forward(self, x):
        state, outputs = None, []
        for step in x.unbind(1):
            state = self.cell(step, state)
            outputs.append(state[0] if isinstance(state, tuple) else state)
        return torch.stack(outputs, 1)


def in_float64(module):
    import copy

    return copy.deepcopy(module).to(torch.float64)


def case(name, module, features, seed, dtype=torch.float32, **how):
    module = spread(module, seed).to(dtype)
    weights(name, module, **how)
    x = inputs(features, seed + 100)
    expected(name, x, in_float64(module)(x.to(torch.float64)))


def recurrent():
    case("gru", Chain(gru=nn.GRU(4, 6, num_layers=2, batch_first=True)), 4, 1)
    case("rnn_relu", Chain(rnn=nn.RNN(4, 6, nonlinearity="relu", batch_first=True)), 4, 2)
    case("rnn_tanh", Chain(rnn=nn.RNN(4, 6, bidirectional=True, batch_first=True)), 4, 3)
    case("lstm_cell", Steps(nn.LSTMCell(4, 6)), 4, 4)
    case("gru_cell", Steps(nn.GRUCell(4, 6)), 4, 5)
    case("rnn_cell", Steps(nn.RNNCell(4, 6)), 4, 6)
    case("lstm_projection", Chain(lstm=nn.LSTM(4, 6, num_layers=2, proj_size=3, batch_first=True)), 4, 7)
    case("lstm_3_bidirectional", Chain(lstm=nn.LSTM(3, 5, num_layers=3, bidirectional=True, batch_first=True)), 3, 8)
    case("lstm_no_bias", Chain(lstm=nn.LSTM(4, 6, bias=False, batch_first=True)), 4, 9)
    for dtype in ["float16", "bfloat16", "float64"]:
        case(f"gru_{dtype}", Chain(gru=nn.GRU(4, 6, batch_first=True), head=nn.Linear(6, 2)), 4, 10, getattr(torch, dtype))


def chains():
    # modules whose names are sorted in another order than they are run in
    module = Chain(zero=nn.Embedding(11, 4), lstm=nn.LSTM(4, 6, batch_first=True), a_head=nn.Linear(6, 3))
    module = spread(module, 20)
    checkpoint = lambda state_dict: {
        "epoch": 3,
        "loss": 0.25,
        "model": state_dict,
        "optimizer": torch.optim.Adam(module.parameters()).state_dict(),
        "note": None,
    }
    weights("tagger", module, wrap=checkpoint, prefix="model.encoder.")
    x = torch.randint(0, 11, (BATCH, TIME_STEPS), generator=torch.Generator().manual_seed(120), dtype=torch.int32)
    expected("tagger", x, in_float64(module)(x))

    norm = Chain(lstm=nn.LSTM(4, 6, batch_first=True), norm=nn.LayerNorm(6, eps=1e-3), head=nn.Linear(6, 2))
    case("layer_norm", norm, 4, 21)

    class OverFeatures(nn.BatchNorm1d):
        def forward(self, x):
            return super().forward(x.transpose(1, 2)).transpose(1, 2)

    norm = Chain(lstm=nn.LSTM(4, 6, batch_first=True), norm=OverFeatures(6), head=nn.Linear(6, 2))
    case("batch_norm", norm, 4, 24)

    # of these the sizes alone do not say which is which, the numbers do
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(*[nn.Linear(4, 4, bias=False) for _ in range(12)])

        def forward(self, x):
            return self.net(x)

    case("sequential", Net(), 4, 22)
    # and of these nothing but the order of the file
    case("two_alike", Chain(second=nn.GRU(4, 4, batch_first=True), first=nn.GRU(4, 4, batch_first=True)), 4, 23)


def packed():
    for name, bidirectional in [("packed", False), ("packed_bidirectional", True)]:
        lstm = nn.LSTM(4, 6, num_layers=2, bidirectional=bidirectional, batch_first=True)
        module = spread(Chain(lstm=lstm), 30)
        weights(name, module)
        x, lengths = inputs(4, 130), torch.tensor([5, 7, 2])
        pack = nn.utils.rnn.pack_padded_sequence(x.double(), lengths, batch_first=True, enforce_sorted=False)
        y = nn.utils.rnn.pad_packed_sequence(in_float64(lstm)(pack)[0], batch_first=True)[0]
        expected(name, x, y, lengths=lengths.to(torch.int32))


def zipped(file, members, how):
    with zipfile.ZipFile(path(file), "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0)), content, how)


def unusual():
    """Files that torch.load takes, and so do we: the same weights as those of `gru`."""
    state_dict = torch.load(path("gru.pt"))
    torch.save(state_dict, path("gru_protocol_5.pt"), pickle_protocol=5)
    # views of one storage, turned, with gaps
    views = collections.OrderedDict()
    storage = torch.full((4000,), 9.0)
    at = 0
    for name, value in state_dict.items():
        flat = value.t().contiguous().flatten()
        view = storage[at : at + 2 * flat.numel() : 2]
        view.copy_(flat)
        views[name] = view.unflatten(0, tuple(reversed(value.shape))).t() if value.dim() == 2 else view
        assert torch.equal(views[name], value)
        at += 2 * flat.numel() + 3
    parameters = collections.OrderedDict((name, nn.Parameter(value)) for name, value in views.items())
    torch.save(parameters, path("gru_views.pt"))
    with zipfile.ZipFile(path("gru.pt")) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    zipped("gru_deflated.pt", members, zipfile.ZIP_DEFLATED)
    turned = {name: np.frombuffer(content, "<f4").astype(">f4").tobytes() for name, content in members.items() if "/data/" in name}
    zipped("gru_big_endian.pt", {**members, **turned, "gru/byteorder": b"big"}, zipfile.ZIP_STORED)
    # and a bomb: ten million zeros in a few thousand bytes
    zipped("refused_bomb.pt", {**members, "gru/data/0": bytes(10_000_000)}, zipfile.ZIP_DEFLATED)


def refused():
    module = spread(Chain(lstm=nn.LSTM(4, 6, batch_first=True)), 40)
    torch.save(module.lstm, path("refused_module.pt"))
    torch.save(module.state_dict(), path("refused_legacy.pt"), _use_new_zipfile_serialization=False)
    torch.save({"model": module.state_dict(), "ema": module.state_dict()}, path("refused_two.pt"))
    torch.save(module.lstm.weight_hh_l0.detach(), path("refused_tensor.pt"))
    torch.save({"when": np.float64(2.0), **module.state_dict()}, path("refused_numpy.pt"))
    quantised = collections.OrderedDict((name, (value * 100).to(torch.int8)) for name, value in module.state_dict().items())
    torch.save(quantised, path("refused_int8.pt"))
    save_file(quantised, path("refused_int8.safetensors"))
    far = module.double().state_dict()
    far["lstm.weight_hh_l0"][1, 2] = 1e39
    torch.save(far, path("refused_float64.pt"))


if __name__ == "__main__":
    os.makedirs(HERE, exist_ok=True)
    recurrent()
    chains()
    packed()
    unusual()
    refused()
