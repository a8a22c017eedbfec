"""Makes `losses.json`: what Keras's losses and metrics give, alone and by `Model.evaluate`.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0
    python golden/losses.py

`arrays` are outputs, targets, masks and weights by name: their shape, and their numbers row by row. A number is a float32 in full.

`losses`: a loss (its class in Keras and its options) of `outputs`, `targets` and, where they are given, `mask` and `weights`; `value`, and `gradient` with
respect to the outputs by TensorFlow's tape. Keras runs in float64, but where `float32` says that it did not: there probabilities lie
at the bounds, which float32 rounds.

`metrics`: a metric after `batches`, each of which is a range of sequences and a number of time steps (the first ones) of the same arrays. A
metric that was named `accuracy` is the one that `compile` chooses.

`epochs`: what `Model.evaluate` says of a model that gives its input and its mask on, in batches of `batch_size`. `class_weight` cases are
those of `Model.fit`, which changes nothing there.
"""

import json
import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from keras.src import backend
from keras.src.trainers import compile_utils

keras.config.set_floatx("float64")
random = np.random.default_rng(12)
BATCH, TIME_STEPS, FEATURES = 3, 5, 4


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def rounded(x):
    """Few digits, so that the file is short; softmax rows then have sums other than 1, which Keras has to even out."""
    return np.round(x, 3).astype(np.float32)


def one_hot(classes):
    return np.eye(FEATURES, dtype=np.float32)[classes]


steps = (BATCH, TIME_STEPS)
mask = np.array([[1, 1, 1, 1, 1], [1, 0, 1, 0, 0], [0, 1, 1, 1, 0]], bool)
ARRAYS = {
    "numbers": rounded(random.normal(0, 1.5, (*steps, FEATURES))),
    "logits": rounded(random.normal(0, 3, (*steps, FEATURES))),
    "probabilities": rounded(softmax(random.normal(0, 1, (*steps, FEATURES)))),
    "wanted_numbers": rounded(random.normal(0, 1.5, (*steps, FEATURES))),
    "wanted_bits": random.integers(0, 2, (*steps, FEATURES)).astype(np.int32),
    "wanted_classes": random.integers(0, FEATURES, steps).astype(np.int32),
    "wanted_shares": rounded(softmax(random.normal(0, 2, (*steps, FEATURES)))),
    "single": rounded(random.uniform(0.05, 0.95, (*steps, 1))),
    "wanted_single": random.integers(0, 2, (*steps, 1)).astype(np.int32),
    "mask": mask,
    "none": np.zeros(steps, bool),
    "step_weights": rounded(random.uniform(0, 3, steps)),
    "weights": np.array([0.5, 0.0, 2.0], np.float32),
}
ARRAYS["step_weights"][0, 1] = 0
ARRAYS["wanted_shares"][..., -1] = 1 - ARRAYS["wanted_shares"][..., :-1].sum(-1)
ARRAYS["wanted_one_hot"] = one_hot(ARRAYS["wanted_classes"])
ARRAYS["wanted_some"] = np.where(ARRAYS["wanted_classes"] == 2, -1, ARRAYS["wanted_classes"]).astype(np.int32)
ARRAYS["weights_column"] = ARRAYS["weights"][:, None]
for name in list(ARRAYS):  # of models that give their last output alone
    if name not in ("mask", "none", "weights", "weights_column"):
        ARRAYS[name + "_last"] = ARRAYS[name][:, 0]
ARRAYS["wanted_single_flat"] = ARRAYS["wanted_single_last"][:, 0]
ARRAYS["wanted_classes_column"] = ARRAYS["wanted_classes_last"][:, None]
ARRAYS["wanted_classes_of_steps"] = ARRAYS["wanted_classes"][..., None]
ARRAYS["wanted_numbers_deep"] = ARRAYS["wanted_numbers_last"][..., None]
ARRAYS["edge_bits"] = np.array([[1, 0, 1, 0], [0, 1, 0, 1], [1, 1, 0, 0]], np.int32)
ARRAYS["edges"] = np.array([[0, 1, 1e-7, 0.99999988], [0, 1, 1e-7, 0.99999988], [5e-8, 0.99999994, 2e-7, 0.9999998]], np.float32)
ARRAYS["edge_rows"] = np.array([[0, 0, 1, 0], [1, 0, 0, 0], [0.5, 0.5, 1e-7, 5e-8]], np.float32)
ARRAYS["edge_classes"] = np.array([0, 0, 3], np.int32)
ARRAYS["edge_one_hot"] = one_hot(ARRAYS["edge_classes"])
ARRAYS["huge_logits"] = np.array([[500, -500, 0, 1], [-500, -400, -600, -450], [88.5, 89, -104, 3e4]], np.float32)

