"""Trains the network of the forecast example once, and writes what the example reads.

    pip install keras tensorflow-cpu safetensors
    python train.py                           # writes forecast.keras, weights.safetensors and expected.safetensors
    python train.py --keep forecast.keras     # writes them anew from a file of before, without training
    python train.py --until 1900 --seed 2     # trains on less, evaluates on the years up to 1958, writes nothing

The network reads a history of 20 years or more and gives the 5 years that follow it. Two features a year: the square
root of the sunspot number in units of the scaling below, and by how much that changed since the year before (0 in the
first year). Training sees stretches of 120 years, each made larger or smaller and slower or faster than the Sun was,
and forecasts after each of their years from the 20th. Histories of different lengths are for the forecasts: padded
after, with an explicit mask. Nothing of 1959 or later is seen in training. README.md says how the settings were chosen.
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
HORIZON = 5  # years forecast
SHORTEST = 20  # years of a history
CYCLE = 11  # years after which the Sun more or less repeats itself
LENGTHS = (30, 60, 90, 120)  # of the histories of the example, in turn
FIRST_UNSEEN = 1959
FEATURES, UNITS = 2, 32
MEAN, DEVIATION = 6.0, 4.0  # of the square roots; whole numbers, so that float32 and float64 have the same
YEARS, LOUDER, FASTER = 120, 2.0, 0.04  # a stretch in training; its values ×1/2 to ×2, its years ±4 %
STEPS, BATCH, RATE, DECAY, NOISE, DROPOUT = 160, 32, 4e-3, 1e-3, 0.15, 0.4
SEED = 6


def read_series():
    """The years and their sunspot numbers."""
    lines = (HERE / "sunspots.csv").read_text().splitlines()
    rows = [line.split(",") for line in lines if line[:1].isdigit()]
    return np.array([int(year) for year, _ in rows]), np.array([float(value) for _, value in rows], np.float32)


def scale(values):
    """Square roots, in units of the scaling."""
    return (np.sqrt(values) - values.dtype.type(MEAN)) / values.dtype.type(DEVIATION)


def unscale(scaled):
    """Sunspot numbers; never below 0."""
    return np.square(np.maximum(scaled * DEVIATION + MEAN, 0))


def features(scaled):
    """The features of years (..., time_steps, features): the scaled value, and its change."""
    change = np.diff(scaled, axis=-1, prepend=scaled[..., :1])
    return np.stack([scaled, change], axis=-1)


def stretches(values, number, random):
    """What training sees: inputs (number, YEARS, features), and the 5 years after each year from the 20th on."""
    inputs = np.zeros((number, YEARS, FEATURES), np.float32)
    targets = np.zeros((number, YEARS - SHORTEST + 1, HORIZON), np.float32)
    for row in range(number):
        pace = 1 + random.uniform(-FASTER, FASTER)
        start = random.uniform(0, len(values) - 1 - (YEARS + HORIZON - 1) * pace)
        stretch = np.interp(start + pace * np.arange(YEARS + HORIZON), np.arange(len(values)), values)
        scaled = scale(stretch * LOUDER ** random.uniform(-1, 1))
        inputs[row] = features(scaled[:YEARS])
        targets[row] = np.lib.stride_tricks.sliding_window_view(scaled[SHORTEST:], HORIZON)
    return inputs, targets


def network(training, dtype="float32"):
    """The model. In training it forecasts after each year from the 20th on; else after the last, and takes a mask,
    an input of its own, True where a year is real."""
    history, mask = keras.Input((None, FEATURES), dtype=dtype), keras.Input((None,), dtype="bool")
    lstm = keras.layers.LSTM(UNITS, return_sequences=training, name="lstm", dtype=dtype)
    dense = keras.layers.Dense(HORIZON, name="dense", dtype=dtype)
    if not training:
        return keras.Model([history, mask], dense(lstm(history, mask=mask)))
    x = lstm(keras.layers.GaussianNoise(NOISE)(history))
    x = keras.layers.Dropout(DROPOUT)(x[:, SHORTEST - 1 :])
    return keras.Model(history, dense(x))


def sequential(weights):
    """The same network as a chain of layers with their weights, as it goes into the file. The example gives the mask."""
    keras.utils.clear_session()
    layers = [keras.Input((None, FEATURES)), keras.layers.LSTM(UNITS, name="lstm"), keras.layers.Dense(HORIZON, name="dense")]
    model = keras.Sequential(layers, name="forecast")
    model.set_weights(weights)
    return model


def train(years, values, until, seed):
    """The weights of a network that has seen the years before `until`."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    seen = values[years < until].astype(np.float64)
    inputs, targets = stretches(seen, STEPS * BATCH, np.random.default_rng(seed))
    model = network(training=True)
    rate = keras.optimizers.schedules.CosineDecay(RATE, STEPS)
    model.compile(keras.optimizers.AdamW(rate, weight_decay=DECAY, clipnorm=1.0), loss="mae")
    model.fit(inputs, targets, batch_size=BATCH, shuffle=False, verbose=2)
    return model.get_weights()


