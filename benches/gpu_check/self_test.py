"""Tests gpu-check itself, without a GPU: programs that stand in for the real ones pass, fail, crash, hang and lie."""

import argparse
import contextlib
import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from gpu_check import checks, ours, plan, report
from gpu_check.checks import Check

OK = "print('test a ... ok')\nprint('test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured')"
FAILS = "print('test b ... \\nthread \\'b\\' (7) panicked at b.rs:1:2:\\nleft: 1\\nFAILED')\nprint('test result: FAILED. 2 passed; 1 failed; 0 ignored; 0 measured')\nsys.exit(101)"
CRASHES = "print('test a ... ok')\nsys.stdout.flush()\nos.kill(os.getpid(), signal.SIGSEGV)"
HANGS = "if '--list' in sys.argv: sys.exit(print('a: test\\nb: test'))\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('test a ... ok', flush=True)\ntime.sleep(100)"
NOTHING = "print('test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured')"

# Of four rows the first is right, in the second the program crashes, in the third it hangs, the fourth is wrong; then one
# that is refused.
MEASURES = """
if sys.argv[1] == "adapters":
    adapter = {"name": "Stand-in, 1 bit (Vulkan)", "driver": "none", "backend": "Vulkan", "kind": "DiscreteGpu"}
    print(json.dumps({"adapters": [adapter], "best": adapter["name"], "strategies": ["step"]}))
    sys.exit()
for row in sys.argv[6:]:
    print("a driver says something")
    print(json.dumps({"begin": row, "shape": sys.argv[3]}), flush=True)
    if row == "lengths/chosen/f32":
        os.kill(os.getpid(), signal.SIGSEGV)
    if row == "full/chosen/relaxed":
        time.sleep(100)
    if row == "full/matrix/relaxed":
        print(json.dumps({"row": row, "shape": sys.argv[3], "refused": "no matrices"}), flush=True)
        continue
    said = {"row": row, "shape": sys.argv[3], "strategy": "step", "explain": ["  estimates of the recurrence: solo 9 µs, step 500 µs"], "repeats": True}
    said.update(right=row != "lengths/chosen/relaxed", difference=1e-7, samples=[0.5], sum=1.0, weighted=1.0)
    if "training" in row:
        said.update(right=row.startswith("full"))
        times = {"median": 2.0, "min": 1.0, "count": 3}
        if said["right"]:
            said.update(training_ms=times, training_alone_ms=times, training_by_step_ms=dict(times, median=7.0))
            said.update(forward_ms=dict(times, median=0.5), memory=2**21, timed=[1, 2])
    elif row == "lengths/step/f32":
        said = {"row": row, "shape": sys.argv[3], "refused": "cannot be done"}
    elif said["right"]:
        times = {"median": 2.0, "min": 1.0, "count": 3}
        said.update(gpu_ms=times, host_ms=times, host_into_ms=times, copy_ms=times, timed=[1, 2])
    print(json.dumps(said), flush=True)
"""

# It stands in for the Python that has PyTorch: whatever it is to run, it answers as peer_torch.py does, and crashes once.
PYTORCH = """
paths = ["cuda", "cuda-tf32", "cuda-resident", "cuda-resident-tf32", "cuda-training"]
print(json.dumps({"version": "0", "paths": paths}), flush=True)
for line in sys.stdin:
    words = line.split()
    if words[2:3] == ["cuda"] and words[-1] == "packed":
        os.kill(os.getpid(), signal.SIGSEGV)
    answer = {"samples": [0.5], "sum": 1.0, "weighted": 1.0} if words[0] == "prepare" else {"times": [0.004, 0.004, 0.005]}
    print(json.dumps(answer), flush=True)
"""


def parsed():
    """What tests print stands before their result where they run one by one, and behind it where several do."""
    one = "test a ... device: CPU\nall is ok\nok\ntest b ... \nthread 'b' (1) panicked at b.rs:1:2:\nleft\nnote: run\nFAILED\ntest c ... seven\n"
    expect("one by one", checks.results_of(one), {"a": "ok", "b": "FAILED"})
    several = "test a ... ok\nlooks FAILED\ntest b ... FAILED\nfine: ok\ntest c ... ignored, why\ntest result: FAILED. 1 passed; 1 failed"
    expect("at once", checks.results_of(several), {"a": "ok", "b": "FAILED", "c": "ignored"})
    listed = "device\n\nfailures:\n\n---- d stdout ----\n\nfailures:\n    d\n    e\n\ntest result: FAILED."
    expect("in the list at the end", checks.results_of(listed), {"d": "FAILED", "e": "FAILED"})


