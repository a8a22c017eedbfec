"""PyTorch in the comparison. Paths: cpu; cuda and cuda-tf32 from host to host; cuda-resident and cuda-resident-tf32 with
input and output on the GPU. Modes: full; packed, a packed sequence; padded, all steps run and the padding set to zero."""

import os

import torch
from serve import serve
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def prepare(path, problem, mode):
    on_gpu = path.startswith("cuda")
    device = torch.device("cuda" if on_gpu else "cpu")
    lstm = torch.nn.LSTM(problem.features, problem.units, batch_first=True)
    order = range(4)  # i f g o, as in Keras
    with torch.no_grad():
        lstm.weight_ih_l0.copy_(torch.from_numpy(problem.gates(problem.kernel, order)))
        lstm.weight_hh_l0.copy_(torch.from_numpy(problem.gates(problem.recurrent_kernel, order)))
        lstm.bias_ih_l0.copy_(torch.from_numpy(problem.bias))
        lstm.bias_hh_l0.zero_()
    lstm = lstm.to(device).eval()
    lstm.flatten_parameters()
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

    if not on_gpu:
        return call, output, "CPU"
    return call, output, torch.cuda.get_device_name()


torch.set_num_threads(int(os.environ["PEERS_THREADS"]))
name, paths = torch.__version__, ["cpu"]
if torch.cuda.is_available():
    name += f", cuDNN {torch.backends.cudnn.version()}"
    paths += ["cuda", "cuda-tf32", "cuda-resident", "cuda-resident-tf32"]
serve(name, paths, prepare)
