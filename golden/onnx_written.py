"""Asks ONNX Runtime about the files that this crate writes.

    cargo test --test formats onnx_written
    python golden/onnx_written.py target/tmp/onnx_written

The test leaves each model as NAME.onnx, and its input and outputs as NAME.safetensors. Needs onnx, onnxruntime, safetensors.
"""

import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file

ATOL, RTOL = 2e-6, 2e-5
worst, count = 0.0, 0
for path in sorted(Path(sys.argv[1]).glob("*.onnx")):
    onnx.checker.check_model(str(path), full_check=True)
    kept = load_file(str(path.with_suffix(".safetensors")))
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    for declared, key in [(session.get_inputs()[0], "input"), (session.get_outputs()[0], "output")]:
        fixed = declared.shape
        fits = [one == other for one, other in zip(fixed, kept[key].shape) if isinstance(one, int)]
        assert len(fixed) == kept[key].ndim and all(fits), (path.name, key, fixed, kept[key].shape)
    inputs = {name: kept[name] for name in ("input", "lengths") if name in kept}
    outputs = dict(zip(names, session.run(None, inputs)))
    got = {"output": outputs.pop("output")}
    for kind, value in zip(["hidden", "cell"], outputs.values()):
        for direction, state in enumerate(value):
            got[f"{kind}_{direction}"] = state
    want = {key: value for key, value in kept.items() if key not in inputs}
    assert got.keys() == want.keys(), (path.name, got.keys(), want.keys())
    for key, value in want.items():
        assert value.shape == got[key].shape, (path.name, key, value.shape, got[key].shape)
        error = np.abs(value - got[key])
        share = (error / (ATOL + RTOL * np.abs(got[key]))).max()
        worst = max(worst, share)
        assert share <= 1, (path.name, key, error.max())
    count += 1
    print(f"{path.name:<32} {', '.join(want)}")
print(f"{count} files agree with ONNX Runtime {onnxruntime.__version__}; the worst value is at {worst:.2f} of atol {ATOL} + rtol {RTOL}")
assert count >= 33
