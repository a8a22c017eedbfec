"""Makes the cases `cases/keras_more_*.safetensors` of Masking in every place, RepeatVector, and cells of other classes.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 safetensors
    python golden/layer_cases.py

The sizes are those of `more_cases.py`. Where a step has to be masked by what a layer gives, the weights make sure that the layer
gives the value exactly, in float32 as in float64: behind relu and hard_sigmoid a feature of -20 gives zeros and an empty state,
behind hard_tanh and hard_sigmoid a feature of 20 gives ones.
"""

import numpy as np

from making import FULL as full
from making import Maker, bidirectional, cells, dense, embedding, layer, lstm, masking, repeat_vector

maker = Maker(20261127)
draw, holes, make, rng = maker.draw, maker.holes, maker.make, maker.rng
mask = holes(5, 8)
SATURATING = {"activation": "hard_tanh", "recurrent_activation": "hard_sigmoid"}
STARVING = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}


def push(arrays):
    """The first feature pushes all units of the first layer the same way, with a weight of at least 0.5."""
    for name, array in arrays.items():
        if name == "layer0.kernel":
            array[0] = np.abs(array[0]) / 2 + 0.5


def pushed(value, where):
    """An input whose first feature is a number where a mask says so."""
    x = draw(5, 8, 3)
    x[:, :, 0] = np.where(where, np.float32(value), x[:, :, 0])
    return x


def some(place, value):
    """Some steps of the output of a layer are masked by the next one, and some are not."""
    def check(outputs):
        steps = np.all(np.asarray(outputs[place]) == value, axis=-1)
        assert 0 < steps.sum() < steps.size, steps
    return check


def rows(arrays):
    """Rows of the table that are 0.25 throughout, and one that only begins so."""
    for name, array in arrays.items():
        if name.endswith("embeddings"):
            array[3] = array[7] = 0.25
            array[5, 0] = 0.25


tokens = rng.integers(0, 9, (5, 8)).astype(np.int32)
tokens[0, :4] = [0, 3, 5, 7]
tokens[1, 2:] = 3
tokens[2, :3] = 7
tokens[3] = 3
make("keras_more_masking_after_embedding", "Masking after an Embedding: tokens whose whole row is mask_value are masked",
     [embedding(9, 3, False), masking(0.25), lstm(5, **full)], tokens, initial=True, change=rows, check=some(0, 0.25))
make("keras_more_masking_after_mask_zero", "Masking after mask_zero: token 0 counts again, and its row is that of the table",
     [embedding(9, 3, True), masking(0.25), lstm(5, **full)], tokens, initial=True, change=rows, check=some(0, 0.25))
silent = rng.random((5, 8)) < 0.4
silent[0, 3], silent[1, 4:], silent[2, :2], silent[3] = True, True, True, True
silent[1, 2:4] = silent[2, 5] = False
make("keras_more_masking_after_dense", "Masking after Dense(relu): steps that relu left at 0 are masked",
     [dense(4, "relu"), masking(0.0), lstm(5, **full)], pushed(-20, silent), initial=True, change=push, check=some(0, 0))
make("keras_more_masking_after_masked_dense", "the same under a mask of the caller's, which Masking replaces: its steps count again",
     [dense(4, "relu"), masking(0.0), lstm(5, **full)], pushed(-20, silent), mask, initial=True, change=push,
     check=some(0, 0))
make("keras_more_masking_after_lstm", "Masking between two LSTMs, the first of which gives zeros at some steps",
     [lstm(6, return_sequences=True, **STARVING), masking(0.0), lstm(5, **full)], pushed(-20, silent), initial=True,
     change=push, check=some(0, 0))
make("keras_more_masking_after_masked_lstm", "the same under a mask with holes: what the first LSTM repeats there counts",
     [lstm(6, return_sequences=True, **STARVING), masking(0.0), lstm(5, **full)], pushed(-20, silent), mask, initial=True,
     change=push, check=some(0, 0))
make("keras_more_masking_after_backwards", "Masking after go_backwards: it masks the outputs in the order in which they came",
     [lstm(6, return_sequences=True, go_backwards=True, **STARVING), masking(0.0), lstm(5, **full)], pushed(-20, silent),
     mask, change=push, check=some(0, 0))
ends = np.zeros((5, 8), bool)
ends[[0, 3], -3:] = True
make("keras_more_masking_after_last", "Masking after a last output: rows that are 1 throughout become 0 before the Dense",
     [lstm(6, **SATURATING), masking(1.0), dense(2, "tanh")], pushed(20, ends), change=push, check=some(0, 1))
padded = draw(5, 8, 3)
padded[1, 2:] = padded[2, 3] = padded[3] = -1
padded[4, 1, :2] = -1
padded[0, 5] = padded[4, 6] = 0
make("keras_more_masking_alone", "Masking alone: steps of -1 become 0, a step with only some features at -1 stays",
     [masking(-1.0)], padded)
