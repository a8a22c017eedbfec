"""Makes files in `bad/` that are well formed as HDF5 but ask for what no reader should do, and says so in `expect.json`.

Run it in this folder, with h5py.
"""

import io
import json
import pathlib

import h5py
import numpy as np

FOLDER = pathlib.Path(__file__).parent / "bad"
UNITS = 4


def lstm(units=UNITS, features=3):
    recurrent = {"name": "lstm", "units": units, "activation": "tanh", "recurrent_activation": "sigmoid", "use_bias": True}
    layers = [{"class_name": "InputLayer", "config": {"batch_shape": [None, None, features], "name": "in"}},
              {"class_name": "LSTM", "config": recurrent}]
    return json.dumps({"class_name": "Sequential", "config": {"name": "sequential", "layers": layers}})


def drawn(shape):
    return np.random.default_rng(1).uniform(-0.5, 0.5, shape).astype(np.float32)


def shapes(units=UNITS, features=3):
    return {"kernel": (features, 4 * units), "recurrent_kernel": (units, 4 * units), "bias": (4 * units,)}


def keep(group, name, shape):
    group.create_dataset(name, data=drawn(shape))


def write(name, tensor=keep, config=None, before=lambda file: None, names=None):
    """A legacy file of one LSTM; `tensor` writes each of its weights."""
    with h5py.File(FOLDER / name, "w") as file:
        before(file)
        file.attrs["model_config"] = config or lstm()
        file.attrs["keras_version"] = "3.15.1"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = ["lstm"]
        layer = group.create_group("lstm")
        layer.attrs["weight_names"] = names or [f"lstm/{each}" for each in shapes()]
        inner = layer.create_group("lstm")
        for each, shape in shapes().items():
            tensor(inner, each, shape)


def claims_much(group, name, shape):
    """Nothing is written, so that all of it is the fill value."""
    group.create_dataset(name, shape=[size if size == 3 else 4 << 21 if size == 4 * UNITS else 1 << 21 for size in shape], chunks=True, dtype="f4")


def one_byte_chunks(group, name, shape):
    group.create_dataset(name, data=drawn(shape), chunks=tuple(1 for _ in shape))


def whole_numbers(group, name, shape):
    group.create_dataset(name, data=np.ones(shape, np.int32))


def with_nan(group, name, shape):
    values = drawn(shape)
    values[(1,) * len(shape)] = np.nan
    group.create_dataset(name, data=values)


def beyond_float32(group, name, shape):
    values = drawn(shape).astype(np.float64)
    values[(1,) * len(shape)] = 1e300
    group.create_dataset(name, data=values)


def elsewhere(group, name, shape):
    group.create_dataset(name, shape=shape, dtype="f4", external=[("/etc/passwd", 0, h5py.h5f.UNLIMITED)])


def linked(group, name, shape):
    group[name] = h5py.ExternalLink("/etc/passwd", "/weights")


def circular(group, name, shape):
    group[name] = h5py.SoftLink(f"/model_weights/lstm/lstm/{name}")


def itself(group, name, shape):
    """The tensor is the group that holds it."""
    group[name] = group


def deep_type(file):
    """A list of lists of lists, some thousands of levels deep."""
    kind = h5py.h5t.IEEE_F32LE
    for _ in range(3000):
        kind = h5py.h5t.vlen_create(kind)
    h5py.h5a.create(file.id, b"deep", kind, h5py.h5s.create(h5py.h5s.NULL))


MADE = [
    ("keras_claims_much.h5", "sizes of gigabytes, of which nothing is written", lambda name: write(name, claims_much, lstm(1 << 21))),
    ("keras_whole_numbers.h5", "weights are int32", lambda name: write(name, whole_numbers)),
    ("keras_nan.h5", "a weight is NaN", lambda name: write(name, with_nan)),
    ("keras_beyond_float32.h5", "a float64 weight is 1e300", lambda name: write(name, beyond_float32)),
    ("keras_external_data.h5", "the weights are another file's bytes", lambda name: write(name, elsewhere)),
    ("keras_external_link.h5", "the weights are links into another file", lambda name: write(name, linked)),
    ("keras_circular_link.h5", "links that lead to themselves", lambda name: write(name, circular)),
    ("keras_group_in_itself.h5", "a group is in itself, where a tensor should be", lambda name: write(name, itself)),
    ("keras_name_leads_out.h5", "a weight's name leads out of its group", lambda name: write(name, names=["../lstm/kernel", "/model_weights", "lstm/bias"])),
    ("keras_deep_type.h5", "an attribute has a type of 3000 levels", lambda name: write(name, before=deep_type)),
]


def main():
    path = FOLDER / "expect.json"
    entries = json.loads(path.read_text())
    for name, wrong, make in MADE:
        make(name)
        entries = [entry for entry in entries if entry["file"] != name]
        entries.append({"file": name, "wrong": wrong, "expect": "error"})
        print(f"| {name} | {wrong} | {(FOLDER / name).stat().st_size} |")
    path.write_text(json.dumps(entries, indent=1))


if __name__ == "__main__":
    main()
