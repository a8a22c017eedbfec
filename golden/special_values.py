"""Makes `special_values.txt`: what the activations give at infinities, NaN, zeros, subnormals, the largest numbers and a grid.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 onnx==1.23.2 onnxruntime==1.32.0
    python golden/special_values.py

Keras runs in float32. At an infinity or NaN its value stands. At a finite number the true value stands, for which Keras runs in
float64: where the two differ by more than rounding, or in kind, both are written (Keras squares its argument in squareplus,
for one, and so gives infinity at 3e38). TensorFlow runs each number alone and in a row of 37, eagerly and compiled, and has
to give the same kind of number each time. ONNX's functions of alpha and beta are run as the activation of an RNN by ONNX
Runtime, at finite numbers only: what its operators give for NaN differs from one to the other. oneDNN is switched off: its
softmax gives zeros beside an infinity or NaN where TensorFlow's own, XLA's and that of float64 give a row of NaN.
"""

import os
import pathlib

os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import onnx
import onnxruntime
import tensorflow as tf
from keras.src import activations as registry
from onnx import TensorProto, helper

FILE = pathlib.Path(__file__).parent / "special_values.txt"
REFUSED = {"glu", "sparsemax", "threshold"}
OTHER_NAMES = {"hard_swish", "swish"}
ROWWISE = ["softmax", "log_softmax"]

LARGEST = np.finfo(np.float32).max
SPECIAL = [np.inf, -np.inf, np.nan, 0.0, -0.0]
MAGNITUDES = [1e-45, 1e-40, 1.17549435e-38, 1e-30, 1e-10, 1e-4, 0.1, 0.25, 0.4999, 0.5, 0.5001, 0.9999, 1.0, 1.0001, 1.7, 2.5,
              2.9999, 3.0, 3.5, 6.0, 6.5, 9.0, 17.0, 20.0, 40.0, 80.0, 87.0, 88.0, 89.0, 104.0, 1e4, 1e10, 2e18, 1e20, 1e38, LARGEST]
GRID = np.array(SPECIAL + [sign * x for x in MAGNITUDES for sign in (1, -1)], np.float32)

ROWS = [[1.0, 2.0, 3.0], [-np.inf, 0.0, 1.0], [np.inf, 0.0, 1.0], [np.inf, np.inf, 0.0], [-np.inf, -np.inf, -np.inf],
        [np.nan, 0.0, 1.0], [np.nan, np.nan, np.nan], [np.inf, -np.inf, np.nan], [1e-45, -1e-40, -0.0], [LARGEST, 0.0, 1.0],
        [-LARGEST, -LARGEST, -LARGEST], [3e38, 3e38, -np.inf], [-3.403e5, 100.0, 90.0]]

# name, alpha and beta; finite numbers that no parameter takes beyond float32's range
ONNX = [("Affine", 2.0, 0.5), ("Affine", -0.3, -1.5), ("ScaledTanh", 1.7, 0.6), ("HardSigmoid", None, None),
        ("HardSigmoid", 0.25, 0.4), ("LeakyRelu", None, None), ("LeakyRelu", 0.3, None), ("Elu", None, None), ("Elu", 1.5, None),
        ("ThresholdedRelu", 0.5, None), ("ThresholdedRelu", 1.0, None), ("Relu", None, None), ("Tanh", None, None),
        ("Sigmoid", None, None), ("Softsign", None, None), ("Softplus", None, None)]
ONNX_GRID = np.array([0.0, -0.0] + [sign * x for x in MAGNITUDES if 1e-30 <= x <= 80 for sign in (1, -1)], np.float32)


def kind(value):
    return "nan" if np.isnan(value) else str(value) if np.isinf(value) else "finite"


def text(value):
    return "nan" if np.isnan(value) else str(np.float32(value)) if np.isinf(value) else repr(float(f"{np.float32(value):.9g}"))


def agree(got, want):
    """The same kind of number and, if it is finite, equal but for a float32's rounding."""
    return kind(got) == kind(want) and (kind(got) != "finite" or abs(got - want) <= 3e-7 * max(1.0, abs(want)))


def elementwise(function):
    values = np.array([np.asarray(function(tf.constant(x[None])))[0] for x in GRID])
    for run in (function, tf.function(function), tf.function(function, jit_compile=True)):
        for x, value in zip(GRID, values):
            for again in np.asarray(run(tf.constant(np.full(37, x)))):
                assert kind(again) == kind(value), f"{function.__name__}({x}): {value} or {again}"
    return values


def onnx_values(name, alpha, beta):
    parameters = {"activation_alpha": alpha, "activation_beta": beta}
    attributes = {key: [value] for key, value in parameters.items() if value is not None}
    node = helper.make_node("RNN", ["x", "W", "R"], ["y"], hidden_size=1, activations=[name], **attributes)
    weights = [onnx.numpy_helper.from_array(np.full((1, 1, 1), value, np.float32), key) for key, value in (("W", 1), ("R", 0))]
    ends = [[helper.make_tensor_value_info(end, TensorProto.FLOAT, None)] for end in ("x", "y")]
    model = helper.make_model(helper.make_graph([node], name, *ends, weights), opset_imports=[helper.make_opsetid("", 22)],
                              ir_version=10)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, {"x": ONNX_GRID.reshape(1, -1, 1)})[0].ravel()


def main():
    keras_names = sorted(registry.ALL_OBJECTS_DICT)
    with np.errstate(over="ignore"):
        lines = [f"# Made by special_values.py with keras {keras.__version__} on tensorflow {tf.__version__} and onnxruntime "
                 f"{onnxruntime.__version__}.",
                 "#   name NAME                every activation of Keras",
                 "#   value NAME X Y [TRUE]    Y in float32; TRUE where that is not the true value at a finite X",
                 "#   row NAME X,X,X Y,Y,Y     the same for a row",
                 "#   onnx NAME ALPHA BETA X Y   '-' is a parameter that is not given"]
        lines += [f"name {name}" for name in keras_names]
        for name in keras_names:
            if name in REFUSED | OTHER_NAMES or name in ROWWISE:
                continue
            function = keras.activations.get(name)
            exact = np.asarray(function(tf.constant(GRID, tf.float64))).astype(np.float32)
            for x, value, true in zip(GRID, elementwise(function), exact):
                lost = np.isfinite(x) and not agree(value, true)
                lines.append(f"value {name} {text(x)} {text(value)}" + (f" {text(true)}" if lost else ""))
        for name in ROWWISE:
            for row in ROWS:
                function = keras.activations.get(name)
                values, compiled = (np.asarray(run(tf.constant([row], tf.float32)))[0]
                                    for run in (function, tf.function(function, jit_compile=True)))
                assert list(map(kind, values)) == list(map(kind, compiled)), f"{name}({row}): {values} or {compiled}"
                lines.append(f"row {name} {','.join(map(text, row))} {','.join(map(text, values))}")
    for name, alpha, beta in ONNX:
        given = " ".join("-" if parameter is None else text(parameter) for parameter in (alpha, beta))
        lines += [f"onnx {name} {given} {text(x)} {text(y)}" for x, y in zip(ONNX_GRID, onnx_values(name, alpha, beta))]
    FILE.write_text("\n".join(lines) + "\n")


main()
