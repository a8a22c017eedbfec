"""Trains the network of the forecast example once, and writes what the example reads.

    pip install keras tensorflow-cpu safetensors
    python train.py                 # writes weights.safetensors and expected.safetensors beside this file
    python train.py --until 1910    # trains on less, evaluates on the 50 years after, writes nothing

The network reads a history of 20 to 120 years and gives the 11 years that follow it. Two features a year: the sunspot
number, and by how much it changed since the year before (0 in the first year), both in units of the scaling below.
Histories are padded after, with an explicit mask. Nothing of 1960 or later is seen in training. README.md says how the
settings were chosen.
"""

import argparse
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import safetensors.numpy
import tensorflow as tf

HERE = Path(__file__).resolve().parent
HORIZON = 11  # years forecast
SHORTEST, LONGEST = 20, 120  # years of a history
LENGTHS = (30, 60, 90, 120)  # of the histories of the example, in turn
ORIGINS = 39  # histories of the example that have 11 measured years after them
FEATURES, UNITS = 2, 32
MEAN, DEVIATION = 48.0, 40.0  # whole numbers, so that float32 and float64 have the same
EPOCHS, COPIES, BATCH, RATE, SEED = 10, 8, 64, 3e-3, 1


def read_series():
    """The years and their sunspot numbers."""
    lines = (HERE / "sunspots.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines if line[:1].isdigit()]
    return np.array([int(year) for year, _ in rows]), np.array([float(value) for _, value in rows], np.float32)


def cut(years, values, origins, lengths):
    """Histories that end at `origins`: inputs (batch, time_steps, features), mask, and what came after (batch, 11)."""
    scaled = (values - np.float32(MEAN)) / np.float32(DEVIATION)
    inputs = np.zeros((len(origins), max(lengths), FEATURES), np.float32)
    mask = np.zeros(inputs.shape[:2], bool)
    targets = np.full((len(origins), HORIZON), np.nan, np.float32)
    for row, (origin, length) in enumerate(zip(origins, lengths)):
        end = origin - years[0] + 1
        history = scaled[end - length : end]
        inputs[row, :length, 0] = history
        inputs[row, 1:length, 1] = np.diff(history)
        mask[row, :length] = True
        after = scaled[end : end + HORIZON]
        targets[row, : len(after)] = after
    return inputs, mask, targets


def network(dtype="float32"):
    """The model. The mask is an input of its own, True where a year is real."""
    history = keras.Input((None, FEATURES), dtype=dtype)
    mask = keras.Input((None,), dtype="bool")
    x = keras.layers.GaussianNoise(0.1, dtype=dtype)(history)
    x = keras.layers.LSTM(UNITS, name="lstm", dtype=dtype)(x, mask=mask)
    x = keras.layers.Dropout(0.2, dtype=dtype)(x)
    x = keras.layers.Dense(HORIZON, name="dense", dtype=dtype)(x)
    return keras.Model([history, mask], x)


def train(years, values, until):
    """A network that has seen the years before `until`."""
    keras.utils.set_random_seed(SEED)
    tf.config.experimental.enable_op_determinism()
    random = np.random.default_rng(SEED)
    origins = np.tile(np.arange(years[0] + SHORTEST - 1, until - HORIZON), COPIES)
    lengths = [random.integers(SHORTEST, min(LONGEST, origin - years[0] + 1), endpoint=True) for origin in origins]
    inputs, mask, targets = cut(years, values, origins, lengths)
    model = network()
    steps = EPOCHS * -(-len(origins) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-4, clipnorm=1.0), loss="mae")
    model.fit([inputs, mask], targets, epochs=EPOCHS, batch_size=BATCH, verbose=2)
    return model


def report(years, values, origins, forecasts, targets):
    """Prints the mean absolute errors, in sunspots, beside those of three forecasts that need no network."""
    ends = [origin - years[0] + 1 for origin in origins]
    measured = targets * DEVIATION + MEAN
    others = {
        "LSTM": forecasts * DEVIATION + MEAN,
        "the last value goes on": np.stack([np.full(HORIZON, values[end - 1]) for end in ends]),
        "the last 11 years again": np.stack([values[end - HORIZON : end] for end in ends]),
        "the mean of all years so far": np.stack([np.full(HORIZON, values[:end].mean()) for end in ends]),
    }
    print(f"mean absolute error, {len(origins)} histories that end in {origins[0]} to {origins[-1]}, 11 years after each")
    for name, guess in others.items():
        error = np.abs(guess - measured)
        print(f"  {name:30} {error.mean():5.1f}   1st year {error[:, 0].mean():5.1f}   11th {error[:, -1].mean():5.1f}")


def write(model, years, values):
    """Writes the weights, and what Keras gives in float64 for the batch that the example builds."""
    lstm, dense = model.get_layer("lstm"), model.get_layer("dense")
    names = ("lstm.kernel", "lstm.recurrent_kernel", "lstm.bias", "dense.kernel", "dense.bias")
    weights = dict(zip(names, lstm.get_weights() + dense.get_weights()))
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    about = versions | {"gates": "i f c o", "mean": f"{MEAN:g}", "deviation": f"{DEVIATION:g}", "trained_until": "1959"}
    safetensors.numpy.save_file(weights, HERE / "weights.safetensors", metadata=about)

    last = int(years[-1])
    origins = [*range(last - HORIZON - ORIGINS + 1, last - HORIZON + 1), last]
    lengths = [LENGTHS[row % len(LENGTHS)] for row in range(len(origins))]
    inputs, mask, targets = cut(years, values, origins, lengths)
    exact = network("float64")
    exact.set_weights(model.get_weights())
    forecasts = exact.predict([inputs.astype(np.float64), mask], batch_size=len(origins), verbose=0)
    rounded = np.abs(model.predict([inputs, mask], batch_size=len(origins), verbose=0) - forecasts).max()
    print(f"batch {inputs.shape}, lengths {min(lengths)} to {max(lengths)}; Keras in float32 differs by {rounded:.1e}")
    about = versions | {"dtype": "computed in float64, rounded to float32", "unit": "scaled"}
    expected = {"forecasts": forecasts.astype(np.float32)}
    safetensors.numpy.save_file(expected, HERE / "expected.safetensors", metadata=about)
    report(years, values, origins[:-1], forecasts[:-1], targets[:-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=int, default=1960, help="the first year that training does not see")
    until = parser.parse_args().until
    years, values = read_series()
    model = train(years, values, until)
    if until == 1960:
        write(model, years, values)
        return
    origins = list(range(until - 1, min(until + 50, int(years[-1]) + 1) - HORIZON))
    lengths = [LENGTHS[row % len(LENGTHS)] for row in range(len(origins))]
    inputs, mask, targets = cut(years, values, origins, lengths)
    report(years, values, origins, model.predict([inputs, mask], verbose=0), targets)


if __name__ == "__main__":
    main()
