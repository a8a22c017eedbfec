"""Makes the cases `cases/keras_more_*.safetensors` of the layers that stand between others: Activation, Dropout, the normalisations,
Flatten, Reshape, and the last time step.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 torch==2.15.0 safetensors
    python golden/between_cases.py

The sizes are those of `more_cases.py`. PyTorch's LayerNorm is run on the same values, and has to give the same.
"""

import numpy as np
import torch

from making import FULL as full
from making import Maker, bidirectional, dense, embedding, layer, lstm, masking, repeat_vector

maker = Maker(20261128)
draw, holes, rng = maker.draw, maker.holes, maker.rng
mask = holes(5, 8)


def activation(name):
    return {"class": "Activation", "config": {"activation": name}}


def dropout(rate, spatial=False):
    return {"class": "SpatialDropout1D" if spatial else "Dropout", "config": {"rate": rate}}


def batch_normalization(epsilon=0.01, scale=True, center=True):
    return {"class": "BatchNormalization", "config": {"epsilon": epsilon, "scale": scale, "center": center}}


def layer_normalization(epsilon=0.01, scale=True, center=True):
    return {"class": "LayerNormalization", "config": {"epsilon": epsilon, "scale": scale, "center": center}}


def flatten():
    return {"class": "Flatten", "config": {}}


def reshape(*target_shape):
    return {"class": "Reshape", "config": {"target_shape": list(target_shape)}}


def last_step():
    return {"class": "LastStep", "config": {}}


def positive(arrays):
    """A variance is not negative."""
    for name, array in arrays.items():
        if name.endswith("moving_variance"):
            array[:] = np.abs(array) + 0.25


def make(name, about, specs, x, mask=None, **options):
    maker.make(name, about, specs, x, mask, change=positive, **options)


def sequences(units, **options):
    return lstm(units, return_sequences=True, **options)


def torch_agrees(outputs):
    """The first layer normalises, without gamma and beta, what PyTorch does too."""
    want = torch.nn.functional.layer_norm(torch.tensor(x.astype(np.float64)), (3,), eps=1e-5).numpy()
    assert np.allclose(np.asarray(outputs[0]), want, rtol=1e-12, atol=1e-12)


x = draw(5, 8, 3)
make("keras_more_activation_between", "Activations between LSTMs under a mask with holes, which goes on",
     [activation("softsign"), sequences(6), activation("gelu"), lstm(5, **full)], x, mask)
make("keras_more_activation_softmax", "Activation(softmax) over the units of each step, masked steps too",
     [sequences(6), activation("softmax")], draw(5, 8, 3), mask)
make("keras_more_dense_activation", "a linear Dense and an Activation behind it, then one that stands behind that",
     [lstm(6), dense(4, "linear"), activation("elu"), activation("softmax")], draw(5, 8, 3), mask)
make("keras_more_dropout", "Dropout and SpatialDropout1D do nothing, and the mask goes on",
     [dropout(0.5, True), sequences(6), dropout(0.25), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_batch_normalization", "BatchNormalization before and behind an LSTM, a mask with holes",
     [batch_normalization(), sequences(6), batch_normalization(0.1), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_batch_normalization_plain", "without gamma, without beta, and an activation behind; of a last output",
     [lstm(6), batch_normalization(scale=False), activation("relu"), batch_normalization(center=False)], draw(5, 8, 3), mask)
make("keras_more_batch_normalization_masking", "Masking and BatchNormalization: what is masked becomes the shift",
     [masking(0.0), batch_normalization()], np.where(mask[:, :, None], draw(5, 8, 3), np.float32(0)))
make("keras_more_batch_normalization_dense", "Masking, BatchNormalization, Dense and LSTM: the mask goes through",
     [masking(0.0), batch_normalization(), dense(4, "tanh"), lstm(5, **full)],
     np.where(mask[:, :, None], draw(5, 8, 3), np.float32(0)))
make("keras_more_layer_normalization", "LayerNormalization before and behind an LSTM, a mask with holes",
     [layer_normalization(), sequences(6), layer_normalization(0.1), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_layer_normalization_torch", "without gamma and beta, epsilon 1e-5, as PyTorch's LayerNorm without its own",
     [layer_normalization(1e-5, False, False), lstm(5)], x, mask, check=torch_agrees)
make("keras_more_layer_normalization_plain", "without gamma, without beta, and softmax behind; both directions before",
     [bidirectional(layer("GRU", 4, return_sequences=True), "concat"), layer_normalization(scale=False),
      layer_normalization(center=False), activation("softmax")], draw(5, 8, 3), mask)
tokens = rng.integers(0, 9, (5, 8)).astype(np.int32)
tokens[1, 2:] = tokens[2, 4] = tokens[3] = 0
make("keras_more_normalized_embedding", "an Embedding with mask_zero, LayerNormalization, SpatialDropout1D, LSTM",
     [embedding(9, 3, True), layer_normalization(), dropout(0.5, True), lstm(5, **full)], tokens, initial=True)
make("keras_more_flatten", "Flatten behind an LSTM: a masked step has the output before it; then Dense",
     [sequences(3), flatten(), dense(4, "tanh")], draw(5, 8, 3), mask)
make("keras_more_flatten_zero", "Flatten behind both directions, whose masked outputs are zero",
     [bidirectional(sequences(3), "concat"), flatten(), dense(4, "tanh")], draw(5, 8, 3), mask)
make("keras_more_flatten_masking", "Flatten behind Masking and Dense, with an LSTM behind all: masked steps are read",
     [masking(0.0), dense(3, "tanh"), flatten(), dense(6, "tanh"), repeat_vector(4), lstm(5, **full)],
     np.where(mask[:, :, None], draw(5, 8, 3), np.float32(0)))
make("keras_more_flatten_tokens", "Flatten right behind an Embedding with mask_zero",
     [embedding(9, 3, True), flatten(), dense(4, "tanh")], tokens)
make("keras_more_reshape", "Reshape between two LSTMs: the mask ends, and all new steps count",
     [sequences(3), reshape(6, 4), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_reshape_same", "Reshape to the same steps ends the mask all the same",
     [sequences(4), reshape(8, 4), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_reshape_input", "Reshape of the input",
     [reshape(12, 2), lstm(5, **full)], draw(5, 8, 3), mask)
make("keras_more_reshape_decoder", "an encoder, Dense and Reshape into steps, with a decoder behind",
     [lstm(6), dense(14, "tanh"), reshape(7, 2), sequences(5), layer_normalization(), dense(2, "linear")], draw(5, 8, 3), mask)
make("keras_more_reshape_and_back", "Reshape, BatchNormalization, Flatten, Reshape",
     [reshape(4, 6), batch_normalization(), flatten(), reshape(3, 8)], draw(5, 8, 3))
make("keras_more_reshape_alone", "Reshape alone", [reshape(3, 8)], draw(5, 8, 3))
make("keras_more_last_step", "the last step of the padded batch: the output before it, where it is masked",
     [sequences(6), last_step(), dense(2, "tanh")], draw(5, 8, 3), mask)
make("keras_more_last_step_zero", "the last step of both directions, which is zero where it is masked",
     [bidirectional(sequences(4), "concat"), layer_normalization(), last_step(), dense(2, "tanh")], draw(5, 8, 3), mask)
make("keras_more_last_step_dense", "Dense, the last step, RepeatVector, LSTM: the step that is masked is read",
     [masking(0.0), dense(3, "tanh"), last_step(), repeat_vector(4), lstm(5, **full)],
     np.where(mask[:, :, None], draw(5, 8, 3), np.float32(0)))
