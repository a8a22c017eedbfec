"""Makes the cases `cases/keras_more_*.safetensors` in which several options of LSTMs meet.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 safetensors
    python golden/more_cases.py

Every case has at least three sequences of at least five steps, features other than units, distinct random weights, one short
sequence, and a state other than zero where the layer takes one.
"""

import numpy as np

from making import FULL as full
from making import Maker, bidirectional, cells, dense, lstm

maker = Maker(20261123)
draw, holes, make, rng = maker.draw, maker.holes, maker.make, maker.rng
mask = holes(5, 8)
make("keras_more_stacked_cells_mask_state", "stacked cells under a mask with holes, from given states",
     [cells([("LSTMCell", 6), ("LSTMCell", 4)], **full)], draw(5, 8, 3), mask, initial=True)
make("keras_more_stacked_cells_backwards_zero", "stacked cells, go_backwards, zero_output_for_mask",
     [cells([("LSTMCell", 6), ("LSTMCell", 4)], **full, go_backwards=True, zero_output_for_mask=True)], draw(5, 8, 3), mask)
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