make("keras_more_masking_twice", "Masking(-1) and Masking(0): what the first one sets to 0 the second one masks",
     [masking(-1.0), masking(0.0), lstm(5, **full)], padded, initial=True)
make("keras_more_masking_twice_counts_again", "Masking(0) and Masking(-1): the steps of 0 count again",
     [masking(0.0), masking(-1.0), lstm(5, **full)], padded, initial=True)
make("keras_more_repeat_vector", "encoder, RepeatVector, decoder and Dense, a mask with holes on the encoder",
     [lstm(6), repeat_vector(7), lstm(5, return_sequences=True), dense(2, "linear")], draw(5, 8, 3), mask, initial=True)
make("keras_more_repeat_vector_states", "RepeatVector between a Bidirectional encoder and a GRU that gives its state",
     [bidirectional(lstm(3), "concat"), repeat_vector(6), layer("GRU", 5, **full)], draw(5, 8, 4), mask, initial=True)
make("keras_more_repeat_vector_masking", "RepeatVector, Masking, LSTM: sequences whose vector is 1 throughout are masked whole",
     [lstm(6, **SATURATING), repeat_vector(5), masking(1.0), lstm(4, **full)], pushed(20, ends), change=push,
     check=some(1, 1))
other = {"activation": "softsign", "recurrent_activation": "hard_sigmoid", "use_bias": False, "go_backwards": True}
make("keras_more_bidirectional_backward_layer", "a backward_layer with other units, other activations and no bias",
     [bidirectional(lstm(4, **full), "concat", lstm(6, **full, **other))], draw(5, 8, 3), mask)
make("keras_more_bidirectional_backward_layer_sum", "merge_mode=sum, a backward_layer with other activations, last outputs",
     [bidirectional(lstm(4), "sum", lstm(4, **other))], draw(5, 8, 3), mask, initial=True)
make("keras_more_bidirectional_gru_lstm", "a GRU forward and an LSTM backward",
     [bidirectional(layer("GRU", 4, return_sequences=True), "concat",
                    lstm(5, return_sequences=True, go_backwards=True)), dense(2, "tanh")], draw(5, 8, 3), mask)
make("keras_more_bidirectional_gru", "GRU in both directions, holes, states in and out",
     [bidirectional(layer("GRU", 4, **full), "mul")], draw(5, 8, 3), mask, initial=True)
make("keras_more_bidirectional_simple_rnn", "SimpleRNN in both directions, both outputs apart, holes",
     [bidirectional(layer("SimpleRNN", 4, return_sequences=True), None)], draw(5, 8, 3), mask, initial=True)
mixed = [("GRUCell", 6), ("LSTMCell", 5), ("SimpleRNNCell", 4)]
make("keras_more_stacked_mixed_cells", "StackedRNNCells of a GRUCell, an LSTMCell and a SimpleRNNCell, holes, states in and out",
     [cells(mixed, **full)], draw(5, 8, 3), mask, initial=True)
make("keras_more_stacked_mixed_cells_backwards", "the same cells, go_backwards, zero_output_for_mask",
     [cells(mixed, **full, go_backwards=True, zero_output_for_mask=True)], draw(5, 8, 3), mask)
make("keras_more_gru_mask_state", "GRU, reset_after=True, holes, states in and out",
     [layer("GRU", 5, **full)], draw(5, 8, 3), mask, initial=True)
make("keras_more_gru_backwards_zero", "GRU, reset_after=False, go_backwards, zero_output_for_mask, holes, initial state",
     [layer("GRU", 5, **full, reset_after=False, go_backwards=True, zero_output_for_mask=True)], draw(5, 8, 3), mask,
     initial=True)
make("keras_more_gru_activations", "GRU without bias, other activations, holes, initial state",
     [layer("GRU", 5, **full, activation="softsign", recurrent_activation="hard_sigmoid", use_bias=False)], draw(5, 8, 3),
     mask, initial=True)
make("keras_more_gru_softmax", "GRU with softmax over units, holes, initial state",
     [layer("GRU", 5, **full, activation="softmax", recurrent_activation="softmax")], draw(5, 8, 3), mask, initial=True)
make("keras_more_simple_rnn_backwards", "SimpleRNN(relu) without bias, go_backwards, holes, initial state",
     [layer("SimpleRNN", 5, **full, activation="relu", use_bias=False, go_backwards=True)], draw(5, 8, 3), mask, initial=True)
make("keras_more_mixed_stack", "Masking, GRU, SimpleRNN, LSTM and Dense: the mask reaches all of them",
     [masking(0.0), layer("GRU", 6, return_sequences=True), layer("SimpleRNN", 5, return_sequences=True),
      lstm(4, return_sequences=True), dense(2, "sigmoid")], draw(5, 8, 3) * mask[:, :, None].astype(np.float32), initial=True)
