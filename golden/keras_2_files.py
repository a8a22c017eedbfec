"""Makes `models/keras_2_last_step.{keras,h5}`: a functional model of Keras 2 with `x[:, -1, :]`, which is an operation of its own there.

    pip install tf-keras==2.21.0 tensorflow-cpu==2.21.0 keras==3.15.1
    python golden/keras_2_files.py

The case is as those of `keras_files.py`; Keras 2 computes the expected values in float64.
"""

import tf_keras

from keras_files import FOLDER, RNG, write_case



def build():
    steps = tf_keras.Input((None, 4))
    hidden = tf_keras.layers.LSTM(5, return_sequences=True)(steps)
    return tf_keras.Model(steps, tf_keras.layers.Dense(2)(hidden[:, -1, :]))


x = RNG.uniform(-1, 1, (3, 6, 4)).astype("float32")
model = build()
kept = [RNG.uniform(-1, 1, weight.shape).astype("float32") for weight in model.weights]
model.set_weights(kept)
files = [f"keras_2_last_step.{ending}" for ending in ("keras", "h5")]
for file in files:
    model.save(FOLDER / file)
tf_keras.backend.set_floatx("float64")
wide = build()
wide.set_weights(kept)
write_case("keras_2_last_step", "x[:, -1, :] of Keras 2, a SlicingOpLambda", files, x, kept, wide(x.astype("float64")))
