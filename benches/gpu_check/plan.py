"""The order of everything, and the time that each part may take."""

import ctypes
import json
import os
import platform
import sys
import time
from pathlib import Path

from gpu_check import checks, ours, pytorch, report
from gpu_check.clocks import Clocks
from gpu_check.program import run

# what of the time the first tests may take before the first times are taken; what is left out is made up for later
SHARE_OF_TESTS = 0.45
# how much longer a test may take there
SLOWER_IN_SOFTWARE = 6
# kept for stopping the last program and writing
RESERVE = 5
CHOSEN = [f"{mode}/chosen/{precision}" for precision in ("f32", "relaxed") for mode in ("full", "lengths")] + ["full/matrix/relaxed"]
TRAINING = [f"{mode}/training/f32" for mode in ("full", "lengths")]
STRESS_REPEATS = range(4, 11)
# where drivers keep their manifest besides the folders that the loader knows
MANIFESTS = ["/usr/local/nvidia/share/vulkan/icd.d/nvidia_icd.json", "/usr/local/cuda/share/vulkan/icd.d/nvidia_icd.json"]


class Plan:
    def __init__(self, options, root, scratch):
        self.began = options.began
        self.options, self.root, self.scratch, self.out = options, root, scratch, options.out.resolve()
        self.environment = environment(root, scratch)
        self.shapes = [cut(shape, options.time_steps) for shape in options.shapes.split(",")]
        self.found = {
            "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "budget": options.budget,
            "seconds": 0,
            "finished": False,
            "stopped": None,
            "machine": machine(),
            "build": json.loads((root / "build.json").read_text()),
            "adapter": {},
            "card": {},
            "clocks": {},
            "pytorch": "",
            "tests": [],
            "rows": [],
            "pytorch_rows": [],
        }

    def remaining(self):
        return self.options.budget - RESERVE - (time.monotonic() - self.began)

    def run(self):
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "log.txt").write_text("")
        if not self.find_adapter():
            return 2
        self.clocks = Clocks(self.found["adapter"]["name"])
        self.clocks.start()
        self.found["card"] = self.clocks.card
        peers = Path(self.root) / "peers" / "peer_torch.py"
        python = os.environ.get("PEERS_PYTHON") or sys.executable
        wants_times = self.options.only != "tests"
        theirs = dict(self.environment, PEERS_THREADS=str(os.cpu_count()), PYTHONDONTWRITEBYTECODE="1")
        self.torch = pytorch.PyTorch(python, peers, theirs, self.options.warm, self.options.seconds) if wants_times else None
        try:
            self.everything()
            self.found["finished"] = True
        except (KeyboardInterrupt, SystemExit):
            self.found["stopped"] = "stopped from outside"
        finally:
            self.clocks.stop()
            if self.torch:
                self.torch.stop()
            self.write()
        good, words = report.verdict(self.found)
        self.say(words)
        print(f"see {self.out / 'results.md'}")
        return 0 if good else 1

    def everything(self):
        self.note_clocks("before")
        strategies = self.found["adapter"]["strategies"]
        by_name = [f"{mode}/{name}/{kind}" for kind in ("f32", "relaxed") for mode in ("full", "lengths") for name in strategies]
        tests = self.options.only != "times"
        later = []
        if tests:
            later = self.test(checks.first(), self.options.budget * SHARE_OF_TESTS)
        if self.torch:
            self.times(CHOSEN, pytorch.FIRST)
            self.times(TRAINING, pytorch.TRAINING)
        if tests:
            self.test(later + checks.second() + checks.by_strategy(strategies) + checks.third())
        if self.torch:
            self.times(by_name, pytorch.SECOND)
        if tests:
            self.test([check for number in STRESS_REPEATS for check in checks.stress(number)], required=False)
        self.note_clocks("after")

    def find_adapter(self):
        """The adapter that is meant, from what the program that measures finds here."""
        for manifest in [None, *(path for path in MANIFESTS if os.path.isfile(path))]:
            if manifest:
                self.environment["VK_DRIVER_FILES"] = manifest
            ran = run([self.root / "bin" / "gpu_check", "adapters"], self.environment, self.scratch, min(60, self.remaining()))
            self.log("adapters", ran)
            said = next((json.loads(line) for line in ran.output.splitlines() if line.startswith("{")), None)
            if said is None:
                print(f"the program does not run here: {ran.end() or ''} {checks.tail(ran.output, 3)}", file=sys.stderr)
                return False
            wanted, there = self.options.adapter, said["adapters"]
            fits = lambda one: wanted.lower() in one["name"].lower() if wanted else one["name"] == said["best"]
            chosen = next((one for one in there if fits(one)), None)
            if chosen:
                self.in_software = chosen["kind"] == "Cpu"
                self.found["adapter"] = dict(chosen, strategies=said["strategies"])
                self.environment["CELLSTATE_ADAPTERS"] = unique(chosen["name"], [one["name"] for one in there])
                self.say(f"{chosen['name']}, driver {chosen['driver']}")
                return True
        names = ", ".join(one["name"] for one in there) or "none"
        print(f"no {'adapter ' + wanted if wanted else 'real GPU'} is here; there is: {names}. --adapter names one", file=sys.stderr)
        return False

    def test(self, wanted, until=None, required=True):
        """Runs tests, none that would begin so many seconds after the start. What there was no time for is given back, to be
        run later, or noted as not reached where no `until` is given."""
        waiting = list(wanted)
        while waiting and self.remaining() > 3 and (until is None or time.monotonic() - self.began < until):
            check = waiting.pop(0)
            allowed = check.limit * (SLOWER_IN_SOFTWARE if self.in_software else 1)
            limit = min(allowed, self.remaining())
            command = [self.root / "bin" / check.binary, *check.arguments]
            ran = run(command, dict(self.environment, **check.environment), self.scratch, limit)
            self.log(check.name, ran)
            if ran.stopped and limit < allowed:
                waiting.append(check)  # the time of everything was up
                continue
            said = dict(checks.judged(check, ran), required=required)
            if said["end"]:
                listed = run([*command, "--list"], self.environment, self.scratch, 5)
                said["unfinished"] = checks.unfinished(listed, ran)
            self.keep_check(said)
        if until is None:
            names = [check.name for check in waiting]
            self.found["tests"] += [{"name": name, "not_reached": True, "required": required} for name in names]
            self.write()
        return waiting

    def times(self, rows, torch_rows):
        """Shape by shape, so that what is compared is measured in one minute."""
        warm, seconds = (0 if self.in_software else self.options.warm), self.options.seconds
        binary, name = self.root / "bin" / "gpu_check", self.found["adapter"]["name"]
        patience = ours.PATIENCE_IN_SOFTWARE if self.in_software else ours.PATIENCE
        measured = ours.Ours(binary, name, self.environment, self.scratch, warm, seconds, patience)
        there = self.torch.is_there(self.remaining)
        self.found["pytorch"] = self.torch.version()
        for shape in self.shapes:
            measured.measure(shape, rows, self.remaining, self.keep)
            if there:
                self.torch.measure(shape, torch_rows, self.remaining, self.keep_theirs)
        self.note_clocks("while measuring")

    def keep_check(self, said):
        self.found["tests"].append(said)
        self.write()
        ended = said["end"] or f"{len(said['failed'])} failed"
        self.say(f"{said['name']}: {said['passed']} passed, {ended}, {said['seconds']:.1f} s")

    def keep(self, row):
        row["clock"] = self.clocks.between(*row["timed"]) if row.get("timed") else None
        self.found["rows"].append(row)
        if row.get("not_reached"):
            return
        self.write()
        took = row.get("gpu_ms") or row.get("host_ms") or row.get("training_ms")
        words = f"{took['median']:.3g} ms" if took else report.words_of(row)
        self.say(f"{row['shape']} {row['row']}: {words}")

    def keep_theirs(self, row):
        row["clock"] = self.clocks.between(*row["timed"]) if row.get("timed") else None
        self.found["pytorch_rows"].append(row)
        if row.get("not_reached"):
            return
        self.write()
        words = f"{row['ms']['median']:.3g} ms" if "ms" in row else row["failed"]
        self.say(f"{row['shape']} PyTorch {row['path']} {row['mode']}: {words}")

    def note_clocks(self, when):
        values = self.clocks.now()
        self.found["clocks"][when] = " ".join(f"{name} {value}" for name, value in values.items())
        self.write()

    def write(self):
        self.found["seconds"] = time.monotonic() - self.began
        report.write(self.out, self.found)

    def log(self, name, ran):
        with open(self.out / "log.txt", "a", encoding="utf-8") as log:
            log.write(f"==== {name}: {ran.end() or 'ended well'} after {ran.seconds:.1f} s\n{ran.output}\n{ran.where}\n")

    def say(self, words):
        print(f"{time.monotonic() - self.began:6.1f} s  {words}", flush=True)


