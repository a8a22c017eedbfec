"""Has Keras open the files that cellstate wrote, and compares what it predicts.

    CELLSTATE_KERAS_FOLDER=/some/folder cargo test --test formats files_for_keras
    python golden/keras_opens.py /some/folder
"""

import os
import pathlib
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from safetensors.numpy import load_file


def check(path):
    case = load_file(path.with_suffix(".safetensors"))
    model = keras.models.load_model(path)
    tokens = model.inputs[0].dtype == "int32"
    x = case["x"].astype(np.int32) if tokens else case["x"]
    wanted = [case[name] for name in ("y", "backward") if name in case]
    worst = compare(model(x, training=False), wanted)
    # the weights alone, into a model of the same layers
    fresh = keras.Sequential.from_config(model.get_config())
    fresh.load_weights(path.with_suffix(".weights.h5"))
    for one, other in zip(model.weights, fresh.weights, strict=True):
        assert np.array_equal(one.numpy(), other.numpy()), one.path
    print(f"{path.name:<32} {len(model.layers):3} layers, largest error {worst:.1e}")


def compare(outputs, wanted):
    outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    worst = 0.0
    for got, want in zip(outputs, wanted, strict=True):
        np.testing.assert_allclose(np.asarray(got), want, rtol=2e-5, atol=2e-5)
        worst = max(worst, float(np.abs(np.asarray(got) - want).max()))
    return worst


def main():
    paths = sorted(pathlib.Path(sys.argv[1]).glob("*.keras"))
    assert len(paths) >= 12, paths
    for path in paths:
        check(path)
    print(f"keras {keras.__version__} opened {len(paths)} files")


if __name__ == "__main__":
    main()
