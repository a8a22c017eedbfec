"""Makes the cases `cases/keras_more_grad_*.safetensors` and `cases/keras_more_train_*.safetensors`: gradients and trainings of what the
cases `keras_grad_*` and `keras_train_*` leave out.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 safetensors
    python golden/training_cases.py

The sizes are those of `more_cases.py`. In a training the mask comes from a Masking layer.
"""

import numpy as np

from making import FULL as full
from making import Maker, bidirectional, cells, dense, embedding, layer, lstm, masking, repeat_vector

maker = Maker(20261129)
draw, holes, rng = maker.draw, maker.holes, maker.rng
mask = holes(5, 8)


def normalization(name, **options):
    return {"class": f"{name}Normalization", "config": {"epsilon": 0.01, "scale": True, "center": True, **options}}


def sequences(units, **options):
    return lstm(units, return_sequences=True, **options)


def positive(arrays):
    """A variance is not negative."""
    for name, array in arrays.items():
        if name.endswith("moving_variance"):
            array[:] = np.abs(array) + 0.25


def push(arrays):
    """All features push all units of the first layer the same way."""
    for name, array in arrays.items():
        if name == "layer0.kernel":
            array[:] = np.abs(array) + np.float32(0.25)


def gradient(name, about, specs, x=None, mask=mask, change=positive, **options):
    x = draw(5, 8, 3) if x is None else x
    maker.gradient(f"keras_more_grad_{name}", about, specs, x, mask, change=change, **options)


gradient("gru", "GRU, a mask with holes, initial and final state", [layer("GRU", 5, **full)], initial=True)
gradient("gru_reset_before", "GRU with reset_after=False, go_backwards, the same", [
    layer("GRU", 5, reset_after=False, go_backwards=True, **full)], initial=True)
gradient("simple_rnn", "SimpleRNN with relu, the same", [layer("SimpleRNN", 5, activation="relu", **full)], initial=True)
gradient("stacked_cells", "RNN over cells of three classes, the same",
         [cells([("LSTMCell", 6), ("GRUCell", 5), ("SimpleRNNCell", 4)], **full)], initial=True)
gradient("backwards_zero_output", "go_backwards, zero_output_for_mask: what a masked step gives is 0 and has no gradient",
         [lstm(5, go_backwards=True, zero_output_for_mask=True, **full)], initial=True)
gradient("last_holes", "the last output where the last step is masked is that of the last step that counts", [lstm(5)])
gradient("softmax", "softmax as both activations: a row has one derivative", [
    lstm(5, activation="softmax", recurrent_activation="softmax", **full)], initial=True)
for merge_mode in ["concat", "sum", "mul", "ave"]:
    gradient(f"bidirectional_{merge_mode}", f"Bidirectional of a GRU and an LSTM, merge_mode={merge_mode}, a mask with holes",
             [bidirectional(layer("GRU", 5, return_sequences=True), merge_mode,
                            lstm(5, return_sequences=True, go_backwards=True))], initial=True)
gradient("bidirectional_stack", "two Bidirectional layers, the second with its last outputs",
         [bidirectional(sequences(5), "concat"), bidirectional(layer("GRU", 4), "sum")])
silent = np.where(rng.random((5, 8, 1)) < 0.3, np.float32(-20), draw(5, 8, 3))
gradient("masking_between", "Masking between Dense(relu) and an LSTM: steps that relu leaves at 0 count no more, and learn nothing",
         [dense(4, "relu"), masking(0.0), lstm(5, **full)], x=silent, mask=None, change=push)
gradient("layer_normalization", "LayerNormalization between two LSTMs",
         [sequences(6), normalization("Layer"), lstm(5, **full)])
gradient("batch_normalization", "BatchNormalization with its moving statistics between two LSTMs",
         [sequences(6), normalization("Batch"), lstm(5, **full)])
gradient("decoder", "an LSTM, its last output repeated, a GRU, softmax at each step, and a Dense of all steps",
         [lstm(6), repeat_vector(4), layer("GRU", 5, return_sequences=True), {"class": "Activation", "config": {"activation": "softmax"}},
          {"class": "Flatten", "config": {}}, dense(3, "gelu")])
gradient("embedding", "tokens, some of which come again and again, without a mask",
         [embedding(6, 3, False), layer("GRU", 4, return_sequences=True)], x=rng.integers(0, 6, (5, 8)).astype(np.int32), mask=None)


def padded(masked):
    """Numbers, and zeros where a mask is false."""
    return (draw(5, 8, 3) * masked[:, :, None]).astype(np.float32)


def training(name, about, specs, target, loss, optimizer, x=None, epochs=12, batch_size=5, **options):
    x = padded(mask) if x is None else x
    loss, optimizer = [{"class": of} if isinstance(of, str) else of for of in (loss, optimizer)]
    # every option in the file, those that nobody gave too
    for of, options_of in [(loss, LOSSES), (optimizer, OPTIMIZERS)]:
        of |= {option: value for option, value in options_of[of["class"]].items() if option not in of}
    maker.training(f"keras_more_train_{name}", about, specs, x, target, loss, optimizer, epochs, batch_size, change=positive, **options)


