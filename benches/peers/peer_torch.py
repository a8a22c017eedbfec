"""PyTorch in the comparison. Paths: cpu; cuda and cuda-tf32 from host to host; cuda-resident and cuda-resident-tf32 with
input and output on the GPU; cpu-training and cuda-training, a training step: forward, backward and Adam, on one batch from the
host, the loss read back. Modes: full; packed, a packed sequence; padded, all steps run and the padding set to zero."""

import functools
import os

import torch
from rule import TRAINING_STEPS
from serve import serve
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def make(problem, device):
    lstm = torch.nn.LSTM(problem.features, problem.units, batch_first=True)
    order = range(4)  # i f g o, as in Keras
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(problem.gates(problem.kernel, order)))
        lstm.weight_hh_l0.copy_(torch.from_numpy(problem.gates(problem.recurrent_kernel, order)))
        lstm.bias_ih_l0.copy_(torch.from_numpy(problem.bias))
        lstm.bias_hh_l0.zero_()
    lstm.to(device).flatten_parameters()
    return lstm


def prepare_training(device, problem, mode):
    """The loss is the mean squared error of the outputs at all steps that count; one bias is trained, as in cellstate."""
    lstm = make(problem, device).train()
    lstm.bias_hh_l0.requires_grad_(False)
    trained = [parameter for parameter in lstm.parameters() if parameter.requires_grad]
    adam = torch.optim.Adam(trained, lr=1e-3)
    host, host_targets = torch.from_numpy(problem.input), torch.from_numpy(problem.targets())
    lengths = None if problem.lengths is None else torch.from_numpy(problem.lengths)
    steps = torch.arange(problem.time_steps)
    counts = None if lengths is None else (steps < lengths[:, None])[..., None]
    pack = functools.partial(pack_padded_sequence, lengths=lengths, batch_first=True, enforce_sorted=False)

    def loss():
        values, targets = host.to(device), host_targets.to(device)
        if mode == "full":
            return torch.nn.functional.mse_loss(lstm(values)[0], targets)
        if mode == "packed":
            return torch.nn.functional.mse_loss(lstm(pack(values))[0].data, pack(targets).data)
        apart = (lstm(values)[0] - targets).square() * counts.to(device)
        return apart.sum() / (lengths.sum() * problem.units)

    def call():
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        adam.zero_grad(set_to_none=True)
        value = loss()
        value.backward()
        adam.step()
        return value.item()

    def output():
        for _ in range(TRAINING_STEPS):
            call()
        with torch.inference_mode():
            result = lstm(host.to(device))[0].cpu()
            return (result if counts is None else result * counts).numpy()

    return call, output


def prepare(path, problem, mode):
    on_gpu = path.startswith("cuda")
    device = torch.device("cuda" if on_gpu else "cpu")
    name = torch.cuda.get_device_name() if on_gpu else "CPU"
    if path.endswith("-training"):
        return *prepare_training(device, problem, mode), name
    lstm = make(problem, device).eval()
    host = torch.from_numpy(problem.input)
    lengths = None if problem.lengths is None else torch.from_numpy(problem.lengths)
    resident = host.to(device) if "resident" in path else None

    def run():
        tf32 = path.endswith("tf32")
        if torch.backends.cudnn.allow_tf32 != tf32:
            torch.backends.cudnn.allow_tf32 = tf32
            torch.backends.cuda.matmul.allow_tf32 = tf32
        values = host.to(device) if resident is None else resident
        if mode == "packed":
            packed = pack_padded_sequence(values, lengths, batch_first=True, enforce_sorted=False)
            result, _ = pad_packed_sequence(lstm(packed)[0], batch_first=True, total_length=problem.time_steps)
        else:
            result = lstm(values)[0]
            if mode == "padded":
                steps = torch.arange(problem.time_steps, device=device)
                result = result * (steps < lengths.to(device)[:, None])[..., None]
        return result.cpu() if resident is None else result

    def call():
        with torch.inference_mode():
            run()
        if resident is not None:
            torch.cuda.synchronize()

    def output():
        with torch.inference_mode():
            return run().cpu().numpy()

    return call, output, name


torch.set_num_threads(int(os.environ["PEERS_THREADS"]))
name, paths = torch.__version__, ["cpu", "cpu-training"]
if torch.cuda.is_available():
    name += f", cuDNN {torch.backends.cudnn.version()}"
    paths += ["cuda", "cuda-tf32", "cuda-resident", "cuda-resident-tf32", "cuda-training"]
serve(name, paths, prepare)
