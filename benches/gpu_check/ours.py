"""cellstate on the GPU: a process for each shape, and a new one for what is left where one crashes or hangs."""

import json

from gpu_check.program import run

# seconds without a word after which a row is taken for hanging: it compiles, and is compared with the CPU
PATIENCE, PATIENCE_IN_SOFTWARE = 25, 150


class Ours:
    def __init__(self, binary, adapter, environment, folder, warm, seconds, patience):
        self.binary, self.adapter, self.warm, self.seconds = binary, adapter, warm, seconds
        self.environment, self.folder, self.patience = environment, folder, patience

    def measure(self, shape, names, remaining, keep):
        """Measures rows (`full/chosen/f32`), and hands each to `keep`. `remaining()`: the seconds that are left."""
        left = list(names)
        while left and remaining() > 3:
            reader, limit = Reader(left, keep), remaining()
            command = [self.binary, "measure", self.adapter, shape, self.warm, self.seconds, *left]
            ran = run(command, self.environment, self.folder, limit, self.patience, reader.line)
            if ran.end() is None or (ran.stopped and ran.seconds >= limit):
                break
            words = [line for line in ran.output.splitlines() if line.strip() and not line.startswith("{")]
            failure = {"shape": shape, "failed": " ".join([ran.end() + ":", *words[-1:]]).rstrip(":")}
            if ran.where:
                failure["where"] = ran.where[:20000]
            # where it failed before any row, it would do so again
            for name in [reader.begun] if reader.begun in left else list(left):
                keep(dict(failure, row=name))
                left.remove(name)
        for name in left:
            keep({"row": name, "shape": shape, "not_reached": True})


class Reader:
    """Takes the rows from what the program prints."""

    def __init__(self, left, keep):
        self.left, self.keep, self.begun = left, keep, None

    def line(self, text):
        try:
            said = json.loads(text)
        except ValueError:
            return  # drivers print, too
        if "begin" in said:
            self.begun = said["begin"]
        elif "row" in said:
            self.begun = None
            if said["row"] in self.left:
                self.left.remove(said["row"])
            self.keep(said)