LOSSES = [
    ("MeanSquaredError", {}, "numbers", "wanted_numbers"),
    ("MeanAbsoluteError", {}, "numbers", "wanted_numbers"),
    ("Huber", {}, "numbers", "wanted_numbers"),
    ("Huber", {"delta": 0.5}, "numbers", "wanted_numbers"),
    ("BinaryCrossentropy", {}, "probabilities", "wanted_bits"),
    ("BinaryCrossentropy", {"label_smoothing": 0.125}, "probabilities", "wanted_shares"),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.25}, "logits", "wanted_bits"),
    ("BinaryCrossentropy", {"from_logits": True}, "logits", "wanted_shares"),
    ("CategoricalCrossentropy", {}, "probabilities", "wanted_one_hot"),
    ("CategoricalCrossentropy", {"label_smoothing": 0.125}, "probabilities", "wanted_shares"),
    ("CategoricalCrossentropy", {"from_logits": True}, "logits", "wanted_one_hot"),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.25}, "logits", "wanted_shares"),
    ("SparseCategoricalCrossentropy", {}, "probabilities", "wanted_classes"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "logits", "wanted_classes"),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1}, "probabilities", "wanted_some"),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 1}, "logits", "wanted_classes"),
]
WAYS = [{}, {"mask": "mask"}, {"weights": "step_weights"}, {"mask": "mask", "weights": "weights_column"}]
SHAPES = [  # what Keras squeezes and expands, and what counts for nothing
    ("MeanSquaredError", {}, "single_last", "wanted_single_flat", {"weights": "weights"}),
    ("MeanSquaredError", {}, "numbers_last", "wanted_numbers_deep", {}),
    ("BinaryCrossentropy", {}, "single", "wanted_single", {"mask": "mask", "weights": "step_weights"}),
    ("BinaryCrossentropy", {}, "single_last", "wanted_single_flat", {}),
    ("SparseCategoricalCrossentropy", {}, "probabilities_last", "wanted_classes_column", {}),
    ("SparseCategoricalCrossentropy", {}, "probabilities", "wanted_classes_of_steps", {"mask": "mask"}),
    ("MeanSquaredError", {}, "numbers", "wanted_numbers", {"mask": "none"}),
    ("SparseCategoricalCrossentropy", {}, "probabilities", "wanted_classes", {"mask": "none", "weights": "step_weights"}),
]
EDGES = [
    ("BinaryCrossentropy", {}, "edges", "edge_bits"),
    ("CategoricalCrossentropy", {}, "edge_rows", "edge_one_hot"),
    ("SparseCategoricalCrossentropy", {}, "edge_rows", "edge_classes"),
    ("BinaryCrossentropy", {"from_logits": True}, "huge_logits", "edge_bits"),
    ("CategoricalCrossentropy", {"from_logits": True}, "huge_logits", "edge_one_hot"),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, "huge_logits", "edge_classes"),
]
METRICS = [
    ("BinaryAccuracy", {"threshold": 0.25}, "probabilities", "wanted_bits"),
    ("CategoricalAccuracy", {}, "probabilities", "wanted_shares"),
    ("SparseCategoricalAccuracy", {}, "logits", "wanted_classes"),
    ("MeanAbsoluteError", {}, "numbers", "wanted_numbers"),
    ("MeanSquaredError", {}, "numbers", "wanted_numbers"),
    ("RootMeanSquaredError", {}, "numbers", "wanted_numbers"),
    ("accuracy", {}, "single", "wanted_single"),
    ("accuracy", {}, "probabilities", "wanted_one_hot"),
    ("accuracy", {}, "probabilities", "wanted_classes"),
    ("accuracy", {}, "probabilities", "wanted_classes_of_steps"),
]
LAST_METRICS = [
    ("accuracy", {}, "single_last", "wanted_single_flat", {"weights": "weights"}),
    ("accuracy", {}, "probabilities_last", "wanted_classes_last", {"weights": "weights"}),
    ("accuracy", {}, "probabilities_last", "wanted_classes_column", {}),
    ("accuracy", {}, "probabilities_last", "wanted_one_hot_last", {}),
    ("RootMeanSquaredError", {}, "numbers_last", "wanted_numbers_last", {"weights": "weights"}),
    ("BinaryAccuracy", {}, "probabilities_last", "wanted_bits_last", {"weights": "weights"}),
]


def loss_case(name, options, outputs, targets, way, dtype="float64"):
    y = tf.constant(ARRAYS[outputs].astype(dtype))
    if "mask" in way:
        backend.set_keras_mask(y, tf.constant(ARRAYS[way["mask"]]))
    weights = ARRAYS[way["weights"]].astype(dtype) if "weights" in way else None
    with tf.GradientTape() as tape:
        tape.watch(y)
        value = getattr(keras.losses, name)(dtype=dtype, **options)(ARRAYS[targets], y, weights)
    gradient = np.asarray(tape.gradient(value, y))
    case = {"loss": name, "options": options, "outputs": outputs, "targets": targets, **way}
    return case | ({"float32": True} if dtype == "float32" else {}) | {"value": float(value), "gradient": numbers(gradient)}


