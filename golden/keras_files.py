"""Makes the model files `models/keras_more_*`: every layer and option of Keras that cellstate reads, in each of Keras's formats.

Beside each is a case (`README.md`): the input `x`, the expected `y` (or `forward.y` and `backward.y`), and the weights `w0`, `w1`, … in
the order of the layers. Keras computes the expected values in float64 with the file's weights. Run it with Keras 3.15 in this folder; it
writes the same weights each time.
"""

import contextlib
import io
import json
import os
import pathlib
import tempfile
import zipfile

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import h5py
import keras
import numpy as np
import tensorflow as tf
from keras import layers as L
from safetensors.numpy import save_file

FOLDER = pathlib.Path(__file__).parent / "models"
FRAMEWORK = {"name": "keras", "version": keras.__version__, "backend": f"tensorflow {tf.__version__}"}
RNG = np.random.default_rng(20260101)
STAMP = (2026, 1, 1, 0, 0, 0)


def masked(batch, time_steps, features, value=0.0):
    """Numbers of which sequence 1 has two real steps and sequence 2 begins late."""
    x = RNG.uniform(-1, 1, (batch, time_steps, features)).astype(np.float32)
    x[1, 2:] = value
    x[2, :2] = value
    return x


def tokens(batch, time_steps, vocabulary):
    x = RNG.integers(1, vocabulary, (batch, time_steps)).astype(np.int32)
    x[1, 3:] = 0
    return x


@contextlib.contextmanager
def floats(name):
    before = keras.config.floatx()
    keras.config.set_floatx(name)
    keras.config.set_dtype_policy(name)
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)


def weights_of(model):
    """In the order of the layers, models within models taken apart."""
    found = []
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            found += weights_of(layer)
        else:
            found += [weight for weight in layer.weights if "seed_generator" not in weight.path]
    return found


def draw(model):
    for weight in weights_of(model):
        low = 0.5 if "variance" in weight.path else -0.6
        weight.assign(RNG.uniform(low, 1.2 if low > 0 else 0.6, weight.shape).astype(np.float32))


def make(name, about, build, x, endings=("keras",), policy=None, refused=()):
    """Builds the model twice, in its own numbers and in float64, and writes files and case. The case names no file of an ending that is
    to be refused."""
    keras.utils.clear_session()
    keras.config.set_dtype_policy(policy or "float32")
    model = build()
    keras.config.set_dtype_policy("float32")
    draw(model)
    files = []
    for ending in endings:
        path = FOLDER / f"{name}.{ending}"
        if ending not in refused:
            files.append(path.name)
        if ending == "weights.h5":
            model.save_weights(path)
        else:
            model.save(path)
        if ending == "keras":
            stored(path)
    kept = [np.asarray(weight.numpy()).astype(np.float32) for weight in weights_of(model)]
    keras.utils.clear_session()
    with floats("float64"):
        wide = build()
        for weight, value in zip(weights_of(wide), kept, strict=True):
            weight.assign(value.astype(np.float64))
        outputs = wide(x if x.dtype == np.int32 else x.astype(np.float64), training=False)
    write_case(name, about, files, x, kept, outputs)


def write_case(name, about, files, x, kept, outputs):
    names = ["y"] if not isinstance(outputs, (list, tuple)) else ["forward.y", "backward.y"]
    outputs = [outputs] if len(names) == 1 else outputs
    tensors, roles = {"x": x}, {"x": "input"}
    for number, value in enumerate(kept):
        tensors[f"w{number}"], roles[f"w{number}"] = value, "weight"
    for each, value in zip(names, outputs):
        value = np.asarray(value).astype(np.float32)
        assert np.isfinite(value).all() and np.abs(value).max() > 1e-3, name
        tensors[each], roles[each] = value, "expected"
    case = {
        "format": 1, "name": name, "kind": "model", "framework": FRAMEWORK, "about": about, "files": files, "roles": roles,
        "tolerance": {each: {"atol": 2e-5, "rtol": 2e-5} for each in names},
        "expected_from": "keras in float64, rounded to float32",
    }
    tensors = {each: np.ascontiguousarray(array) for each, array in tensors.items()}
    save_file(tensors, FOLDER / f"{name}.case.safetensors", metadata={"case": json.dumps(case)})
    print(f"| {name} | {about} | {', '.join(files)} |")


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {each: archive.read(each) for each in archive.namelist()}


