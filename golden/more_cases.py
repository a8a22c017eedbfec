"""Makes the cases `cases/keras_more_*.safetensors`: combinations of options that meet in one model.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 safetensors
    python golden/more_cases.py

Keras runs in float64 on float32 numbers; the results are rounded to float32. Every case has at least three sequences of
at least five steps, features other than units, distinct random weights, one short sequence, and a state other than zero where
the layer takes one.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from safetensors.numpy import save_file

keras.config.set_floatx("float64")
FOLDER = pathlib.Path(__file__).parent / "cases"
FRAMEWORK = {"name": "keras", "version": keras.__version__, "backend": f"tensorflow {tf.__version__}"}
rng = np.random.default_rng(20261123)


def draw(*shape, limit=0.8):
    return rng.uniform(-limit, limit, shape).astype(np.float32)


def holes(batch, time_steps):
    """One whole sequence, one short, one that begins late with a hole, one with nothing at all, the rest random."""
    mask = rng.random((batch, time_steps)) < 0.6
    mask[0] = True
    mask[1] = np.arange(time_steps) < 2
    mask[2] = np.arange(time_steps) >= 2
    mask[2, time_steps // 2 + 1] = False
    if batch > 3:
        mask[3] = False
    return mask


CELL = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "unit_forget_bias": True}
RNN = {"return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False, "unroll": False,
       "zero_output_for_mask": False}


def lstm(units, **options):
    return {"class": "LSTM", "config": {**CELL, **RNN, "units": units, **options}}


def cells(units, **options):
    return {"class": "RNN", "config": {**RNN, **options},
            "cells": [{"class": "LSTMCell", "config": {**CELL, "units": each}} for each in units]}


def bidirectional(layer, merge_mode):
    return {"class": "Bidirectional", "config": {"merge_mode": merge_mode}, "layer": layer}


def dense(units, activation):
    return {"class": "Dense", "config": {"units": units, "activation": activation, "use_bias": True}}


def build(spec):
    if spec["class"] == "Bidirectional":
        return keras.layers.Bidirectional(build(spec["layer"]), **spec["config"])
    if spec["class"] == "RNN":
        made = [keras.layers.LSTMCell(**cell["config"]) for cell in spec["cells"]]
        return keras.layers.RNN(made, **spec["config"])
    return getattr(keras.layers, spec["class"])(**spec["config"])


def weight_names(spec):
    kind = spec["class"]
    if kind == "Bidirectional":
        return [f"{side}.{name}" for side in ("forward", "backward") for name in weight_names(spec["layer"])]
    if kind == "RNN":
        return [f"cells{i}.{name}" for i in range(len(spec["cells"])) for name in ("kernel", "recurrent_kernel", "bias")]
    return {"LSTM": ["kernel", "recurrent_kernel", "bias"], "Dense": ["kernel", "bias"],
            "Embedding": ["embeddings"], "Masking": []}[kind]


def state_names(spec):
    """The prefixes of the states and their units."""
    if spec["class"] == "Bidirectional":
        return [("forward.", spec["layer"]["config"]["units"]), ("backward.", spec["layer"]["config"]["units"])]
    if spec["class"] == "RNN":
        return [(f"cells{i}.", cell["config"]["units"]) for i, cell in enumerate(spec["cells"])]
    return [("", spec["config"]["units"])]


def make(name, about, specs, x, mask=None, initial=False):
    layers = [build(spec) for spec in specs]
    tensors, roles = {"x": x}, {"x": "input"}
    if mask is not None:
        tensors["mask"], roles["mask"] = mask.astype(np.uint8), "mask"
    value = tf.constant(x if x.dtype == np.int32 else x.astype(np.float64))
    for number, (layer, spec) in enumerate(zip(layers, specs)):
        prefix = f"layer{number}." if len(specs) > 1 else ""
        spec["prefix"] = prefix
        layer.build(value.shape)
        arrays = [draw(*weight.shape) for weight in layer.weights]
        layer.set_weights([array.astype(np.float64) for array in arrays])
        names = [prefix + each for each in weight_names(spec)]
        assert len(names) == len(arrays), (names, [w.path for w in layer.weights])
        tensors.update(zip(names, arrays))
        roles.update({each: "weight" for each in names})
        options = {"mask": tf.constant(mask)} if number == 0 and mask is not None else {}
        if number == 0 and initial:
            states = []
            for side, units in state_names(spec):
                pair = [draw(x.shape[0], units), draw(x.shape[0], units)]
                for letter, array in zip("hc", pair):
                    tensors[f"{prefix}{side}initial_{letter}"] = array
                    roles[f"{prefix}{side}initial_{letter}"] = "initial_state"
                states.append([tf.constant(each.astype(np.float64)) for each in pair])
            if spec["class"] == "RNN" and len(spec["cells"]) > 1:
                options["initial_state"] = states
            else:
                options["initial_state"] = [each for pair in states for each in pair]
        value = layer(value, **options)
        if isinstance(value, (list, tuple)) and number + 1 < len(specs):
            raise ValueError("a layer with several outputs in the middle")
    last = specs[-1]
    expected = {}
    outputs = list(value) if isinstance(value, (list, tuple)) else [value]
    config = last["layer"]["config"] if last["class"] == "Bidirectional" else last["config"]
    prefix = last["prefix"]
    if config.get("return_state"):
        states = tf.nest.flatten(outputs[1:])
        for (side, _), (h, c) in zip(state_names(last), zip(states[::2], states[1::2])):
            expected[f"{prefix}{side}h_n"], expected[f"{prefix}{side}c_n"] = h, c
        outputs = outputs[:1]
    if len(outputs) == 2:
        expected["forward.y"], expected["backward.y"] = outputs
    else:
        expected["y"] = outputs[0]
    for each, array in expected.items():
        tensors[each] = np.asarray(array).astype(np.float32)
        roles[each] = "expected"
    case = {
        "format": 1, "name": name, "kind": "forward", "framework": FRAMEWORK, "about": about, "layers": specs, "roles": roles,
        "tolerance": {each: {"atol": 1e-5, "rtol": 1e-5} for each in expected},
        "expected_from": "keras in float64, rounded to float32",
    }
    tensors = {each: np.ascontiguousarray(array) for each, array in tensors.items()}
    save_file(tensors, FOLDER / f"{name}.safetensors", metadata={"case": json.dumps(case)})
    print(name, {each: array.shape for each, array in tensors.items() if roles[each] == "expected"})


full = {"return_sequences": True, "return_state": True}
mask = holes(5, 8)
make("keras_more_stacked_cells_mask_state", "stacked cells under a mask with holes, from given states",
     [cells([6, 4], **full)], draw(5, 8, 3), mask, initial=True)
make("keras_more_stacked_cells_backwards_zero", "stacked cells, go_backwards, zero_output_for_mask",
     [cells([6, 4], **full, go_backwards=True, zero_output_for_mask=True)], draw(5, 8, 3), mask)
make("keras_more_backwards_zero_output", "go_backwards, zero_output_for_mask, holes, initial state",
     [lstm(5, **full, go_backwards=True, zero_output_for_mask=True)], draw(5, 8, 3), mask, initial=True)
make("keras_more_backwards_last", "go_backwards with holes: the last output is that of the first valid step",
     [lstm(5, return_state=True, go_backwards=True)], draw(5, 8, 3), mask, initial=True)
make("keras_more_activations_mask", "other activations, holes, initial state",
     [lstm(5, **full, activation="softsign", recurrent_activation="hard_sigmoid")], draw(5, 8, 3), mask, initial=True)
make("keras_more_softmax_mask", "softmax over units, holes, initial state",
     [lstm(5, **full, activation="softmax", recurrent_activation="softmax")], draw(5, 8, 3), mask, initial=True)
for mode in ("concat", "sum", "mul", "ave", None):
    make(f"keras_more_bidirectional_{mode or 'none'}_holes", f"merge_mode={mode}, holes, states in and out",
         [bidirectional(lstm(4, **full) if mode else lstm(4, return_sequences=True), mode)], draw(5, 8, 3), mask,
         initial=True)
    make(f"keras_more_bidirectional_{mode or 'none'}_last", f"merge_mode={mode}, holes, last outputs",
         [bidirectional(lstm(4), mode)], draw(5, 8, 3), mask, initial=True)
make("keras_more_bidirectional_stack", "two Bidirectionals and a Dense under a mask with holes",
     [bidirectional(lstm(4, return_sequences=True), "concat"), bidirectional(lstm(3, return_sequences=True), "sum"),
      dense(2, "sigmoid")], draw(5, 8, 5), mask)
make("keras_more_dense_between", "a Dense layer between two LSTMs, which hands the mask on",
     [lstm(6, return_sequences=True), dense(4, "relu"), lstm(5, return_sequences=True, return_state=True)],
     draw(5, 8, 3), mask)
make("keras_more_masking_stack", "Masking, LSTM, backwards LSTM, softmax at every step",
     [{"class": "Masking", "config": {"mask_value": 0.0}}, lstm(6, return_sequences=True),
      lstm(5, return_sequences=True, go_backwards=True), dense(4, "softmax")],
     draw(5, 8, 3) * mask[:, :, None].astype(np.float32))
tokens = (rng.integers(1, 11, (5, 8)) * mask).astype(np.int32)
make("keras_more_embedding_bidirectional", "Embedding(mask_zero), Bidirectional, Dense",
     [{"class": "Embedding", "config": {"input_dim": 11, "output_dim": 3, "mask_zero": True}},
      bidirectional(lstm(4, return_sequences=True), "ave"), dense(2, "linear")], tokens)
