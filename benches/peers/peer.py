"""A program of the comparison as the one sees it that asks: see serve.rs for the requests."""

import json
import os
import signal
import subprocess
import tempfile
from queue import Empty, Queue
from threading import Thread

# what a value of the output may differ by from cellstate's
TOLERANCE, TOLERANCE_ROUNDED = 1e-4, 1e-2


class Failed(Exception):
    """A peer that is missing, refuses, or takes too long."""


class Peer:
    """A program that answers a line of JSON to each line."""

    def __init__(self, command, environment, patience):
        """`patience`: the seconds after which an answer is given up."""
        self.command, self.environment, self.patience = command, environment, patience
        self.process, self.version = None, None

    def start(self):
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log, text=True, env=self.environment
        )
        self.lines = Queue()
        Thread(target=self.read, args=(self.process.stdout, self.lines), daemon=True).start()
        greeting = self.reply()
        self.version, self.paths = greeting["version"], greeting["paths"]

    @staticmethod
    def read(stream, lines):
        for line in stream:
            lines.put(line)
        lines.put(None)

    def reply(self):
        while True:
            try:
                line = self.lines.get(timeout=self.patience)
            except Empty:
                self.stop()
                raise Failed(f"stopped after {self.patience:.0f} s") from None
            if line is None:
                raise Failed(self.last_words())
            if line.startswith("{"):  # libraries print, too
                reply = json.loads(line)
                if "error" in reply:
                    raise Failed(reply["error"])
                return reply

    def ask(self, *words):
        if self.process is None:
            self.start()
        self.process.stdin.write(" ".join(str(word) for word in words) + "\n")
        self.process.stdin.flush()
        return self.reply()

    def said(self):
        """Its lines on standard error; reading in its own way leaves the place where it writes."""
        text = os.pread(self.log.fileno(), 1 << 16, 0).decode(errors="replace")
        return [line for line in text.splitlines() if line.strip()]

    def last_words(self):
        """Of a program that has ended: its last line on standard error, and the signal if one ended it."""
        process, words = self.process, (self.said() or ["ended without a word"])[-1]
        code = process.wait() if process is not None else None
        self.stop()
        return f"{signal.Signals(-code).name}: {words}" if code is not None and code < 0 else words

    def stop(self):
        if self.process is not None:
            self.process.kill()
            try:
                self.process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                pass  # it hangs in a driver, and nothing ends it
            self.process = None


def difference(mine, other, values, rounded):
    """The largest difference of the compared values of two replies, and whether the outputs of so many values agree."""
    apart = max(abs(a - b) for a, b in zip(mine["samples"], other["samples"]))
    tolerance = TOLERANCE_ROUNDED if rounded else TOLERANCE
    agree = (
        apart <= tolerance
        and len(mine["samples"]) == len(other["samples"])
        and abs(mine["sum"] - other["sum"]) <= tolerance * values / 10
        and abs(mine["weighted"] - other["weighted"]) <= tolerance * values**0.5
    )
    return apart, agree