def pack(path, contents, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for each, data in contents.items():
            entry = zipfile.ZipInfo(each, STAMP)
            entry.compress_type = method
            archive.writestr(entry, data)


def stored(path):
    """The same archive with one date, so that it is the same whenever it is made."""
    contents = members(path)
    metadata = json.loads(contents["metadata.json"])
    metadata["date_saved"] = "2026-01-01@00:00:00"
    contents["metadata.json"] = json.dumps(metadata).encode()
    pack(path, contents)


def sequential(*layers):
    return keras.Sequential(list(layers))


def gru():
    return sequential(L.Input((None, 3)), L.Masking(), L.GRU(4, return_sequences=True),
                      L.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid"), L.Dense(2))


def simple_rnn():
    return sequential(L.Input((None, 3)), L.Masking(mask_value=-1.0), L.SimpleRNN(4, return_sequences=True, go_backwards=True),
                      L.SimpleRNN(5, activation="relu", use_bias=False, unroll=False, zero_output_for_mask=True))


def two_ways():
    own = L.GRU(4, return_sequences=True, go_backwards=True, activation="softsign")
    return sequential(L.Input((None, 3)), L.Masking(), L.Bidirectional(L.LSTM(4, return_sequences=True), backward_layer=own),
                      L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode="mul"),
                      L.Bidirectional(L.RNN(L.SimpleRNNCell(4), return_sequences=True), merge_mode="ave"),
                      L.Bidirectional(L.LSTM(4), merge_mode="sum"))


def separate():
    return sequential(L.Input((None, 3)), L.Masking(), L.Bidirectional(L.GRU(4, return_sequences=True), merge_mode=None))


def cells():
    return sequential(L.Input((None, 3)), L.Masking(),
                      L.RNN([L.LSTMCell(4), L.GRUCell(5), L.LSTMCell(2)], return_sequences=True, zero_output_for_mask=True),
                      L.RNN(L.StackedRNNCells([L.SimpleRNNCell(3), L.GRUCell(4, reset_after=False)]), return_sequences=True),
                      L.RNN(L.LSTMCell(4, use_bias=False), return_sequences=True), L.RNN(L.GRUCell(3)))


def activations():
    return sequential(L.Input((None, 3)), L.Masking(), L.LSTM(4, activation="gelu", recurrent_activation="hard_sigmoid", return_sequences=True),
                      L.Dense(5, activation=L.LeakyReLU(negative_slope=0.1)), L.Activation("silu"),
                      L.LSTM(4, activation=None, recurrent_activation="softsign", return_sequences=True), L.ReLU(max_value=6.0),
                      L.Dense(3), L.LeakyReLU(), L.ReLU(negative_slope=0.2), L.Dense(4, activation="relu6"), L.ELU(alpha=0.5),
                      L.ReLU(threshold=0.1), L.GRU(5, activation="softmax"), L.Dense(3, activation="elu"), L.Softmax())


def functional():
    x = inputs = L.Input((None, 3), name="readings")
    x = L.Masking(name="padding")(x)
    x = L.LSTM(4, return_sequences=True, name="first")(x)
    x = L.Dropout(0.2)(x)
    x = L.SpatialDropout1D(0.2)(x)
    x = L.GaussianNoise(0.1)(x)
    x = L.TimeDistributed(L.Dense(5, activation="tanh"))(x)
    x = L.TimeDistributed(L.Activation("relu"))(x)
    x = sequential(L.Input((None, 5)), L.GRU(4, return_sequences=True), L.ActivityRegularization(l2=0.1))(x)
    x, _, _ = L.LSTM(3, return_state=True, name="last")(x)
    return keras.Model(inputs, L.Dense(2, kernel_regularizer="l2", activity_regularizer="l1")(x))


def words():
    x = inputs = L.Input((None,), dtype="int32")
    x = L.Embedding(9, 4, mask_zero=True)(x)
    x = L.Bidirectional(L.LSTM(3, return_sequences=True))(x)
    x = L.LSTM(4)(x)
    return keras.Model(inputs, L.Dense(2, activation="softmax")(x))


def last_step():
    x = inputs = L.Input((None, 3))
    x = L.Masking()(x)
    x = L.Bidirectional(L.GRU(4, return_sequences=True))(x)
    return keras.Model(inputs, L.Dense(2)(x[:, -1, :]))


def norms():
    return sequential(L.Input((6, 3)), L.BatchNormalization(), L.LSTM(4, return_sequences=True), L.LayerNormalization(epsilon=0.01),
                      L.Dense(5), L.BatchNormalization(scale=False, epsilon=0.02), L.TimeDistributed(L.LayerNormalization(center=False)),
                      L.GRU(4), L.LayerNormalization(scale=False), L.BatchNormalization(center=False), L.Dense(2))


def shapes():
    return sequential(L.Input((6, 3)), L.LSTM(4), L.RepeatVector(5), L.GRU(6, return_sequences=True), L.Reshape((10, 3)),
                      L.LSTM(4, return_sequences=True), L.Reshape((-1, 8)), L.Dense(3), L.Flatten(), L.Dense(6), L.Reshape((2, 3)),
                      L.SimpleRNN(4))


def stateful():
    return sequential(L.Input(batch_shape=(4, 6, 3)), L.LSTM(4, stateful=True, return_sequences=True, dropout=0.2, recurrent_dropout=0.1),
                      L.GRU(5, stateful=True, use_bias=False))


def plain():
    drawn = {"recurrent_initializer": "glorot_uniform"}  # an orthogonal matrix cannot be drawn in 16 bits
    return sequential(L.Input((None, 3)), L.LSTM(4, return_sequences=True, **drawn), L.GRU(5, **drawn), L.Dense(2))


def keras_2(path, out):
    """A legacy file as Keras 2.11 writes it, made of one of Keras 3: the older configuration and names of weights."""
    def older(entry):
        config = dict(entry["config"])
        for unknown in ("quantization_config", "optional", "autocast"):
            config.pop(unknown, None)
        if "dtype" in config:
            config["dtype"] = "float32"
        if "batch_shape" in config:
            config["batch_input_shape"] = config.pop("batch_shape")
        for option, value in config.items():
            if isinstance(value, dict) and "class_name" in value:
                config[option] = {"class_name": value["class_name"], "config": value["config"]}
        if entry["class_name"] in ("LSTM", "GRU", "SimpleRNN"):
            config.update({"time_major": False})
        if entry["class_name"] in ("LSTM", "GRU"):
            config.update({"implementation": 2})
            config.pop("seed", None)
        if entry["class_name"] == "Bidirectional":
            config["layer"] = older(config["layer"])
            config["layer"]["config"]["name"] = "lstm"
            config.pop("backward_layer")
        return {"class_name": entry["class_name"], "config": config}

    with h5py.File(path) as file, h5py.File(out, "w") as made:
        model = json.loads(file.attrs["model_config"])
        model["config"] = {"name": model["config"]["name"], "layers": [older(each) for each in model["config"]["layers"]]}
        made.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": model["config"]})
        made.attrs["keras_version"] = np.bytes_("2.11.0")
        made.attrs["backend"] = np.bytes_("tensorflow")
        group = made.create_group("model_weights")
        old = file["model_weights"]
        group.attrs["layer_names"] = np.array([np.bytes_(each) for each in old.attrs["layer_names"]])
        group.attrs["keras_version"] = np.bytes_("2.11.0")
        for layer in old.attrs["layer_names"]:
            names = [str(each) for each in old[layer].attrs["weight_names"]]
            of_layer = group.create_group(layer)
            renamed = [each.replace("lstm_cell", "lstm_cell_7") + ":0" for each in names]
            of_layer.attrs["weight_names"] = np.array([np.bytes_(each) for each in renamed]) if names else []
            for each, new in zip(names, renamed):
                of_layer.create_dataset(new, data=old[layer][each][()])


def older_layers():
    return sequential(L.Input((None, 3)), L.Masking(), L.Bidirectional(L.LSTM(4, return_sequences=True, recurrent_activation="hard_sigmoid")),
                      L.GRU(5, reset_after=False, recurrent_activation="hard_sigmoid", activation="linear"), L.Dense(2))


@keras.saving.register_keras_serializable()
def hard_sigmoid_of_keras_2(x):
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)


