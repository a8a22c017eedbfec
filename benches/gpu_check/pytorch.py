"""PyTorch on the same GPU, by benches/peers/peer_torch.py: one process that stays, for to start it takes seconds."""

import statistics
import time
from threading import Thread

from peer import Failed, Peer

# how long a peer may take to start, and to make and run a problem for the first time
PATIENCE_START, PATIENCE = 60, 40
# name of the path -> whether TF32 is on, whether input and output stay on the GPU
PATHS = {
    "cuda-resident": (False, True),
    "cuda": (False, False),
    "cuda-resident-tf32": (True, True),
    "cuda-tf32": (True, False),
}
MODES = {"full": ["full"], "lengths": ["packed", "padded"]}
# first what there is something to reach for
FIRST = [("cuda-resident", "full"), ("cuda-resident-tf32", "full"), ("cuda", "full"), ("cuda-resident", "packed")]
TRAINING = [("cuda-training", "full"), ("cuda-training", "packed")]
SECOND = [(path, mode) for mode in ("packed", "padded", "full") for path in PATHS if (path, mode) not in FIRST]


class PyTorch:
    """Absent where it is not installed or sees no GPU: `missing` says why."""

    def __init__(self, python, script, environment, warm, seconds):
        self.peer = Peer([str(python), str(script)], environment, PATIENCE_START)
        self.warm, self.seconds, self.missing = warm, seconds, None
        self.starting = Thread(target=self.start, daemon=True)
        self.starting.start()  # while the tests run

    def start(self):
        try:
            self.peer.start()
            if not any(path in PATHS for path in self.peer.paths):
                self.missing = f"PyTorch {self.peer.version} sees no GPU"
                self.peer.stop()
        except (Failed, OSError) as failure:
            self.missing = f"not measured: {failure}"

    def is_there(self, remaining):
        self.starting.join(max(0, min(PATIENCE_START, remaining())))
        if self.starting.is_alive():
            self.missing = "did not start in time"
        return self.missing is None

    def version(self):
        return f"PyTorch {self.peer.version}" if self.missing is None and self.peer.version else f"PyTorch: {self.missing}"

    def measure(self, shape, asked, remaining, keep):
        for number, (path, mode) in enumerate(asked):
            row = {"shape": shape, "path": path, "mode": mode}
            if remaining() < 2 + self.warm + self.seconds:
                for path, mode in asked[number:]:
                    keep({"shape": shape, "path": path, "mode": mode, "not_reached": True})
                return
            began = time.time()
            try:
                row.update(self.timed(shape, path, mode, remaining))
            except (Failed, OSError, ValueError) as failure:  # ValueError: an infinity is no JSON
                row["failed"] = str(failure)
            keep(dict(row, began=began, ended=time.time()))

    def timed(self, shape, path, mode, remaining):
        def ask(*words):
            self.peer.patience = max(1, min(PATIENCE, remaining()))
            return self.peer.ask(*words)

        reply = ask("prepare", 0, path, *shape.split("x"), mode)
        ask("measure", 0, self.warm, 1000000)
        began = time.time()
        times = [1e3 * seconds for seconds in ask("measure", 0, self.seconds, 500)["times"]]
        if len(times) < 3:
            times += [1e3 * seconds for seconds in ask("measure", 0, self.seconds, 2)["times"]]
        said = {key: reply[key] for key in ("sum", "weighted", "samples")}
        said["timed"] = [began, time.time()]
        said["ms"] = {"median": statistics.median(times), "min": min(times), "count": len(times)}
        return said

    def stop(self):
        self.peer.stop()
