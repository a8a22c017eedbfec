"""Writes `optimizers.safetensors`: what the optimisers of Keras and PyTorch make of given gradients, what Keras's learning-rate schedules
and its ReduceLROnPlateau give, and the terms of its regularisers.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 torch==2.15.0 safetensors
    python golden/optimizers.py

All cases begin with the same three parameters (`kernel`, `recurrent_kernel`, `bias`) and get the same gradients in 6 steps
(`gradients.kernel` …, the step is the first axis). `trajectory.NAME.kernel` … are the values after each step, in float64;
`single.NAME.kernel` … those of Keras in float32. The metadata `cases` says class and options of each; `weight_decay_excludes` are names of
parameters, and the learning rate may be a schedule of `schedules`. `schedule.NAME` is the learning rate at the steps of `schedule_steps`;
`plateau.NAME` the one after each of the monitored values of `plateau_values`. `regularizer.NAME.loss` and `.gradient` are of `kernel`.

Some gradients are zero in all steps, some change their sign, some are tiny and some large.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from safetensors.numpy import load_file, save_file

# TensorFlow and PyTorch do not always load into one process: the cases of PyTorch run in a second one.
IS_TORCH = len(sys.argv) == 3 and sys.argv[1] == "torch"
if IS_TORCH:
    import torch
else:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras
    import tensorflow as tf

STEPS = 6
SHAPES = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}

SCHEDULES = {
    "exponential": ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.7}),
    "staircase": ("ExponentialDecay", {"initial_learning_rate": 0.1, "decay_steps": 3, "decay_rate": 0.7, "staircase": True}),
    "cosine": ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10}),
    "cosine_alpha": ("CosineDecay", {"initial_learning_rate": 0.1, "decay_steps": 10, "alpha": 0.25}),
    "cosine_warmup": (
        "CosineDecay",
        {"initial_learning_rate": 0.01, "decay_steps": 10, "alpha": 0.1, "warmup_target": 0.2, "warmup_steps": 4},
    ),
    "cosine_target_at_once": (
        "CosineDecay",
        {"initial_learning_rate": 0.01, "decay_steps": 10, "warmup_target": 0.2, "warmup_steps": 0},
    ),
    "piecewise": ("PiecewiseConstantDecay", {"boundaries": [2, 5, 9], "values": [0.1, 0.05, 0.02, 0.01]}),
    "polynomial": ("PolynomialDecay", {"initial_learning_rate": 0.1, "decay_steps": 7, "end_learning_rate": 0.01, "power": 0.5}),
    "polynomial_cycle": (
        "PolynomialDecay",
        {"initial_learning_rate": 0.1, "decay_steps": 4, "end_learning_rate": 0.01, "power": 2.0, "cycle": True},
    ),
}
SCHEDULE_STEPS = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 15, 40]

PLATEAU_VALUES = [1.0, 0.9, 0.89995, 0.95, 0.91, 0.92, 0.5, 0.6, 0.6, 0.6, 0.6, float("nan"), 0.6, 0.6, 0.6, 0.6]
PLATEAUS = {
    "patience_1": {"factor": 0.5, "patience": 1},
    "patience_2": {"factor": 0.1, "patience": 2, "min_lr": 0.002},
    "cooldown": {"factor": 0.5, "patience": 1, "cooldown": 2},
    "max": {"factor": 0.5, "patience": 2, "mode": "max", "min_delta": 0.2},
}

REGULARIZERS = {"l1": {"l1": 0.03}, "l2": {"l2": 0.02}, "l1_l2": {"l1": 0.01, "l2": 0.05}}

# (name, framework, class, options)
CASES = [
    ("sgd", "keras", "SGD", {"learning_rate": 0.1}),
    ("sgd_momentum", "keras", "SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    ("sgd_nesterov", "keras", "SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    ("sgd_decay", "keras", "SGD", {"learning_rate": 0.1, "momentum": 0.8, "weight_decay": 0.3}),
    ("sgd_momentum_schedule", "keras", "SGD", {"learning_rate": "exponential", "momentum": 0.9}),
    ("sgd_clipnorm", "keras", "SGD", {"learning_rate": 0.1, "clipnorm": 1.5}),
    ("sgd_clipnorm_decay", "keras", "SGD", {"learning_rate": 0.1, "clipnorm": 1.5, "weight_decay": 0.3}),
    ("sgd_global_clipnorm", "keras", "SGD", {"learning_rate": 0.1, "global_clipnorm": 1.5}),
    ("sgd_clipvalue", "keras", "SGD", {"learning_rate": 0.1, "clipvalue": 0.3}),
    ("rmsprop", "keras", "RMSprop", {"learning_rate": 0.01}),
    ("rmsprop_epsilon", "keras", "RMSprop", {"learning_rate": 0.05, "rho": 0.8, "epsilon": 0.01}),
    ("rmsprop_momentum", "keras", "RMSprop", {"learning_rate": 0.05, "momentum": 0.7}),
    ("rmsprop_centered", "keras", "RMSprop", {"learning_rate": 0.05, "centered": True, "epsilon": 0.001}),
    ("rmsprop_all", "keras", "RMSprop",
     {"learning_rate": 0.05, "momentum": 0.7, "centered": True, "epsilon": 0.001, "weight_decay": 0.1, "clipvalue": 0.5}),
    ("adam", "keras", "Adam", {"learning_rate": 0.01}),
    ("adam_epsilon", "keras", "Adam", {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01}),
    ("adam_amsgrad", "keras", "Adam", {"learning_rate": 0.05, "beta_2": 0.5, "amsgrad": True}),
    ("adam_decay", "keras", "Adam", {"learning_rate": 0.05, "weight_decay": 0.3}),
    ("adam_decay_excludes", "keras", "Adam", {"learning_rate": 0.05, "weight_decay": 0.3, "weight_decay_excludes": ["bias"]}),
    ("adam_global_clipnorm", "keras", "Adam", {"learning_rate": 0.05, "epsilon": 0.1, "global_clipnorm": 1.0}),
    ("adam_schedule", "keras", "Adam", {"learning_rate": "cosine_warmup", "weight_decay": 0.2}),
    ("adamw", "keras", "AdamW", {"learning_rate": 0.05}),
    ("adamw_decay", "keras", "AdamW", {"learning_rate": 0.05, "weight_decay": 0.4, "amsgrad": True, "beta_2": 0.6}),
    ("adagrad", "keras", "Adagrad", {"learning_rate": 0.1}),
    ("adagrad_all", "keras", "Adagrad",
     {"learning_rate": 0.1, "initial_accumulator_value": 0.01, "epsilon": 0.02, "weight_decay": 0.1}),
    ("nadam", "keras", "Nadam", {"learning_rate": 0.01}),
    ("nadam_all", "keras", "Nadam",
     {"learning_rate": 0.05, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 0.01, "weight_decay": 0.1}),
    ("lion", "keras", "Lion", {"learning_rate": 0.01}),
    ("lion_all", "keras", "Lion", {"learning_rate": 0.02, "beta_1": 0.6, "beta_2": 0.8, "weight_decay": 0.3}),
    ("torch_sgd", "torch", "SGD", {"lr": 0.1}),
    ("torch_sgd_momentum", "torch", "SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.3}),
    ("torch_sgd_nesterov", "torch", "SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("torch_sgd_momentum_schedule", "torch", "SGD", {"lr": "exponential", "momentum": 0.9}),
    ("torch_rmsprop", "torch", "RMSprop", {"lr": 0.01}),
    ("torch_rmsprop_all", "torch", "RMSprop",
     {"lr": 0.05, "alpha": 0.9, "eps": 0.01, "momentum": 0.7, "centered": True, "weight_decay": 0.2}),
    ("torch_rmsprop_momentum_schedule", "torch", "RMSprop", {"lr": "exponential", "momentum": 0.7, "eps": 0.01}),
    ("torch_adam", "torch", "Adam", {"lr": 0.01}),
    ("torch_adam_epsilon", "torch", "Adam", {"lr": 0.05, "betas": [0.8, 0.99], "eps": 0.01}),
    ("torch_adam_decay", "torch", "Adam", {"lr": 0.05, "weight_decay": 0.3}),
    ("torch_adam_decoupled", "torch", "Adam", {"lr": 0.05, "weight_decay": 0.3, "decoupled_weight_decay": True}),
    ("torch_adam_amsgrad", "torch", "Adam", {"lr": 0.05, "betas": [0.9, 0.5], "amsgrad": True, "weight_decay": 0.1}),
    ("torch_adam_clip", "torch", "Adam", {"lr": 0.05, "eps": 0.1, "clip_grad_norm": 1.0, "weight_decay": 0.1}),
    ("torch_sgd_clip_small", "torch", "SGD", {"lr": 0.1, "clip_grad_norm": 1e-5}),
    ("torch_adamw", "torch", "AdamW", {"lr": 0.05}),
    ("torch_adagrad", "torch", "Adagrad", {"lr": 0.1}),
    ("torch_adagrad_all", "torch", "Adagrad",
     {"lr": 0.1, "initial_accumulator_value": 0.05, "eps": 0.02, "weight_decay": 0.1}),
    ("torch_nadam", "torch", "NAdam", {"lr": 0.01}),
    ("torch_nadam_all", "torch", "NAdam",
     {"lr": 0.05, "betas": [0.8, 0.99], "eps": 0.01, "momentum_decay": 0.02, "weight_decay": 0.2}),
    ("torch_nadam_decoupled", "torch", "NAdam", {"lr": 0.05, "weight_decay": 0.2, "decoupled_weight_decay": True}),
]


def made():
    """The parameters and the gradients of all steps."""
    random = np.random.default_rng(20260712)
    values = {name: random.normal(0.0, 0.6, shape).astype(np.float32) for name, shape in SHAPES.items()}
    gradients = {}
    for name, shape in SHAPES.items():
        gradient = random.normal(0.0, 0.7, (STEPS, *shape)).astype(np.float32)
        gradient[..., 0] = 0.0
        gradient[..., 1] *= np.float32(1e-4)
        gradient[..., 2] *= np.float32(30.0)
        gradient[..., 3] = np.abs(gradient[..., 3]) + np.float32(0.1)
        gradients[name] = gradient
    return values, gradients


def schedule(name):
    kind, options = SCHEDULES[name]
    return getattr(keras.optimizers.schedules, kind)(**options)


def with_keras(kind, options, values, gradients, dtype):
    keras.config.set_floatx(dtype)
    options = dict(options)
    excludes = options.pop("weight_decay_excludes", None)
    if isinstance(options["learning_rate"], str):
        options["learning_rate"] = schedule(options["learning_rate"])
    optimizer = getattr(keras.optimizers, kind)(**options)
    variables = [keras.Variable(value.astype(dtype), dtype=dtype, name=name) for name, value in values.items()]
    if excludes:
        optimizer.exclude_from_weight_decay(var_names=excludes)
    trajectory = {name: [] for name in values}
    for step in range(STEPS):
        given = [tf.constant(gradients[name][step].astype(dtype)) for name in values]
        optimizer.apply(given, variables)
        for name, variable in zip(values, variables):
            trajectory[name].append(variable.numpy().copy())
    return {name: np.stack(steps) for name, steps in trajectory.items()}


def with_torch(kind, options, rates, values, gradients):
    options = dict(options)
    clip = options.pop("clip_grad_norm", None)
    options["lr"] = rates[0]
    parameters = [torch.nn.Parameter(torch.tensor(value.astype(np.float64))) for value in values.values()]
    optimizer = getattr(torch.optim, kind)(parameters, **options)
    trajectory = {name: [] for name in values}
    for step in range(STEPS):
        optimizer.param_groups[0]["lr"] = rates[step]
        for name, parameter in zip(values, parameters):
            parameter.grad = torch.tensor(gradients[name][step].astype(np.float64))
        if clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, clip)
        optimizer.step()
        for name, parameter in zip(values, parameters):
            trajectory[name].append(parameter.detach().numpy().copy())
    return {name: np.stack(steps) for name, steps in trajectory.items()}


def all_with_torch(folder):
    """The second process: reads the learning rates of each case, writes the trajectories."""
    values, gradients = made()
    rates = json.loads(pathlib.Path(folder, "rates.json").read_text())
    tensors = {"version": np.frombuffer(torch.__version__.encode(), dtype=np.uint8)}
    for case, framework, kind, options in CASES:
        if framework == "torch":
            for name, steps in with_torch(kind, options, rates[case], values, gradients).items():
                tensors[f"trajectory.{case}.{name}"] = steps
    save_file(tensors, pathlib.Path(folder, "torch.safetensors"))


def from_torch():
    keras.config.set_floatx("float64")
    rates = {}
    for case, framework, _, options in CASES:
        if framework == "torch":
            rate = options["lr"]
            rates[case] = [float(schedule(rate)(step)) if isinstance(rate, str) else rate for step in range(STEPS)]
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "rates.json").write_text(json.dumps(rates))
        subprocess.run([sys.executable, __file__, "torch", folder], check=True)
        return load_file(pathlib.Path(folder, "torch.safetensors"))


def plateau(options):
    keras.config.set_floatx("float32")
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse")
    callback = keras.callbacks.ReduceLROnPlateau(monitor="val_loss", **{"mode": "min", **options})
    callback.set_model(model)
    callback.on_train_begin()
    rates = []
    for epoch, value in enumerate(PLATEAU_VALUES):
        callback.on_epoch_end(epoch, {"val_loss": value})
        rates.append(float(model.optimizer.learning_rate.numpy()))
    return np.array(rates)


def main():
    values, gradients = made()
    tensors = dict(values)
    for name, gradient in gradients.items():
        tensors[f"gradients.{name}"] = gradient
    for case, framework, kind, options in CASES:
        if framework == "keras":
            for run, dtype in [("trajectory", "float64"), ("single", "float32")]:
                for name, steps in with_keras(kind, options, values, gradients, dtype).items():
                    tensors[f"{run}.{case}.{name}"] = steps
    torch_tensors = from_torch()
    torch_version = torch_tensors.pop("version").tobytes().decode()
    tensors.update(torch_tensors)
    keras.config.set_floatx("float64")
    for name in SCHEDULES:
        tensors[f"schedule.{name}"] = np.array([float(schedule(name)(step)) for step in SCHEDULE_STEPS])
    tensors["schedule_steps"] = np.array(SCHEDULE_STEPS, dtype=np.int64)
    tensors["plateau_values"] = np.array(PLATEAU_VALUES)
    for name, options in PLATEAUS.items():
        tensors[f"plateau.{name}"] = plateau(options)
    keras.config.set_floatx("float64")
    kernel = values["kernel"].astype(np.float64)
    kernel[0, 0] = 0.0
    tensors["regularizer_kernel"] = kernel
    for name, options in REGULARIZERS.items():
        variable = tf.Variable(kernel)
        with tf.GradientTape() as tape:
            loss = keras.regularizers.L1L2(**options)(variable)
        tensors[f"regularizer.{name}.loss"] = np.array([float(loss)])
        tensors[f"regularizer.{name}.gradient"] = tape.gradient(loss, variable).numpy()
    about = {
        "cases": [{"name": n, "framework": f, "class": k, "options": o} for n, f, k, o in CASES],
        "schedules": {name: {"class": kind, "options": options} for name, (kind, options) in SCHEDULES.items()},
        "plateaus": PLATEAUS,
        "regularizers": REGULARIZERS,
        "versions": {"keras": keras.__version__, "tensorflow": tf.__version__, "torch": torch_version},
    }
    assert all(np.isfinite(tensor).all() for name, tensor in tensors.items() if name != "plateau_values")
    path = pathlib.Path(__file__).with_name("optimizers.safetensors")
    save_file(tensors, path, {"optimizers": json.dumps(about)})
    print(f"{path.name}: {len(CASES)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    if IS_TORCH:
        all_with_torch(sys.argv[2])
    else:
        main()