def older_layers_as_meant():
    """What Keras 2 calls hard_sigmoid is another function in Keras 3."""
    hard_sigmoid = hard_sigmoid_of_keras_2
    return sequential(L.Input((None, 3)), L.Masking(), L.Bidirectional(L.LSTM(4, return_sequences=True, recurrent_activation=hard_sigmoid)),
                      L.GRU(5, reset_after=False, recurrent_activation=hard_sigmoid, activation="linear"), L.Dense(2))


def make_keras_2():
    name, x = "keras_more_keras_2", masked(3, 7, 3)
    keras.utils.clear_session()
    model = older_layers()
    draw(model)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "three.h5"
        model.save(path)
        keras_2(path, FOLDER / f"{name}.h5")
    kept = [weight.numpy() for weight in weights_of(model)]
    with floats("float64"):
        wide = older_layers_as_meant()
        for weight, value in zip(weights_of(wide), kept, strict=True):
            weight.assign(value.astype(np.float64))
        outputs = wide(x.astype(np.float64))
    write_case(name, "a configuration of Keras 2: hard_sigmoid, names with :0, no backward_layer", [f"{name}.h5"], x, kept, outputs)


def again(path, out, dataset):
    """The same HDF5 file with its tensors kept in another way."""
    with h5py.File(path) as file, h5py.File(out, "w", libver="latest") as made:
        made.attrs.update(file.attrs)

        def copy(name, item):
            if isinstance(item, h5py.Group):
                new = made.require_group(name)
            else:
                new = dataset(made, name, item[()])
            new.attrs.update(item.attrs)

        file.visititems(copy)


