"""The clocks of an NVIDIA GPU, sampled by nvidia-smi while everything else runs."""

import shutil
import statistics
import subprocess
import time
from threading import Thread

FIELDS = ["clocks.sm", "clocks.mem", "temperature.gpu", "power.draw", "pstate"]
CARD = ["index", "name", "driver_version", "clocks.max.sm", "clocks.max.mem", "memory.total", "power.limit"]
EVERY_MS = 250


class Clocks:
    """Without nvidia-smi it has no samples, and says so."""

    def __init__(self, adapter):
        self.card, self.samples, self.process = {}, [], None
        cards = [dict(zip(CARD, line)) for line in query(CARD)]
        # the card that the adapter names, where there are several
        self.card = next((card for card in cards if card["name"] in adapter), cards[0] if len(cards) == 1 else {})

    def start(self):
        if self.card:
            command = ["nvidia-smi", f"--id={self.card['index']}", f"--query-gpu={','.join(FIELDS)}"]
            command += ["--format=csv,noheader,nounits", f"--loop-ms={EVERY_MS}"]
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            Thread(target=self.read, args=(self.process.stdout,), daemon=True).start()
            began = time.monotonic()
            while not self.samples and time.monotonic() - began < 3:
                time.sleep(0.05)

    def read(self, stream):
        for line in stream:
            values = [value.strip() for value in line.split(",")]
            if len(values) == len(FIELDS):
                self.samples.append((time.time(), dict(zip(FIELDS, values))))

    def stop(self):
        if self.process is not None:
            self.process.terminate()

    def between(self, began, ended):
        """The clocks of the multiprocessors, MHz: (median, least), None where none was sampled."""
        found = [number(values["clocks.sm"]) for at, values in list(self.samples) if began <= at <= ended]
        found = [value for value in found if value is not None]
        return (statistics.median(found), min(found)) if found else None

    def now(self):
        return self.samples[-1][1] if self.samples else {}


def query(fields):
    if not shutil.which("nvidia-smi"):
        return []
    command = ["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader,nounits"]
    try:
        asked = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = asked.stdout.decode(errors="replace").splitlines() if asked.returncode == 0 else []
    return [[value.strip() for value in line.split(",")] for line in lines if line.count(",") == len(fields) - 1]


def number(text):
    try:
        return float(text)
    except ValueError:
        return None
