"""A program that may crash or hang, run with a time limit."""

import os
import shutil
import signal
import subprocess
import tempfile
import time

# how long a program that is asked to end may take, and one that is killed
GRACE = 2


class Ran:
    """How a program ended."""

    def __init__(self, seconds, code, stopped, stuck, output, where):
        self.seconds, self.code, self.stopped, self.stuck = seconds, code, stopped, stuck
        self.output, self.where = output, where

    def end(self):
        """In words; None if it ended well."""
        if self.stuck:
            return f"stopped after {self.seconds:.0f} s, and does not die"
        if self.stopped:
            return f"stopped after {self.seconds:.0f} s"
        if self.code is not None and self.code < 0:
            return signal_name(-self.code)
        return None if self.code == 0 else f"exit code {self.code}"


def signal_name(number):
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def run(command, environment, folder, limit, patience=None, on_line=None):
    """Runs a program in a process group of its own for `limit` seconds at most, or until it has said nothing for
    `patience` seconds; `on_line` gets each line that it prints, as it comes."""
    began = heard = time.monotonic()
    # a file and no pipe: what the program leaves running could hold a pipe open
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folder,
            start_new_session=True,
        )
        lines = Lines(log.fileno(), on_line)
        seconds, stuck, where = None, False, ""
        try:
            while process.poll() is None:
                time.sleep(0.05)
                now = time.monotonic()
                heard = now if lines.read() else heard
                if now - began > limit or (patience and now - heard > patience):
                    seconds, where = now - began, where_it_is(process.pid)
                    stuck = not end(process)
                    break
        except BaseException:  # who stops this script stops the program, too
            end(process)
            raise
        lines.read()
        stopped = seconds is not None
        return Ran(seconds or time.monotonic() - began, process.poll(), stopped, stuck, lines.text(), where)


class Lines:
    """What a program has written to a file so far."""

    def __init__(self, file, on_line):
        self.file, self.on_line, self.bytes, self.told = file, on_line, b"", 0

    def read(self):
        new = os.pread(self.file, 1 << 24, len(self.bytes))
        self.bytes += new
        while self.on_line and (until := self.bytes.find(b"\n", self.told)) >= 0:
            self.on_line(self.bytes[self.told : until].decode(errors="replace"))
            self.told = until + 1
        return bool(new)

    def text(self):
        return self.bytes.decode(errors="replace")


def end(process):
    """Asks the group to end, then kills it. False if it hangs where nothing ends it, in a driver."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            pass
        try:
            process.wait(timeout=GRACE)
        except subprocess.TimeoutExpired:
            continue
        if number == signal.SIGTERM:
            try:
                os.killpg(process.pid, signal.SIGKILL)  # those that it has left
            except ProcessLookupError:
                pass
        return True
    return False


def where_it_is(process):
    """What each thread of a program that hangs waits for: its stacks if there is a debugger, else what the kernel says."""
    if shutil.which("gdb"):
        command = ["gdb", "-p", str(process), "-batch", "-nx", "-ex", "set pagination off", "-ex", "thread apply all bt 12"]
        try:
            asked = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=8)
            text = asked.stdout.decode(errors="replace")
            if "#0" in text:
                return text
        except (OSError, subprocess.TimeoutExpired):
            pass
    said = []
    for thread in sorted(os.listdir(f"/proc/{process}/task")) if os.path.isdir(f"/proc/{process}/task") else []:
        folder = f"/proc/{process}/task/{thread}"
        said.append(" ".join([thread] + [first_line(f"{folder}/{file}") for file in ("comm", "wchan", "syscall")]))
    return "\n".join(said)


def first_line(path):
    try:
        with open(path) as file:
            return file.readline().strip() or "-"
    except OSError:
        return "-"
