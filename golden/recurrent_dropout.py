"""What recurrent layers of Keras give in training, with the masks of `src/random.rs`: outputs and gradients.

Keras draws masks of its own, which nobody else can draw; so the functions that give them are replaced, and everything behind them is Keras's.

    python golden/recurrent_dropout.py        writes golden/recurrent_dropout.json (Keras 3.15.1, TensorFlow)
"""

import json
import os
from pathlib import Path

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import keras
import numpy as np
import tensorflow as tf
from keras.src.layers.rnn.dropout_rnn_cell import DropoutRNNCell

SEED, BATCH = 9, 4
SEQUENCES, STEPS, FEATURES, UNITS = 3, 5, 3, 6
WORD = 0xFFFFFFFF


def philox(counter, key):
    """Philox 4x32-10 (Salmon, Moraes, Dror and Shaw 2011)."""
    c, k = list(counter), list(key)
    for _ in range(10):
        one, other = c[0] * 0xD2511F53, c[2] * 0xCD9E8D57
        c = [(other >> 32) ^ c[1] ^ k[0], other & WORD, (one >> 32) ^ c[3] ^ k[1], one & WORD]
        k = [(k[0] + 0x9E3779B9) & WORD, (k[1] + 0xBB67AE85) & WORD]
    return c


def factors(cell, rate, width, gate, is_recurrent):
    """(sequences, width): 0, or 1 / (1 - rate)."""
    rows = []
    for sequence in range(SEQUENCES):
        row = sequence | (gate + (4 if is_recurrent else 0)) << 29
        words = [
            word
            for four in range(-(-width // 4))
            for word in philox([four, row, 0xFFFF - cell, BATCH], [SEED, 0])
        ]
        shares = np.array([word >> 8 for word in words[:width]], np.float32) / np.float32(1 << 24)
        kept = np.float32(1) / (np.float32(1) - np.float32(rate))
        rows.append(np.where(shares >= np.float32(rate), kept, np.float32(0)))
    return tf.constant(np.stack(rows))


def masks(cell, rate, width, is_recurrent):
    if rate == 0:
        return None
    count = getattr(cell, "dropout_mask_count", None)
    if count is None:
        return factors(cell.number, rate, width, 0, is_recurrent)
    return [factors(cell.number, rate, width, gate, is_recurrent) for gate in range(count)]


DropoutRNNCell.get_dropout_mask = lambda cell, _: masks(cell, cell.dropout, FEATURES, False)
DropoutRNNCell.get_recurrent_dropout_mask = lambda cell, _: masks(cell, cell.recurrent_dropout, UNITS, True)


def numbers(tensor):
    array = np.asarray(tensor, np.float32)
    return {"shape": list(array.shape), "values": [float(str(value)) for value in array.ravel()]}


def case(layer, random):
    x = tf.Variable(random.uniform(-1, 1, (SEQUENCES, STEPS, FEATURES)).astype(np.float32))
    mask = tf.constant(random.uniform(size=(SEQUENCES, STEPS)) < 0.7)
    layer.build((SEQUENCES, STEPS, FEATURES))
    cells = [layer.forward_layer.cell, layer.backward_layer.cell] if hasattr(layer, "forward_layer") else [layer.cell]
    for number, cell in enumerate(cells):
        cell.number = number
    layer.set_weights([random.uniform(-0.8, 0.8, weight.shape).astype(np.float32) for weight in layer.get_weights()])
    with tf.GradientTape() as tape:
        output = layer(x, mask=mask, training=True)
        upstream = random.uniform(-1, 1, output.shape).astype(np.float32)
        loss = tf.reduce_sum(output * upstream)
    variables = [weight.value for weight in layer.trainable_weights]
    *gradients, of_input = tape.gradient(loss, [*variables, x])
    cell = cells[0]
    return {
        "class": type(layer).__name__,
        "dropout": cell.dropout,
        "recurrent_dropout": cell.recurrent_dropout,
        "reset_after": getattr(cell, "reset_after", None),
        "weights": [numbers(weight) for weight in layer.get_weights()],
        "x": numbers(x),
        "mask": [[bool(counts) for counts in row] for row in mask.numpy()],
        "upstream": numbers(upstream),
        "output": numbers(output),
        "gradients": [numbers(gradient) for gradient in gradients],
        "input_gradient": numbers(of_input),
    }


def main():
    random = np.random.default_rng(2026)
    cases = []
    for rates in [(0.25, 0.4), (0.0, 0.4), (0.25, 0.0)]:
        options = {"dropout": rates[0], "recurrent_dropout": rates[1], "return_sequences": True}
        layers = [
            keras.layers.LSTM(UNITS, **options),
            keras.layers.GRU(UNITS, **options),
            keras.layers.GRU(UNITS, reset_after=False, **options),
            keras.layers.SimpleRNN(UNITS, **options),
            keras.layers.Bidirectional(keras.layers.LSTM(UNITS, **options)),
        ]
        cases.extend(case(layer, random) for layer in layers)
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"keras": keras.__version__, "cases": cases}, separators=(",", ":")) + "\n")


main()