def make_kept_otherwise():
    """One model; its weights chunked and compressed, in float64 and in a deflated archive."""
    name, x = "keras_more_kept", masked(3, 7, 3)
    keras.utils.clear_session()
    model = plain()
    draw(model)
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        model.save(folder / "plain.h5")
        model.save_weights(folder / "plain.weights.h5")
        model.save(folder / "plain.keras")

        def chunked(made, name, value):
            chunks = tuple(max(1, size // 2) for size in value.shape)
            return made.create_dataset(name, data=value, chunks=chunks, compression="gzip", shuffle=True, fletcher32=True)

        again(folder / "plain.h5", FOLDER / f"{name}.chunked.h5", chunked)
        again(folder / "plain.weights.h5", FOLDER / f"{name}.wide.weights.h5",
              lambda made, name, value: made.create_dataset(name, data=value.astype(np.float64), chunks=True))
        contents = members(folder / "plain.keras")
        contents["metadata.json"] = json.dumps({"keras_version": "3.15.1", "date_saved": "2026-01-01@00:00:00"}).encode()
        pack(FOLDER / f"{name}.deflated.keras", contents, zipfile.ZIP_DEFLATED)
        # TensorFlow 2.12 called the group of layers so
        with h5py.File(io.BytesIO(contents["model.weights.h5"])) as file:
            renamed = io.BytesIO()
            with h5py.File(renamed, "w") as made:
                file.copy("layers", made, "_layer_checkpoint_dependencies")
        contents["model.weights.h5"] = renamed.getvalue()
        contents["metadata.json"] = json.dumps({"keras_version": "2.12.0", "date_saved": "2026-01-01@00:00:00"}).encode()
        pack(FOLDER / f"{name}.2_12.keras", contents)
    kept = [weight.numpy() for weight in weights_of(model)]
    with floats("float64"):
        wide = plain()
        for weight, value in zip(weights_of(wide), kept, strict=True):
            weight.assign(value.astype(np.float64))
        outputs = wide(x.astype(np.float64))
    files = [f"{name}.{ending}" for ending in ("chunked.h5", "wide.weights.h5", "deflated.keras", "2_12.keras")]
    write_case(name, "tensors chunked and compressed, in float64, in a deflated archive, in the layout of TensorFlow 2.12", files, x, kept, outputs)


def make_3_16():
    """What Keras 3.16 computes: the second layer gets no mask. The file is one of 3.15 that says that it is of 3.16."""
    name, x = "keras_more_3_16", masked(3, 7, 3)

    def build():
        return sequential(L.Input((None, 3)), L.Masking(), L.LSTM(4, return_sequences=True), L.GRU(5, return_sequences=True), L.LSTM(3))

    keras.utils.clear_session()
    model = build()
    draw(model)
    path = FOLDER / f"{name}.keras"
    model.save(path)
    contents = members(path)
    contents["metadata.json"] = json.dumps({"keras_version": "3.16.0", "date_saved": "2026-01-01@00:00:00"}).encode()
    pack(path, contents)
    kept = [weight.numpy() for weight in weights_of(model)]
    with floats("float64"):
        wide = build()
        for weight, value in zip(weights_of(wide), kept, strict=True):
            weight.assign(value.astype(np.float64))
        value = wide.layers[1](wide.layers[0](x.astype(np.float64)))
        for layer in wide.layers[2:]:
            value = layer(tf.constant(value.numpy()))
        assert np.abs(value - wide(x.astype(np.float64))).max() > 1e-3
    write_case(name, "masks as in Keras 3.16: a recurrent layer hands none on", [path.name], x, kept, value)


def main():
    FOLDER.mkdir(exist_ok=True)
    every = ("keras", "h5", "weights.h5")
    make("keras_more_gru", "GRU with reset_after and without, hard_sigmoid of Keras 3", gru, masked(3, 7, 3), every)
    make("keras_more_simple_rnn", "SimpleRNN, backwards, relu, no bias, zero_output_for_mask", simple_rnn, masked(3, 7, 3, -1.0), ("keras", "h5"))
    make("keras_more_two_ways", "Bidirectional: a backward_layer of its own, mul, ave, sum", two_ways, masked(3, 7, 3), every)
    make("keras_more_separate", "Bidirectional with merge_mode=None", separate, masked(3, 7, 3))
    make("keras_more_cells", "RNN over lists of cells, StackedRNNCells and one cell", cells, masked(3, 7, 3), every)
    make("keras_more_activations", "activations by name, as layers, as objects, and none", activations, masked(3, 7, 3), ("keras", "h5"))
    make("keras_more_functional", "a functional chain with names, a model within, Dropout, TimeDistributed", functional, masked(3, 7, 3), ("keras", "h5"))
    make("keras_more_words", "a functional chain behind Embedding(mask_zero)", words, tokens(3, 7, 9), ("keras", "h5"))
    make("keras_more_last_step", "a functional chain that takes x[:, -1, :]", last_step, masked(3, 7, 3), ("keras", "h5"))
    make("keras_more_norms", "BatchNormalization and LayerNormalization, with and without gamma and beta", norms, masked(4, 6, 3, 0.5), every,
         refused=("weights.h5",))
    make("keras_more_shapes", "RepeatVector, Reshape and Flatten", shapes, masked(4, 6, 3, 0.5), ("keras", "h5"))
    make("keras_more_stateful", "stateful layers, dropout, no bias", stateful, masked(4, 6, 3, 0.5))
    make("keras_more_float16", "weights in float16", plain, masked(3, 7, 3), ("keras",), "float16")
    make("keras_more_mixed", "the policy mixed_float16", plain, masked(3, 7, 3), ("keras",), "mixed_float16")
    make("keras_more_bfloat16", "weights in bfloat16", plain, masked(3, 7, 3), ("keras",), "bfloat16")
    make_3_16()
    make_keras_2()
    make_kept_otherwise()


if __name__ == "__main__":
    main()