def run():
    parsed()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        found, code, markdown = whole(root, {"golden": OK, "gpu": CRASHES, "tile_edges": HANGS, "hostile": FAILS, "relaxed": NOTHING})
        expect("exit code of a bad run", code, 1)
        ends = {check["name"]: check["end"] for check in found["tests"] if not check.get("not_reached")}
        expect("a test that passes", ends["golden"], None)
        expect("a crash", ends["gpu"], "SIGSEGV")
        expect("a hang", ends["tile_edges"], "stopped after 4 s")
        expect("what it hung in", [check.get("unfinished") for check in found["tests"] if check["name"] == "tile_edges"], [["b"]])
        expect("a failure", [check["failed"] for check in found["tests"] if check["name"] == "hostile"], [["b"]])
        expect("why", [check.get("panics") for check in found["tests"] if check["name"] == "hostile"], [["thread 'b' (7) panicked at b.rs:1:2:\nleft: 1"]])
        expect("no test", ends["relaxed"], "no test ran")
        rows = {row["row"]: row for row in found["rows"]}
        expect("a row", rows["full/chosen/f32"]["gpu_ms"]["median"], 2.0)
        expect("a row that crashes", rows["lengths/chosen/f32"]["failed"], "SIGSEGV: a driver says something")
        expect("a row that hangs", rows["full/chosen/relaxed"]["failed"][:13], "stopped after")
        expect("a row that is wrong", rows["lengths/chosen/relaxed"]["right"], False)
        expect("a row that is refused", rows["lengths/step/f32"]["refused"], "cannot be done")
        expect("rows after those", "gpu_ms" in rows["full/step/f32"], True)
        expect("a step of training", rows["full/training/f32"]["training_ms"]["median"], 2.0)
        expect("a step that is wrong", rows["lengths/training/f32"]["right"], False)
        theirs = {(row["path"], row["mode"]): row for row in found["pytorch_rows"]}
        expect("PyTorch crashes", theirs["cuda", "packed"]["failed"][:7], "SIGSEGV")
        expect("PyTorch comes back", theirs["cuda-resident-tf32", "packed"]["ms"]["median"], 4.0)
        for text in [
            "FAILED: gpu, tile_edges, hostile, relaxed",
            "| 1x2x3x4 | full | chosen | step | f32 | 2 | 1 | 0.5 | 2 | 1 | 2 | 2 | 1e-07 |",
            "**WRONG: 1e-07**",
            "| 1x2x3x4 | GPU time, f32 : TF32 off | 2 | step | 2 | 4 | 2.00 | 2.00 | 0e+00 |",
            "| 1x2x3x4 | full | 2 | 1 | 7 | 2 | 0.5 | 4.00 | 2 | 1e-07 | 4 | 2.00 | 0e+00 |",
            "| 1x2x3x4 | lengths | not timed |  |  |  |  |  |  | **WRONG: 1e-07** |",
            "      estimates of the recurrence: solo 9 µs",
        ]:
            expect(f"{text!r} in the page", text in markdown, True)
        expect("no file is left half written", sorted(os.listdir(root / "out")), ["log.txt", "results.json", "results.md"])
        found, code, markdown = whole(root, {"golden": OK, "gpu": OK}, only="tests")
        expect("exit code of a good run", (code, report.verdict(found)), (0, (True, "2 of 2 test runs passed")))
        found, code, _ = whole(root, {"golden": OK, "gpu": HANGS}, only="tests", budget=9.5, limit=100)
        expect("exit code where the time is up", code, 1)
        expect("what was not reached", [check["name"] for check in found["tests"] if check.get("not_reached")], ["gpu"])
    expect("names without commas", plan.unique("one (a, b) (V)", ["one (a, b) (V)", "two (b) (V)"]), "one (a")
    print("gpu-check tests itself: all as it should be")
    return 0


def whole(root, tests, only=None, budget=90, limit=4):
    """A run with programs that stand in: what was found, the exit code, the page."""
    programs = {**tests, "gpu_check": MEASURES}
    for name, text in programs.items():
        program(root / "bin" / name, text)
    program(root / "python", PYTORCH)
    (root / "build.json").write_text('{"version": "0", "commit": "none", "profile": "none"}')
    options = argparse.Namespace(budget=budget, out=root / "out", adapter=None, only=only, began=time.monotonic())
    options.shapes, options.time_steps, options.warm, options.seconds = "1x2x3x4", None, 0.1, 0.1
    kept = checks.first, checks.second, checks.by_strategy, checks.stress, ours.PATIENCE, os.environ.get("PEERS_PYTHON")
    checks.first = lambda: [Check(name, name, limit) for name in sorted(tests, key=list(tests).index)]
    checks.second, checks.by_strategy, checks.stress, ours.PATIENCE = list, (lambda names: []), (lambda number: []), 4
    os.environ["PEERS_PYTHON"] = str(root / "python")
    scratch = root / "scratch"
    scratch.mkdir(exist_ok=True)
    try:
        with contextlib.redirect_stdout(io.StringIO()) as said:
            code = plan.Plan(options, root, scratch).run()
    finally:
        checks.first, checks.second, checks.by_strategy, checks.stress, ours.PATIENCE, python = kept
        os.environ.pop("PEERS_PYTHON")
        if python is not None:
            os.environ["PEERS_PYTHON"] = python
    found = json.loads((root / "out" / "results.json").read_text())
    expect("it says what it does", "golden: 1 passed" in said.getvalue(), True)
    return found, code, (root / "out" / "results.md").read_text()


def program(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!{sys.executable}\nimport json, os, signal, sys, time\n{text}\n")
    path.chmod(0o755)


def expect(what, got, wanted):
    if got != wanted:
        sys.exit(f"{what}: expected {wanted!r}, got {got!r}")
