"""Makes the ONNX files of golden/onnx: models as PyTorch and Keras export them, and the golden cases as files.

    python golden/onnx_models.py CASES          # the folder with the golden cases, golden/cases

Needs torch, onnx, onnxruntime, onnxscript, and for the files of Keras tensorflow, keras and tf2onnx. Each file has beside it
NAME.case.safetensors with `x` (and `lengths`), the expected outputs of ONNX Runtime, and the tolerance.
"""

import json
import os
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open
from safetensors.numpy import save_file

warnings.filterwarnings("ignore")
FOLDER = Path(__file__).parent / "onnx"
ATOL, RTOL = 2e-6, 2e-5


def session(path):
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def keep(name, feeds, about, lengths=None, time_major=False, expect=None):
    """Runs a file and keeps what comes out. `feeds` are the graph's inputs; `x` is kept batch first."""
    path = FOLDER / f"{name}.onnx"
    run = session(path)
    outputs = dict(zip([output.name for output in run.get_outputs()], run.run(None, feeds)))
    main = feeds[run.get_inputs()[0].name]
    x = main.swapaxes(0, 1) if time_major else main
    tensors = {"x": np.ascontiguousarray(x.astype(np.int32) if x.dtype.kind == "i" else x)}
    if lengths is not None:
        tensors["lengths"] = lengths.astype(np.int32)
    for key, value in feeds.items():
        if key in ("initial_h", "initial_c"):
            tensors[key] = np.ascontiguousarray(value)
    for key, value in (expect(outputs) if expect else {"y": list(outputs.values())[0]}).items():
        tensors[key] = np.ascontiguousarray(value.astype(np.float32))
    case = {
        "format": 1,
        "name": name,
        "kind": "model",
        "about": about,
        "framework": {"name": "onnxruntime", "version": onnxruntime.__version__},
        "tolerance": {"atol": ATOL, "rtol": RTOL},
    }
    save_file(tensors, str(FOLDER / f"{name}.case.safetensors"), {"case": json.dumps(case)})
    print(name, path.stat().st_size, {key: value.shape for key, value in tensors.items()})


def strip(path):
    """Leaves out what only people read: stack traces in metadata, doc strings."""
    model = onnx.load(path)
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in [*model.graph.input, *model.graph.output, *model.graph.initializer]:
        value.doc_string = ""
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.value_info[:]
    onnx.save(model, path)


# PyTorch ---------------------------------------------------------------------------------------------------------------


