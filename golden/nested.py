"""Makes the model files `models/keras_nested_*`: sequences within sequences, the characters of words, with TimeDistributed around recurrent layers.

Files and cases are as those of `keras_files.py`; the input `x` has an axis more. Run it with Keras 3.15 in this folder; it writes the same
weights each time. Beside two cases stand gradients, `<name>.gradients.safetensors`. Last it shows what Keras refuses: a mask of characters that reaches a recurrent layer or a
BatchNormalization over words.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from safetensors.numpy import load_file, save_file

from keras_files import FOLDER, RNG, floats, make, sequential, weights_of

WORDS, CHARACTERS = 5, 6


def short(x, padding):
    """A short word, a word without characters, and a sequence of two words."""
    x[0, 0, 3:] = padding
    x[0, 2, :2] = padding
    x[1, 4] = padding
    x[1, 1, 1:] = padding
    x[2, 2:] = padding
    return x


def readings(padding=0.0):
    return short(RNG.uniform(-1, 1, (3, WORDS, CHARACTERS, 2)).astype(np.float32), padding)


def characters(vocabulary):
    return short(RNG.integers(1, vocabulary, (3, WORDS, CHARACTERS)).astype(np.int32), 0)


def tagger():
    each = L.TimeDistributed
    return sequential(L.Input((None, None), dtype="int32"), each(L.Embedding(9, 3, mask_zero=True)), each(L.Bidirectional(L.LSTM(4))),
                      L.Bidirectional(L.LSTM(5, return_sequences=True)), each(L.Dense(3, activation="softmax")))


def masked():
    each = L.TimeDistributed
    return sequential(L.Input((None, CHARACTERS, 2)), L.Masking(), L.Dropout(0.1), each(L.GRU(4, return_sequences=True)), L.Dense(3),
                      L.Activation("tanh"), each(L.LSTM(5)), L.Masking(), L.LSTM(4, return_sequences=True), L.Dense(2))


def within():
    inner = sequential(L.Input((CHARACTERS, 2)), L.Masking(-1.0), L.Bidirectional(L.SimpleRNN(4, return_sequences=True)), L.Dropout(0.2),
                       L.LayerNormalization(), L.GRU(5))
    return sequential(L.Input((WORDS, CHARACTERS, 2)), L.TimeDistributed(inner), L.Masking(), L.Bidirectional(L.LSTM(4), merge_mode="sum"))


def unread():
    return sequential(L.Input((WORDS, CHARACTERS), dtype="int32"), L.Embedding(9, 3, mask_zero=True), L.TimeDistributed(L.LSTM(4)),
                      L.TimeDistributed(L.Dense(3)), L.Flatten(), L.Dense(2))


def functional():
    x = inputs = L.Input((WORDS, CHARACTERS), dtype="int32", name="characters")
    x = L.Embedding(9, 3, mask_zero=True, name="letters")(x)
    x = L.TimeDistributed(L.Bidirectional(L.GRU(4), merge_mode="ave"), name="words")(x)
    x = L.Masking(name="padding")(x)
    x = L.LSTM(5, return_sequences=True, name="text")(x)
    return keras.Model(inputs, L.TimeDistributed(L.Dense(2), name="tags")(x))


def handed_in():
    first = y = L.Input((CHARACTERS, 2))
    y = L.BatchNormalization()(y)
    y = L.LSTM(4, return_sequences=True)(y)
    inner = keras.Model(first, L.RNN([L.LSTMCell(4), L.GRUCell(3)])(y))
    return sequential(L.Input((WORDS, CHARACTERS, 2)), L.Masking(), L.TimeDistributed(inner), L.LayerNormalization(), L.Dense(2))


def every_character():
    first = sequential(L.Input((CHARACTERS, 2)), L.Masking(), L.LSTM(3, return_sequences=True))
    return sequential(L.Input((WORDS, CHARACTERS, 2)), L.TimeDistributed(first), L.TimeDistributed(L.SimpleRNN(4, return_sequences=True)),
                      L.TimeDistributed(L.Flatten()), L.GRU(5))


def alone():
    return sequential(L.Input((None, None, 2)), L.TimeDistributed(L.LSTM(4, go_backwards=True)))


def gradients(name, build):
    """How sum(upstream · y) depends on each weight, in float64, beside the case: `g0`, `g1`, …"""
    case = load_file(FOLDER / f"{name}.case.safetensors")
    upstream = RNG.uniform(-1, 1, case["y"].shape).astype(np.float32)
    keras.utils.clear_session()
    with floats("float64"):
        model = build()
        for number, weight in enumerate(weights_of(model)):
            weight.assign(case[f"w{number}"].astype(np.float64))
        x = case["x"] if case["x"].dtype == np.int32 else case["x"].astype(np.float64)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(x, training=False) * upstream)
        found = tape.gradient(loss, [weight.value for weight in weights_of(model)])
    found = {f"g{number}": tf.convert_to_tensor(gradient).numpy().astype(np.float32) for number, gradient in enumerate(found)}
    assert all(np.isfinite(gradient).all() and np.abs(gradient).max() > 1e-4 for gradient in found.values())
    save_file({"upstream": upstream, **found}, FOLDER / f"{name}.gradients.safetensors")


def refused():
    for outer in (L.LSTM(3), L.Bidirectional(L.LSTM(3)), L.BatchNormalization(), L.TimeDistributed(L.BatchNormalization())):
        try:
            model = sequential(L.Input((WORDS, CHARACTERS, 2)), L.Masking(), L.TimeDistributed(L.LSTM(4)), outer)
            model(readings())
        except (ValueError, tf.errors.InvalidArgumentError) as error:
            print("Keras refuses a mask of characters over words:", str(error).splitlines()[0])
        else:
            raise AssertionError("Keras takes a mask of characters over words")


def main():
    every = ("keras", "h5", "weights.h5")
    make("keras_nested_tagger", "characters in words: TimeDistributed(Embedding), TimeDistributed(Bidirectional), sizes open", tagger,
         characters(9), every)
    make("keras_nested_masked", "Masking over characters, two recurrent layers over them, and Masking over words", masked, readings(),
         ("keras", "h5"))
    make("keras_nested_within", "TimeDistributed around a Sequential with a mask of its own", within, readings(-1.0), every)
    make("keras_nested_unread", "a mask of characters that no layer over words reads", unread, characters(9), ("keras", "h5"))
    make("keras_nested_functional", "a functional chain over characters in words", functional, characters(9), every)
    make("keras_nested_handed_in", "a mask of characters goes into a functional model in TimeDistributed", handed_in, readings(),
         ("keras", "h5"))
    make("keras_nested_every_character", "outputs at every character, of which each word has all in a row", every_character, readings(),
         ("keras", "h5"))
    make("keras_nested_alone", "TimeDistributed over an LSTM alone", alone, readings(), every)
    gradients("keras_nested_masked", masked)
    gradients("keras_nested_tagger", tagger)
    refused()


if __name__ == "__main__":
    main()
