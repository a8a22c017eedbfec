"""Makes `ctc.json`: connectionist temporal classification as Keras and PyTorch compute it.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 torch==2.15.0
    python golden/ctc.py

`arrays` as in `losses.json`. `losses`: of `outputs` (logits) and `targets`, with `mask` (as PyTorch's input_lengths) and `weights` where they are
given; `value`, and `gradient` with respect to the outputs. PyTorch runs in float64, and Keras in float32 (`float32`), as TensorFlow's kernel does.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
import torch

random = np.random.default_rng(21)
BATCH, TIME_STEPS, CLASSES = 4, 9, 5
LENGTHS = np.array([9, 5, 1, 7])
ARRAYS = {
    "logits": np.round(random.normal(0, 2, (BATCH, TIME_STEPS, CLASSES)), 3).astype(np.float32),
    # the frameworks' padding: 0. Equal neighbours, all steps taken, one label, none
    "labels": np.array([[3, 3, 1, 4], [2, 2, 1, 0], [4, 0, 0, 0], [0, 0, 0, 0]], np.int32),
    "labels_blank_last": np.array([[3, 3, 1, 0], [2, 2, 1, -1], [0, -1, -1, -1], [-1, -1, -1, -1]], np.int32),
    "long_labels": np.array([[3, 3, 1, 4], [2, 2, 2, 1], [4, 4, 0, 0], [1, 0, 0, 0]], np.int32),
    "mask": np.arange(TIME_STEPS)[None] < LENGTHS[:, None],
    "weights": np.array([0.5, 2.0, 0.0, 1.25], np.float32),
}


def keras_case(way):
    y = tf.constant(ARRAYS["logits"])
    weights = ARRAYS[way["weights"]] if "weights" in way else None
    with tf.GradientTape() as tape:
        tape.watch(y)
        value = keras.losses.CTC()(ARRAYS["labels"], y, weights)
    case = {"loss": "CTC", "options": {}, "outputs": "logits", "targets": "labels", **way}
    return case | {"float32": True, "value": float(value), "gradient": numbers(tape.gradient(value, y))}


def torch_case(labels, options, way, blank=0, reduction="mean", zero_infinity=False):
    """`reduction` of PyTorch, or `sequences`: the mean over sequences, weighted as Keras does."""
    y = torch.tensor(ARRAYS["logits"].astype("float64"), requires_grad=True)
    targets = torch.tensor(ARRAYS[labels].astype("int64"))
    sizes = torch.tensor([sum(1 for label in row if label not in (blank, -1)) for row in ARRAYS[labels]])
    lengths = torch.tensor(LENGTHS if "mask" in way else [TIME_STEPS] * BATCH)
    given = (torch.log_softmax(y, -1).transpose(0, 1), targets.clamp(min=0), lengths, sizes)
    if reduction == "mean":
        value = torch.nn.CTCLoss(blank, "mean", zero_infinity)(*given)
    else:
        each = torch.nn.CTCLoss(blank, "none", zero_infinity)(*given)
        weights = torch.tensor(ARRAYS[way["weights"]] if "weights" in way else np.ones(BATCH))
        value = (each * weights).sum() / BATCH
    value.backward()
    case = {"loss": "CTC", "options": options, "outputs": "logits", "targets": labels, **way}
    return case | {"value": value.item(), "gradient": numbers(y.grad.numpy())}


def numbers(array):
    array = np.asarray(array)
    if array.dtype.kind in "bi":
        return [int(value) for value in array.ravel()]
    return [float(f"{value:.10g}") for value in array.ravel()]


masked = {"mask": "mask"}
losses = [
    keras_case({}),
    keras_case({"weights": "weights"}),
    torch_case("labels", {}, {}, reduction="sequences"),
    torch_case("labels", {}, masked, reduction="sequences"),
    torch_case("labels", {}, masked | {"weights": "weights"}, reduction="sequences"),
    torch_case("labels", {"divide_by_labels": True}, masked),
    torch_case("labels_blank_last", {"blank": 4}, masked, blank=4, reduction="sequences"),
    torch_case("labels_blank_last", {"blank": 4, "divide_by_labels": True}, {}, blank=4),
    torch_case("long_labels", {"zero_infinity": True, "divide_by_labels": True}, masked, zero_infinity=True),
]
arrays = {
    name: {"shape": list(array.shape), "values": numbers(array), "is_float": array.dtype.kind == "f"} for name, array in ARRAYS.items()
}
page = {"arrays": arrays, "losses": losses}
lines = json.dumps(page).replace('], "', '],\n"').replace('}, {"loss"', '},\n{"loss"')
path = pathlib.Path(__file__).parent / "ctc.json"
path.write_text(lines + "\n")
print(path, len(lines), "bytes")
for case in losses:
    print(case["value"], case["options"], np.abs(case["gradient"]).max())