def torch_models():
    import torch
    from torch import nn

    torch.manual_seed(11)

    class Net(nn.Module):
        def __init__(self, rnn, head=None, read="last", embedding=None, norm=None, act=None):
            super().__init__()
            self.rnn, self.head, self.read, self.embedding, self.norm, self.act = rnn, head, read, embedding, norm, act

        def forward(self, x):
            if self.embedding is not None:
                x = self.embedding(x)
            y, state = self.rnn(x)
            hidden = state[0] if isinstance(state, tuple) else state
            if self.read == "last":
                y = y[:, -1, :]
            elif self.read == "hidden":
                y = hidden[-1]
            elif self.read == "both":
                y = torch.cat([hidden[-2], hidden[-1]], dim=1)
            for layer in (self.norm, self.head, self.act):
                if layer is not None:
                    y = layer(y)
            return y

    class WithStates(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn = nn.LSTM(4, 5, batch_first=True)

        def forward(self, x):
            y, (h, c) = self.rnn(x)
            return y, h, c

    linear = lambda features: nn.Linear(features, 2)
    acts = nn.Sequential(
        nn.Linear(5, 6), nn.GELU(), nn.Linear(6, 6), nn.SiLU(), nn.Linear(6, 6), nn.LeakyReLU(0.1), nn.Linear(6, 6),
        nn.Hardswish(), nn.Linear(6, 6), nn.Mish(), nn.Linear(6, 6), nn.Softplus(), nn.Linear(6, 6), nn.ELU(),
        nn.Linear(6, 6), nn.Hardtanh(), nn.Linear(6, 6), nn.ReLU6(), nn.Linear(6, 6), nn.LogSoftmax(-1),
    )
    norm = nn.BatchNorm1d(5)
    with torch.no_grad():
        for value in (norm.running_mean, norm.weight, norm.bias):
            value.normal_()
        norm.running_var.uniform_(0.5, 2.0)
    layer_norm = nn.LayerNorm(5)
    with torch.no_grad():
        layer_norm.weight.normal_()
        layer_norm.bias.normal_()
    first = dict(batch_first=True)
    models = {
        "last": (Net(nn.LSTM(4, 5, **first), linear(5)), "LSTM, the last step, Linear"),
        "gru_stack": (Net(nn.GRU(4, 5, 2, bidirectional=True, **first), linear(10), "all"), "GRU, two bidirectional layers, Linear"),
        "dropout": (
            Net(nn.LSTM(4, 5, 3, dropout=0.3, **first), nn.Sequential(nn.Dropout(0.2), linear(5)), act=nn.Softmax(-1)),
            "three LSTM layers with dropout between them",
        ),
        "tokens": (Net(nn.LSTM(4, 5, **first), linear(5), embedding=nn.Embedding(9, 4)), "Embedding, LSTM"),
        "hidden_both": (Net(nn.LSTM(4, 5, 2, bidirectional=True, **first), linear(10), "both"), "h_n of both directions"),
        "hidden": (Net(nn.GRU(4, 5, 2, **first), linear(5), "hidden", act=nn.ReLU()), "h_n of the last layer"),
        "last_both": (Net(nn.LSTM(4, 5, bidirectional=True, **first), linear(10)), "the last step of a bidirectional LSTM"),
        "time_major": (Net(nn.RNN(4, 5), linear(5), "all", act=nn.Tanh()), "nn.RNN, time first"),
        "activations": (Net(nn.LSTM(4, 5, **first), acts), "activations behind Linear layers"),
        "batch_norm": (Net(nn.LSTM(4, 5, **first), linear(5), norm=norm), "BatchNorm1d"),
        "layer_norm": (Net(nn.LSTM(4, 5, **first), linear(5), norm=layer_norm), "LayerNorm"),
        "layer_norm_steps": (Net(nn.LSTM(4, 5, **first), linear(5), "all", norm=nn.LayerNorm(5)), "LayerNorm of every step"),
        "bare": (Net(nn.LSTM(4, 5, 2, **first), None, "all", act=nn.ReLU()), "LSTM and an activation without Linear"),
        "states": (WithStates(), "y, h_n and c_n as outputs"),
    }
    for name, (model, about) in models.items():
        model.eval()
        tokens = name == "tokens"
        x = torch.randint(0, 9, (3, 7)) if tokens else torch.randn(3, 7, 4)
        time_major = name == "time_major"
        if time_major:
            x = x.transpose(0, 1).contiguous()
        for kind in ("dynamo", "script", "static"):
            if kind == "static" and name not in ("gru_stack", "hidden_both"):
                continue
            path = FOLDER / f"torch_{name}_{kind}.onnx"
            path.parent.mkdir(exist_ok=True)
            try:
                if kind == "script":
                    axes = {"x": {0: "time", 1: "batch"} if time_major else {0: "batch", 1: "time"}}
                    torch.onnx.export(model, (x,), str(path), dynamo=False, input_names=["x"], dynamic_axes=axes)
                else:
                    free = {0: torch.export.Dim.DYNAMIC, 1: torch.export.Dim.DYNAMIC}
                    shapes = (free,) if kind == "dynamo" else None
                    torch.onnx.export(
                        model, (x,), str(path), dynamo=True, dynamic_shapes=shapes, external_data=False, verbose=False
                    )
            except Exception as error:
                print("NOT EXPORTED", path.name, type(error).__name__, str(error).splitlines()[-1][:200])
                path.unlink(missing_ok=True)
                continue
            strip(path)
            expect = None
            if name == "states":
                def expect(outputs):
                    y, h, c = outputs.values()
                    return {"y": y, "h_n": h, "c_n": c}
            elif time_major:
                expect = lambda outputs: {"y": list(outputs.values())[0].swapaxes(0, 1)}
            keep(path.stem, {session(path).get_inputs()[0].name: x.numpy()}, f"PyTorch: {about}", time_major=time_major, expect=expect)


# Keras -----------------------------------------------------------------------------------------------------------------


def keras_models():
    os.environ["KERAS_BACKEND"] = "tensorflow"
    import keras
    from keras import layers as L

    keras.utils.set_random_seed(12)
    rng = np.random.default_rng(3)
    models = {
        "lstm": (
            [keras.Input((None, 3)), L.LSTM(4, return_sequences=True), L.LSTM(5), L.Dense(2, activation="sigmoid")],
            "two LSTM layers, Dense",
        ),
        "fixed": ([keras.Input((7, 3)), L.LSTM(4), L.Dense(2, activation="softmax")], "seven time steps, softmax"),
        "bidirectional": (
            [keras.Input((None, 3)), L.Bidirectional(L.LSTM(4, return_sequences=True)), L.Dense(2)],
            "Bidirectional at every step",
        ),
        "bidirectional_last": (
            [keras.Input((None, 3)), L.Bidirectional(L.LSTM(4)), L.Dense(2)],
            "Bidirectional, the last outputs",
        ),
        "tokens": ([keras.Input((None,), dtype="int32"), L.Embedding(9, 3), L.LSTM(4), L.Dense(2)], "Embedding, LSTM"),
        "sum": (
            [keras.Input((None, 3)), L.Bidirectional(L.LSTM(4, return_sequences=True), merge_mode="ave"), L.LSTM(3), L.Dense(2)],
            "Bidirectional with merge_mode ave",
        ),
        "backwards": ([keras.Input((None, 3)), L.LSTM(4, go_backwards=True), L.Dense(2)], "go_backwards"),
        "flatten": ([keras.Input((7, 3)), L.LSTM(4, return_sequences=True), L.Flatten(), L.Dense(2)], "Flatten"),
        "batch_norm": ([keras.Input((None, 3)), L.LSTM(4), L.BatchNormalization(), L.Dense(2)], "BatchNormalization"),
        "encoder": (
            [keras.Input((None, 3)), L.LSTM(4), L.RepeatVector(6), L.LSTM(5, return_sequences=True), L.Dense(2)],
            "RepeatVector between two LSTM layers",
        ),
        "gru": ([keras.Input((None, 3)), L.GRU(4), L.Dense(2)], "a GRU, which tf2onnx writes as a loop"),
        "hard_silu": (
            [keras.Input((None, 3)), L.LSTM(4), L.Dense(3, activation="hard_sigmoid"), L.Dense(2, activation="hard_silu")],
            "hard activations, which tf2onnx writes in parts",
        ),
        "unrolled": ([keras.Input((7, 3)), L.LSTM(4, unroll=True), L.Dense(2)], "unroll=True, a cell for each step"),
        "time_distributed": (
            [keras.Input((7, 3)), L.LSTM(4, return_sequences=True), L.TimeDistributed(L.Dense(2))],
            "TimeDistributed over seven time steps, a product for each",
        ),
    }
    for name, (chain, about) in models.items():
        model = keras.Sequential(chain)
        model.set_weights([rng.uniform(-0.6, 0.6, w.shape) + (1.0 if "variance" in str(v.path) else 0.0)
                           for w, v in zip(model.get_weights(), model.weights)])
        x = rng.integers(0, 9, (3, 7)).astype("int32") if name == "tokens" else rng.normal(size=(3, 7, 3)).astype("float32")
        model(x)
        path = FOLDER / f"keras_{name}.onnx"
        try:
            model.export(str(path), format="onnx", verbose=False)
        except Exception as error:
            print("NOT EXPORTED", path.name, type(error).__name__, str(error)[:200])
            continue
        strip(path)
        keep(path.stem, {session(path).get_inputs()[0].name: x}, f"Keras: {about}")


# The golden cases as files -----------------------------------------------------------------------------------------------


def cases(folder):
    """Each case of the operators as a graph of one node, weights as initializers, everything else as inputs."""
    for path in sorted(Path(folder).glob("onnx_*.safetensors")):
        with safe_open(str(path), "np") as file:
            case = json.loads(file.metadata()["case"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}
        node, name = case["node"], path.stem
        slots = ["x", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
        names = [slot if slot in tensors else "" for slot in slots]
        while not names[-1]:
            names.pop()
        states = ["Y", "Y_h", "Y_c"][: 3 if node["op_type"] == "LSTM" else 2]
        made = helper.make_node(node["op_type"], names, states, name=name, **node["attributes"])
        weights = [numpy_helper.from_array(tensors[key], key) for key in "WRBP" if key in tensors]
        layout = node["attributes"].get("layout", 0)
        axes = {
            "x": ["batch", "time"] if layout else ["time", "batch"],
            "sequence_lens": ["batch"],
        }
        inputs = []
        for key in names:
            if key and key not in "WRBP":
                value = tensors[key]
                shape = [*axes.get(key, value.shape)][: value.ndim] + list(value.shape[len(axes.get(key, value.shape)) :])
                kind = TensorProto.INT32 if key == "sequence_lens" else TensorProto.FLOAT
                inputs.append(helper.make_tensor_value_info(key, kind, shape))
        outputs = [helper.make_tensor_value_info(key, TensorProto.FLOAT, None) for key in states]
        graph = helper.make_graph([made], name, inputs, outputs, weights)
        opset = node["opset"]
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10), FOLDER / f"{name}.onnx")
        print(name, (FOLDER / f"{name}.onnx").stat().st_size)


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    cases(sys.argv[1])
    torch_models()
    keras_models()