ADAM = {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-7, "weight_decay": None}
OPTIMIZERS = {
    "SGD": {"momentum": 0.0, "nesterov": False, "weight_decay": None},
    "Adam": {**ADAM, "amsgrad": False},
    "AdamW": {**ADAM, "weight_decay": 0.004, "amsgrad": False},
    "Nadam": ADAM,
    "RMSprop": {"rho": 0.9, "momentum": 0.0, "epsilon": 1e-7, "centered": False, "weight_decay": None},
    "Adagrad": {"initial_accumulator_value": 0.1, "epsilon": 1e-7, "weight_decay": None},
    "Lion": {"beta_1": 0.9, "beta_2": 0.99, "weight_decay": None},
}
LOSSES = {
    "MeanSquaredError": {}, "MeanAbsoluteError": {}, "Huber": {"delta": 1.0},
    "BinaryCrossentropy": {"from_logits": False, "label_smoothing": 0.0},
    "CategoricalCrossentropy": {"from_logits": False, "label_smoothing": 0.0},
    "SparseCategoricalCrossentropy": {"from_logits": False, "ignore_class": None},
}
classes = rng.integers(0, 4, 5).astype(np.int32)
of_steps = np.eye(4, dtype=np.float32)[rng.integers(0, 4, (5, 8))]

training("adamw_gru", "GRU with two biases, AdamW with weight decay, small batches", [masking(0.0), layer("GRU", 5), dense(2, "linear")],
         draw(5, 2), "MeanSquaredError", {"class": "AdamW", "learning_rate": 0.02, "weight_decay": 0.05}, batch_size=2)
training("nadam_bidirectional", "Bidirectional, classes from probabilities, Nadam",
         [masking(0.0), bidirectional(sequences(4), "concat"), lstm(5), dense(4, "softmax")], classes,
         "SparseCategoricalCrossentropy", {"class": "Nadam", "learning_rate": 0.02})
training("amsgrad_steps", "a class for each step that counts, from logits, label smoothing, Adam with amsgrad",
         [masking(0.0), sequences(5), dense(4, "linear")], of_steps,
         {"class": "CategoricalCrossentropy", "from_logits": True, "label_smoothing": 0.1},
         {"class": "Adam", "learning_rate": 0.05, "amsgrad": True})
training("adagrad_sample_weights", "a weight for each step besides the mask, Huber, Adagrad",
         [masking(0.0), sequences(5), dense(2, "tanh")], draw(5, 8, 2), {"class": "Huber", "delta": 0.3},
         {"class": "Adagrad", "learning_rate": 0.1}, sample_weight=np.abs(draw(5, 8)))
training("row_weights", "a weight for each sequence, mean absolute error, SGD with Nesterov's momentum",
         [masking(0.0), layer("SimpleRNN", 5), dense(2, "linear")], draw(5, 2), "MeanAbsoluteError",
         {"class": "SGD", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True}, sample_weight=np.abs(draw(5)), batch_size=2)
training("lion_layer_normalization", "LayerNormalization, binary cross-entropy from logits, Lion",
         [sequences(5), normalization("Layer"), layer("GRU", 4, reset_after=False), dense(1, "linear")],
         rng.integers(0, 2, (5, 1)).astype(np.float32), {"class": "BinaryCrossentropy", "from_logits": True},
         {"class": "Lion", "learning_rate": 0.005, "weight_decay": 0.1}, x=draw(5, 8, 3))
training("batch_normalization", "BatchNormalization learns from the statistics of each batch, of the steps that count, and follows them",
         [masking(0.0), sequences(5), normalization("Batch", momentum=0.8), lstm(4), dense(2, "linear")], draw(5, 2), "MeanSquaredError",
         {"class": "Adam", "learning_rate": 0.02}, batch_size=3)
training("rmsprop_stacked_cells", "RNN over cells of two classes, centered RMSprop with momentum",
         [masking(0.0), cells([("LSTMCell", 4), ("GRUCell", 5)]), dense(2, "linear")], draw(5, 2), "MeanSquaredError",
         {"class": "RMSprop", "learning_rate": 0.005, "momentum": 0.5, "centered": True})
training("frozen_batch_normalization", "a frozen BatchNormalization keeps its moving statistics and normalises by them, one behind it does not",
         [masking(0.0), sequences(5), normalization("Batch", momentum=0.8), lstm(4), normalization("Batch", momentum=0.7), dense(2, "linear")],
         draw(5, 2), "MeanSquaredError", {"class": "SGD", "learning_rate": 0.05, "momentum": 0.9}, batch_size=3, frozen=[2])
