"""Writes `initializer_names.json`: every name in the registry of Keras's initialisers, and what `keras.initializers.get` gives for it.

    pip install keras==3.15.1 tensorflow-cpu==2.21.0 scipy
    python golden/initializer_names.py

`class` is the class that the name stands for. `config` holds its parameters where the name alone gives an initialiser, without
the seed and the axes; `error` the exception's class where Keras itself refuses the name. `bias` says whether the initialiser
fills a tensor of one axis, as a bias is.
"""

import json
import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
from keras.src.initializers import ALL_OBJECTS_DICT

LEFT_OUT = {"seed", "input_axes", "output_axes"}


def entry(name, kind):
    try:
        initializer = keras.initializers.get(name)
    except Exception as error:
        return {"class": kind.__name__, "error": type(error).__name__}
    config = {key: value for key, value in initializer.get_config().items() if key not in LEFT_OUT}
    try:
        bias = tuple(initializer((6,)).shape) == (6,)
    except Exception:
        bias = False
    return {"class": kind.__name__, "config": config, "bias": bias}


names = {name: entry(name, kind) for name, kind in sorted(ALL_OBJECTS_DICT.items())}
page = {"framework": f"keras {keras.__version__}", "names": names}
path = pathlib.Path(__file__).parent / "initializer_names.json"
path.write_text(json.dumps(page, indent=1) + "\n")
