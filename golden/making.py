"""What the scripts that make Keras cases share: random numbers, the description of a layer, and the writing of a case.

Keras runs in float64 on float32 numbers; the results are rounded to float32. `README.md` describes the files.
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
CELL = {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "unit_forget_bias": True}
RNN = {"return_sequences": False, "return_state": False, "go_backwards": False, "stateful": False, "unroll": False,
       "zero_output_for_mask": False}
FULL = {"return_sequences": True, "return_state": True}


def of_class(name):
    """The options of a cell of a class, as Keras has them without a word."""
    if name.startswith("LSTM"):
        return CELL
    if name.startswith("GRU"):
        return {"activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True, "reset_after": True}
    return {"activation": "tanh", "use_bias": True}


def layer(name, units, **options):
    """A recurrent layer: LSTM, GRU or SimpleRNN."""
    return {"class": name, "config": {**of_class(name), **RNN, "units": units, **options}}


def lstm(units, **options):
    return layer("LSTM", units, **options)


def cells(pairs, **options):
    """RNN over cells of several classes, given as (class, units)."""
    made = [{"class": name, "config": {**of_class(name), "units": units}} for name, units in pairs]
    return {"class": "RNN", "config": {**RNN, **options}, "cells": made}


def bidirectional(forward, merge_mode, backward=None):
    spec = {"class": "Bidirectional", "config": {"merge_mode": merge_mode}, "layer": forward}
    if backward is not None:
        spec["backward_layer"] = backward
    return spec


def dense(units, activation):
    return {"class": "Dense", "config": {"units": units, "activation": activation, "use_bias": True}}


def masking(mask_value):
    return {"class": "Masking", "config": {"mask_value": mask_value}}


def embedding(input_dim, output_dim, mask_zero):
    return {"class": "Embedding", "config": {"input_dim": input_dim, "output_dim": output_dim, "mask_zero": mask_zero}}


def repeat_vector(n):
    return {"class": "RepeatVector", "config": {"n": n}}


def build(spec):
    if spec["class"] == "Bidirectional":
        own = {"backward_layer": build(spec["backward_layer"])} if "backward_layer" in spec else {}
        return keras.layers.Bidirectional(build(spec["layer"]), **own, **spec["config"])
    if spec["class"] == "RNN":
        made = [getattr(keras.layers, cell["class"])(**cell["config"]) for cell in spec["cells"]]
        return keras.layers.RNN(made, **spec["config"])
    if spec["class"] == "LastStep":
        return keras.layers.Lambda(lambda x: x[:, -1])
    return getattr(keras.layers, spec["class"])(**spec["config"])


def sides(spec):
    """What a layer with several cells is made of: the prefix and the description of each."""
    if spec["class"] == "Bidirectional":
        return [("forward.", spec["layer"]), ("backward.", spec.get("backward_layer", spec["layer"]))]
    if spec["class"] == "RNN":
        return [(f"cells{i}.", cell) for i, cell in enumerate(spec["cells"])]
    return [("", spec)]


def weight_names(spec):
    normalization = ["gamma", "beta"]
    of_class = {"Dense": ["kernel", "bias"], "Embedding": ["embeddings"], "LayerNormalization": normalization,
                "BatchNormalization": [*normalization, "moving_mean", "moving_variance"]}
    of_class |= dict.fromkeys(["Masking", "RepeatVector", "Activation", "Dropout", "SpatialDropout1D", "Flatten", "Reshape",
                               "LastStep"], [])
    names = []
    for side, inner in sides(spec):
        own = of_class.get(inner["class"], ["kernel", "recurrent_kernel", "bias"])
        flags = {"bias": "use_bias", "gamma": "scale", "beta": "center"}
        own = [name for name in own if name not in flags or inner["config"][flags[name]]]
        names += [side + name for name in own]
    return names


def state_names(spec):
    """The prefixes of the states, their units and their letters; none for a layer without states."""
    recurrent = [(side, inner) for side, inner in sides(spec) if "units" in inner["config"] and inner["class"] != "Dense"]
    letters = {True: "hc", False: "h"}
    return [(side, inner["config"]["units"], letters[inner["class"].startswith("LSTM")]) for side, inner in recurrent]


class Case:
    """A case in the making."""

    def __init__(self, name, about, kind, specs, x, mask):
        self.name, self.about, self.kind, self.specs, self.x, self.mask = name, about, kind, specs, x, mask
        self.tensors, self.roles, self.tolerance, self.fields = {}, {}, {}, {}
        self.layers = [build(spec) for spec in specs]
        self.names = []  # of the weights of each layer
        self.given = {}  # what has a gradient, by name
        self.put("x", "input", x)
        if mask is not None:
            self.put("mask", "mask", mask.astype(np.uint8))

    def put(self, name, role, array):
        self.tensors[name], self.roles[name] = array, role

    def expect(self, expected):
        for name, array in expected.items():
            array = np.asarray(array).astype(np.float32)
            self.put(name, "expected", array)
            # a gradient is a sum of many terms, whose rounding grows with the largest
            largest = max(1.0, float(np.abs(array).max())) if name.startswith("grad.") else 1.0
            self.tolerance[name] = {"atol": 1e-5 * largest, "rtol": 1e-5}

    def run(self, maker, initial, change, check=None, tape=None):
        """Draws the weights, and runs the layers one behind the other."""
        x, mask, specs = self.x, self.mask, self.specs
        value = tf.constant(x if x.dtype == np.int32 else x.astype(np.float64))
        if tape is not None and x.dtype != np.int32:
            tape.watch(value)
            self.given["x"] = value
        between = []
        for number, (layer, spec) in enumerate(zip(self.layers, specs)):
            prefix = f"layer{number}." if len(specs) > 1 else ""
            spec["prefix"] = prefix
            if spec["class"] in ["Flatten", "Reshape", "LayerNormalization"]:
                spec["from"] = list(value.shape[1:]) if len(value.shape) == 3 else [1, value.shape[1]]
            layer.build(value.shape)
            names = [prefix + each for each in weight_names(spec)]
            arrays = {each: maker.draw(*weight.shape) for each, weight in zip(names, layer.weights, strict=True)}
            if change is not None:
                change(arrays)
            layer.set_weights([array.astype(np.float64) for array in arrays.values()])
            for each, array in arrays.items():
                self.put(each, "weight", array)
            self.names.append(names)
            self.given |= {each: weight.value for each, weight in zip(names, layer.weights) if weight.trainable}
            options = {}
            if number == 0 and mask is not None and state_names(spec):
                options["mask"] = tf.constant(mask)
            elif number == 0 and mask is not None:
                # a layer without a mask of its own, as Dense, hands on the one that the input carries
                value._keras_mask = tf.constant(mask)
            if initial and state_names(spec):
                initial = False
                options["initial_state"] = maker.states(spec, prefix, x.shape[0], self, tape)
                # Keras 3.15 hands on the mask that a tensor carries only to a layer called with this one tensor, so a layer that
                # gets states too has to be told
                options.setdefault("mask", getattr(value, "_keras_mask", None))
            value = layer(value, **options)
            if isinstance(value, (list, tuple)) and number + 1 < len(specs):
                raise ValueError("a layer with several outputs in the middle")
            between.append(value)
        if initial:
            raise ValueError("no layer takes the initial states")
        if check is not None:
            check(between)
        self.value = value

    def write(self):
        case = {
            "format": 1, "name": self.name, "kind": self.kind, "framework": FRAMEWORK, "about": self.about, "layers": self.specs,
            "roles": self.roles, "tolerance": self.tolerance,
            "expected_from": "keras in float64, rounded to float32", **self.fields,
        }
        tensors = {each: np.ascontiguousarray(array) for each, array in self.tensors.items()}
        save_file(tensors, FOLDER / f"{self.name}.safetensors", metadata={"case": json.dumps(case)})
        print(f"| {self.name} | {self.kind} | {self.about} | {list(self.x.shape)} |")


class Maker:
    """Makes cases from one seed: the same cases whenever the same calls are made in the same order."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def draw(self, *shape, limit=0.8):
        return self.rng.uniform(-limit, limit, shape).astype(np.float32)

    def holes(self, batch, time_steps):
        """One whole sequence, one short, one that begins late with a hole, one with nothing at all, the rest random."""
        mask = self.rng.random((batch, time_steps)) < 0.6
        mask[0] = True
        mask[1] = np.arange(time_steps) < 2
        mask[2] = np.arange(time_steps) >= 2
        mask[2, time_steps // 2 + 1] = False
        if batch > 3:
            mask[3] = False
        return mask

    def make(self, name, about, specs, x, mask=None, initial=False, change=None, check=None):
        """Runs the layers and writes the case.

        The mask goes to the first layer, `initial` states to the first one that has any. `change` alters the drawn weights
        (a dict of float32 arrays), `check` sees the output of every layer.
        """
        case = Case(name, about, "forward", specs, x, mask)
        case.run(self, initial, change, check)
        case.expect(expected_of(specs[-1], case.value))
        case.write()

    def gradient(self, name, about, specs, x, mask=None, initial=False, change=None):
        """The gradients of the sum of all outputs, each times a drawn weight."""
        case = Case(name, about, "gradient", specs, x, mask)
        with tf.GradientTape() as tape:
            case.run(self, initial, change, tape=tape)
            expected = expected_of(specs[-1], case.value)
            terms, loss = [], 0.0
            for each, value in expected.items():
                weight = "loss_weight" if each == "y" else f"loss_weight.{each}"
                terms.append([each, weight])
                case.put(weight, "loss_weight", self.draw(*value.shape, limit=1.0))
                loss += tf.reduce_sum(value * case.tensors[weight].astype(np.float64))
        gradients = tape.gradient(loss, case.given)
        case.expect(expected)
        case.expect({f"grad.{each}": tf.convert_to_tensor(gradient) for each, gradient in gradients.items()})
        case.fields["loss_terms"] = terms
        case.write()

    def training(self, name, about, specs, x, target, loss, optimizer, epochs, batch_size, sample_weight=None, change=None, frozen=()):
        """A training from drawn weights; `loss` and `optimizer` are a class of Keras with its options, `frozen` are numbers of layers."""
        case = Case(name, about, "training", specs, x, None)
        case.run(self, False, change)
        for number in frozen:
            case.layers[number].trainable = False
        case.put("target", "target", target)
        if sample_weight is not None:
            case.put("sample_weight", "sample_weight", sample_weight)
        # (the batch size is known, so that Flatten and Reshape know their sizes)
        model = keras.Sequential([keras.Input(x.shape[1:], dtype=x.dtype.name), *case.layers])
        made = [getattr(module, of["class"])(**{option: value for option, value in of.items() if option != "class"})
                for module, of in [(keras.losses, loss), (keras.optimizers, optimizer)]]
        model.compile(optimizer=made[1], loss=made[0])
        losses = []
        for _ in range(epochs):
            total = 0.0
            for first in range(0, len(x), batch_size):
                rows = slice(first, first + batch_size)
                weights = None if sample_weight is None else sample_weight[rows].astype(np.float64)
                y = target[rows] if target.dtype == np.int32 else target[rows].astype(np.float64)
                inputs = x[rows] if x.dtype == np.int32 else x[rows].astype(np.float64)
                value = model.train_on_batch(inputs, y, sample_weight=weights)
                total += float(value) * len(x[rows])
                model.reset_metrics()
            losses.append(total / len(x))
        case.expect({"losses": np.array(losses)})
        final = {}
        for layer, names in zip(case.layers, case.names):
            final |= {f"final.{each}": weight for each, weight in zip(names, layer.get_weights(), strict=True)}
        case.expect(final)
        case.fields["training"] = {"loss": loss, "optimizer": optimizer, "epochs": epochs, "batch_size": batch_size, "shuffle": False}
        if frozen:
            case.fields["training"]["frozen"] = [specs[number]["prefix"] for number in frozen]
        case.write()

    def states(self, spec, prefix, batch, case, tape=None):
        """Draws the initial states of a layer, in the nesting in which Keras takes them."""
        states = []
        for side, units, letters in state_names(spec):
            arrays = [self.draw(batch, units) for _ in letters]
            values = [tf.constant(each.astype(np.float64)) for each in arrays]
            for letter, array, value in zip(letters, arrays, values):
                case.put(f"{prefix}{side}initial_{letter}", "initial_state", array)
                if tape is not None:
                    tape.watch(value)
                    case.given[f"{prefix}{side}initial_{letter}"] = value
            states.append(values)
        if spec["class"] == "RNN" and len(spec["cells"]) > 1:
            return [each if len(each) > 1 else each[0] for each in states]
        return [each for arrays in states for each in arrays]


def expected_of(last, value):
    """The expected tensors: the outputs, and the states if the last layer gives them."""
    expected = {}
    outputs = list(value) if isinstance(value, (list, tuple)) else [value]
    config = last["layer"]["config"] if last["class"] == "Bidirectional" else last["config"]
    if config.get("return_state"):
        states = tf.nest.flatten(outputs[1:])
        for side, _, letters in state_names(last):
            for letter in letters:
                expected[f"{last['prefix']}{side}{letter}_n"] = states.pop(0)
        assert not states
        outputs = outputs[:1]
    if len(outputs) == 2:
        expected["forward.y"], expected["backward.y"] = outputs
    else:
        expected["y"] = outputs[0]
    return expected