def cut(years, values, origins):
    """The histories that end at `origins`, 30 to 120 years long in turn: inputs (batch, time_steps, features), mask."""
    lengths = [LENGTHS[row % len(LENGTHS)] for row in range(len(origins))]
    inputs = np.zeros((len(origins), max(lengths), FEATURES), np.float32)
    mask = np.zeros(inputs.shape[:2], bool)
    for row, (origin, length) in enumerate(zip(origins, lengths)):
        end = origin - years[0] + 1
        inputs[row, :length] = features(scale(values[end - length : end]))
        mask[row, :length] = True
    return inputs, mask


def forecast(weights, inputs, mask, dtype):
    """What Keras gives in `dtype`, scaled, (batch, 5)."""
    model = network(training=False, dtype=dtype)
    model.set_weights(weights)
    return model.predict([inputs.astype(dtype), mask], batch_size=len(inputs), verbose=0)


def report(years, values, origins, scaled):
    """Prints the mean absolute errors, in sunspots, beside those of three forecasts that need no network."""
    ends = [origin - years[0] + 1 for origin in origins]
    measured = np.stack([values[end : end + HORIZON] for end in ends])
    guesses = {
        "LSTM": unscale(scaled),
        "the last cycle again": np.stack([values[end - CYCLE : end - CYCLE + HORIZON] for end in ends]),
        "the last value goes on": np.stack([np.full(HORIZON, values[end - 1]) for end in ends]),
        "the mean of all years so far": np.stack([np.full(HORIZON, values[:end].mean()) for end in ends]),
    }
    print(f"mean absolute error of {len(origins)} histories that end in {origins[0]} to {origins[-1]}, by years ahead")
    print(f"  {'':30}{''.join(f'{ahead:7}' for ahead in range(1, HORIZON + 1))}   mean")
    for name, guess in guesses.items():
        error = np.abs(guess - measured).mean(axis=0)
        print(f"  {name:30}{''.join(f'{number:7.1f}' for number in error)}{error.mean():7.1f}")


def write(weights, years, values):
    """Writes the model, its weights as arrays, and what Keras gives in float64 for the batch that the example builds."""
    sequential(weights).save(HERE / "forecast.keras")
    names = ("lstm.kernel", "lstm.recurrent_kernel", "lstm.bias", "dense.kernel", "dense.bias")
    versions = {"keras": keras.__version__, "tensorflow": tf.__version__}
    about = versions | {"gates": "i f c o", "mean": f"{MEAN:g}", "deviation": f"{DEVIATION:g}"}
    about |= {"scaled": "(sqrt(value) - mean) / deviation", "trained_until": f"{FIRST_UNSEEN - 1}"}
    safetensors.numpy.save_file(dict(zip(names, weights)), HERE / "weights.safetensors", metadata=about)

    last = int(years[-1])
    origins = [*range(FIRST_UNSEEN - 1, last - HORIZON + 1), last]
    inputs, mask = cut(years, values, origins)
    exact = forecast(weights, inputs, mask, "float64")
    rounded = np.abs(forecast(weights, inputs, mask, "float32") - exact).max()
    print(f"batch {inputs.shape}; Keras in float32 differs by {rounded:.1e}")
    about = versions | {"dtype": "computed in float64, rounded to float32", "unit": "scaled"}
    expected = {"forecasts": exact.astype(np.float32)}
    safetensors.numpy.save_file(expected, HERE / "expected.safetensors", metadata=about)
    report(years, values, origins[:-1], exact[:-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--until", type=int, default=FIRST_UNSEEN, help="the first year that training does not see")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--keep", type=Path, help="a .keras file whose weights are taken, instead of training")
    arguments = parser.parse_args()
    years, values = read_series()
    if arguments.keep:
        weights = keras.models.load_model(arguments.keep).get_weights()
    else:
        weights = train(years, values, arguments.until, arguments.seed)
    if arguments.until == FIRST_UNSEEN:
        write(weights, years, values)
        return
    origins = list(range(arguments.until - 1, FIRST_UNSEEN - HORIZON))
    inputs, mask = cut(years, values, origins)
    report(years, values, origins, forecast(weights, inputs, mask, "float32"))


if __name__ == "__main__":
    main()