def environment(root, scratch):
    """What the programs find: the golden cases, a folder to write to, the packed loader where there is no other."""
    found = dict(os.environ, CELLSTATE_REQUIRE_GPU="1", CARGO_MANIFEST_DIR=str(root), CARGO_TARGET_TMPDIR=str(scratch))
    # a GPU compiles fast: nothing is drawn
    found["CELLSTATE_THOROUGH"] = "1"
    for name in ("CELLSTATE_STRATEGY", "CELLSTATE_CPU", "CELLSTATE_GOLDEN", "CELLSTATE_CHECKS", "RUST_TEST_THREADS"):
        found.pop(name, None)
    if "XDG_RUNTIME_DIR" not in found:
        folder = Path(scratch) / "runtime"
        folder.mkdir(mode=0o700, exist_ok=True)
        found["XDG_RUNTIME_DIR"] = str(folder)
    try:
        ctypes.CDLL("libvulkan.so.1")
    except OSError:
        found["LD_LIBRARY_PATH"] = ":".join([str(root / "lib"), *filter(None, [found.get("LD_LIBRARY_PATH")])])
    return found


def cut(shape, time_steps):
    sizes = [int(size) for size in shape.split("x")]
    if len(sizes) != 4:
        sys.exit(f"a shape is BATCHxTIME_STEPSxFEATURESxUNITS, not {shape}")
    sizes[1] = min(sizes[1], time_steps or sizes[1])
    return "x".join(map(str, sizes))


def unique(name, all_names):
    """A part of a name without a comma, for commas separate names, that no other adapter's has."""
    parts = sorted((part.strip() for part in name.split(",")), key=len, reverse=True)
    alone = [part for part in parts if sum(part.lower() in other.lower() for other in all_names) == 1]
    return (alone or parts)[0]


def machine():
    try:
        text = Path("/proc/cpuinfo").read_text()
        name = next(line.split(":")[1].strip() for line in text.splitlines() if line.startswith("model name"))
    except (OSError, StopIteration):
        name = platform.machine()
    return f"{os.cpu_count()} x {name}, {platform.system()} {platform.release()}"