def metric_case(name, options, outputs, targets, way, batches):
    y, t = ARRAYS[outputs], ARRAYS[targets]
    made = compile_utils.get_metric(name, t, y) if name == "accuracy" else getattr(keras.metrics, name)(dtype="float64", **options)
    for first, last, time_steps in batches:
        part = (slice(first, last), slice(None, time_steps)) if time_steps else slice(first, last)
        prediction = tf.constant(y[part].astype("float64"))
        weights = ARRAYS[way["weights"]] if "weights" in way else None
        if weights is not None:
            weights = weights[part if weights.shape == steps else slice(first, last)].astype("float64")
        if "mask" in way and name == "RootMeanSquaredError":  # which does not see masks: they become weights
            weights = ARRAYS[way["mask"]][part] * (1.0 if weights is None else weights)
        elif "mask" in way:
            backend.set_keras_mask(prediction, tf.constant(ARRAYS[way["mask"]][part]))
        made.update_state(t[part], prediction, weights)
    case = {"metric": name, "options": options, "outputs": outputs, "targets": targets, **way}
    return case | {"batches": batches, "result": float(made.result())}


def epoch_case(loss, outputs, targets, way, metrics, batch_size=2):
    y, t = ARRAYS[outputs].astype("float64"), ARRAYS[targets]
    layers = [keras.Input(y.shape[1:])]
    if "mask" in way:
        y = np.where(ARRAYS[way["mask"]][..., None], y, -77.0)
        layers.append(keras.layers.Masking(-77.0))
    model = keras.Sequential([*layers, keras.layers.Activation("linear")])
    model.compile("sgd", loss, metrics=list(metrics), weighted_metrics=list(metrics))
    weights = ARRAYS[way["weights"]] if "weights" in way else None
    got = model.evaluate(y, t, batch_size=batch_size, sample_weight=weights, verbose=0, return_dict=True)
    case = {"loss": type(loss).__name__, "options": {}, "outputs": outputs, "targets": targets, **way, "batch_size": batch_size}
    return case | {"value": got["loss"], "metrics": {name: [got[name], got["weighted_" + name]] for name in metrics}}


def class_weight_case(outputs, targets, class_weight):
    model = keras.Sequential([keras.Input(ARRAYS[outputs].shape[1:]), keras.layers.Activation("linear")])
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy())
    got = model.fit(ARRAYS[outputs], ARRAYS[targets], class_weight=class_weight, batch_size=3, verbose=0).history["loss"][0]
    return {"outputs": outputs, "targets": targets, "class_weight": [[k, v] for k, v in class_weight.items()], "value": got}


def numbers(array):
    array = np.asarray(array)
    if array.dtype.kind in "bi":
        return [int(value) for value in array.ravel()]
    return [float(f"{value:.9g}") for value in array.ravel()]


cases = [loss_case(*loss, way) for loss in LOSSES for way in WAYS]
cases += [loss_case(name, options, f"{outputs}_last", f"{targets}_last", {"weights": "weights"}) for name, options, outputs, targets in LOSSES]
cases += [loss_case(*shape) for shape in SHAPES]
cases += [loss_case(*edge, {}, "float32") for edge in EDGES]
different = [[0, 2, 5], [2, 3, 3]]
metrics = [metric_case(*metric, way, different) for metric in METRICS for way in WAYS]
metrics += [metric_case(*metric, [[0, 2, 0], [2, 3, 0]]) for metric in LAST_METRICS]
epochs = [
    epoch_case(keras.losses.MeanSquaredError(), "numbers", "wanted_numbers", way, ["mean_absolute_error", "mean_squared_error"])
    for way in ({}, {"mask": "mask"}, {"mask": "mask", "weights": "step_weights"}, {"weights": "step_weights"})
]
epochs.append(epoch_case(keras.losses.SparseCategoricalCrossentropy(), "probabilities", "wanted_classes",
                         {"mask": "mask", "weights": "step_weights"}, ["accuracy"]))
class_weights = [class_weight_case("probabilities_last", targets, {0: 4.0, 2: 0.25, 3: 2.0})
                 for targets in ("wanted_classes_last", "wanted_classes_column")]
used = {case.get(key) for case in cases + metrics + epochs + class_weights for key in ("outputs", "targets", "mask", "weights")}
page = {
    "framework": f"keras {keras.__version__} on tensorflow {tf.__version__}",
    "arrays": {name: {"shape": list(array.shape), "is_float": array.dtype.kind == "f", "values": numbers(array)}
               for name, array in ARRAYS.items() if name in used},
    "losses": cases, "metrics": metrics, "epochs": epochs, "class_weights": class_weights,
}
lines = [f' "{key}": [\n' + ",\n".join("  " + json.dumps(entry) for entry in page[key]) + "\n ]" for key in ("losses", "metrics", "epochs", "class_weights")]
arrays = ",\n".join(f'  "{name}": {json.dumps(array)}' for name, array in page["arrays"].items())
text = f'{{\n "framework": {json.dumps(page["framework"])},\n "arrays": {{\n{arrays}\n }},\n' + ",\n".join(lines) + "\n}\n"
json.loads(text)
(pathlib.Path(__file__).parent / "losses.json").write_text(text)
