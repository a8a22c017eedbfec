"""Trains the sunspot network in Keras, and writes what examples/train compares with: reference.safetensors.

    pip install keras tensorflow-cpu safetensors
    python reference.py             # less than two minutes on a CPU

Two trainings are in the file.

1. From stored weights, over the stretches of `stretches` in their order, without anything random (no noise, no dropout): the
   losses of every batch, in float64 and in float32. The example trains from the same weights over the same batches, and its
   losses have to be the same.
2. The training of examples/forecast/train.py itself, with noise and dropout: the loss of every batch, for the plot. What
   this network forecasts stands in examples/forecast/expected.safetensors.
"""

import os
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "forecast"))

import train as forecast  # sets the backend of Keras, so that it comes first

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

EPOCHS, NUMBER, BATCH = 5, 192, 32
SEED = 12


def draw_stretches(values, random):
    """Where each stretch begins, the years of the Sun for one of its years, and by how much it is made larger."""
    pace = 1 + random.uniform(-forecast.FASTER, forecast.FASTER, NUMBER)
    last = len(values) - 1 - (forecast.YEARS + forecast.HORIZON - 1) * pace
    start = random.uniform(0, 1, NUMBER) * last
    louder = forecast.LOUDER ** random.uniform(-1, 1, NUMBER)
    return np.stack([start, pace, louder], axis=1)


def batches(values, stretches):
    """Inputs (number, 120, 2); the 5 years after each year (number, 120, 5); weights of the steps (number, 120), 0 before the
    20th year, and such that the mean over all steps is that over the others."""
    years = np.arange(forecast.YEARS + forecast.HORIZON)
    made = np.stack([np.interp(start + pace * years, np.arange(len(values)), values) * louder for start, pace, louder in stretches])
    scaled = forecast.scale(made)
    inputs = forecast.features(scaled[:, : forecast.YEARS])
    targets = np.lib.stride_tricks.sliding_window_view(scaled[:, 1:], forecast.HORIZON, axis=1)
    steps = np.arange(forecast.YEARS) >= forecast.SHORTEST - 1
    weights = np.broadcast_to(steps / steps.mean(), inputs.shape[:2])
    return [np.ascontiguousarray(array.astype(np.float32)) for array in (inputs, targets, weights)]


def network(dtype):
    layers = [
        keras.Input((forecast.YEARS, forecast.FEATURES), dtype=dtype),
        keras.layers.LSTM(forecast.UNITS, return_sequences=True, name="lstm", dtype=dtype),
        keras.layers.Dense(forecast.HORIZON, name="dense", dtype=dtype),
    ]
    return keras.Sequential(layers)


def train(initial, inputs, targets, weights, dtype):
    """The losses of all batches, (epochs, batches), and the weights afterwards."""
    keras.utils.clear_session()
    model = network(dtype)
    model.set_weights(initial)
    optimizer = keras.optimizers.AdamW(forecast.RATE, weight_decay=forecast.DECAY, clipnorm=1.0)
    model.compile(optimizer, loss=keras.losses.MeanAbsoluteError(dtype=dtype))
    losses = []
    for _ in range(EPOCHS):
        for first in range(0, NUMBER, BATCH):
            batch = slice(first, first + BATCH)
            x, y, sample_weight = (array[batch].astype(dtype) for array in (inputs, targets, weights))
            losses.append(float(model.train_on_batch(x, y, sample_weight=sample_weight)))
            model.reset_metrics()
    return np.array(losses).reshape(EPOCHS, -1), model.get_weights()


def train_as_the_example(years, values):
    """The losses of the training of examples/forecast/train.py, batch by batch."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(forecast.SEED)
    seen = values[years < forecast.FIRST_UNSEEN].astype(np.float64)
    inputs, targets = forecast.stretches(seen, forecast.STEPS * BATCH, np.random.default_rng(forecast.SEED))
    model = forecast.network(training=True)
    rate = keras.optimizers.schedules.CosineDecay(forecast.RATE, forecast.STEPS)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=forecast.DECAY, clipnorm=1.0), loss="mae")
    losses = []
    for first in range(0, len(inputs), BATCH):
        losses.append(float(model.train_on_batch(inputs[first : first + BATCH], targets[first : first + BATCH])))
        model.reset_metrics()
    return np.array(losses)


def main():
    tf.config.experimental.enable_op_determinism()
    years, values = forecast.read_series()
    seen = values[years < forecast.FIRST_UNSEEN].astype(np.float64)
    stretches = draw_stretches(seen, np.random.default_rng(SEED))
    inputs, targets, weights = batches(seen, stretches)

    keras.utils.set_random_seed(SEED)
    initial = network("float32").get_weights()
    exact, final = train(initial, inputs, targets, weights, "float64")
    rounded, _ = train(initial, inputs, targets, weights, "float32")
    print("losses by epoch, float64:", exact.mean(axis=1))
    print("Keras in float32 differs by at most", np.abs(rounded.mean(axis=1) - exact.mean(axis=1)).max())

    names = ("lstm.kernel", "lstm.recurrent_kernel", "lstm.bias", "dense.kernel", "dense.bias")
    tensors = {f"initial.{name}": array for name, array in zip(names, initial)}
    tensors |= {f"final.{name}": array.astype(np.float32) for name, array in zip(names, final)}
    tensors |= {"stretches": stretches, "losses": exact, "losses_float32": rounded}
    tensors["forecast_losses"] = train_as_the_example(years, values)
    print("losses of examples/forecast/train.py:", tensors["forecast_losses"][::20])
    about = {"keras": keras.__version__, "tensorflow": tf.__version__, "batch": f"{BATCH}"}
    about["optimizer"] = f"AdamW({forecast.RATE:g}, weight_decay={forecast.DECAY:g}, clipnorm=1)"
    about["loss"] = "mean absolute error, steps before the 20th without weight"
    safetensors.numpy.save_file(tensors, HERE / "reference.safetensors", metadata=about)


if __name__ == "__main__":
    main()
