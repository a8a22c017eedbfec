"""The tests as parts of the run: which, in which order, how long each may take, and what they said."""

import re

STRESSED = 3
# what a program that is stopped has not said is lost, so each test says at once why it fails
AT_ONCE = "--nocapture"
# of messages of panics
MOST, LINES, WIDTH = 30, 8, 400


class Check:
    """One test program, run once."""

    def __init__(self, name, binary, limit, arguments=(), environment=None):
        self.name, self.binary, self.limit = name, binary, limit
        self.arguments, self.environment = [AT_ONCE, *arguments], environment or {}


def first():
    """What says that the numbers are right and that no driver crashes: before anything is measured."""
    return [
        Check("golden", "golden", 30),
        Check("tile edges", "tile_edges", 45),
        *stress(1),
    ]


def second():
    """What else must pass. A test program whose tests count what the GPU does runs them one by one."""
    return [
        Check("gpu, one thread", "gpu", 100, ["--test-threads=1"]),
        Check("properties", "properties", 45),
        Check("hostile", "hostile", 60),
        Check("relaxed", "relaxed", 20),
    ]


def third():
    """A driver that crashes does not every time."""
    return [check for number in range(2, STRESSED + 1) for check in stress(number)]


def by_strategy(strategies):
    """Wherever a layer can be run by it."""
    return [
        Check(f"{name} by {strategy}", binary, 30, environment={"CELLSTATE_STRATEGY": strategy})
        for strategy in strategies
        for name, binary in (("golden", "golden"), ("tile edges", "tile_edges"))
    ]


def stress(number):
    """Tests in parallel that open, use and close devices: what once crashed a driver, and not every time."""
    threads = ["--test-threads=16"]
    return [
        Check(f"threads {number}: tile edges", "tile_edges", 45, threads),
        Check(f"threads {number}: mask travel", "mask_travel", 15, threads),
        Check(f"threads {number}: gpu", "gpu", 45, ["threads::", *threads]),
    ]


def judged(check, ran):
    """What is written down of a check that has run."""
    results = re.findall(r"^test result: .*? (\d+) passed; (\d+) failed; (\d+) ignored", ran.output, re.MULTILINE)
    failed = [name for name, result in results_of(ran.output).items() if result == "FAILED"]
    passed = sum(int(result[0]) for result in results)
    end = ran.end()
    if end is None and not passed:
        end = "no test ran"
    said = {
        "name": check.name,
        "seconds": round(ran.seconds, 2),
        "passed": passed,
        "failed": failed,
        "ok": end is None and not failed,
        "end": end,
    }
    if not said["ok"]:
        said["tail"] = tail(ran.output)
        said["panics"] = panics(ran.output)
    if ran.where:
        said["where"] = ran.where[:20000]
    return said


def unfinished(listed, ran):
    """Which tests of a program that ended early had not ended: some were running, others still to come."""
    ended = results_of(ran.output)
    return [name for name in re.findall(r"^(\S+): test$", listed.output, re.MULTILINE) if name not in ended]


def results_of(output):
    """Of each test that has ended whether it is `ok`, `FAILED` or `ignored`. What the tests print stands in between: one by one, before
    the result; where several run at once, behind it."""
    found = {}
    pieces = re.split(r"^test (\S+)(?: - .*?)? \.\.\. ", output, flags=re.MULTILINE)
    for name, text in zip(pieces[1::2], pieces[2::2]):
        results = re.findall(r"(?:^|\W)(ok|FAILED|ignored)(?:(?<=d), .*)?$", text, re.MULTILINE)
        is_first = re.match(r"(?:ok|FAILED|ignored)\b", text)
        if results:
            found[name] = results[0 if is_first else -1]
    # a test that has printed while another said how it ended may have been missed
    lists = re.findall(r"^failures:\n((?:    \S+\n)+)", output, re.MULTILINE)
    found.update((name, "FAILED") for names in lists for name in names.split())
    return found


def panics(output):
    """What the tests said that failed, each within a few lines."""
    head, more = r"^thread '.*' .*panicked at .*", r"(?:\n(?!test |thread |stack backtrace:|note: |(?:ok|FAILED)?$).*)"
    found = re.findall(f"{head}{more}{{0,{LINES}}}", output, re.MULTILINE)
    return ["\n".join(line[:WIDTH] for line in text.splitlines()) for text in found[:MOST]]


def tail(text, lines=25, width=300):
    return "\n".join(line[:width] for line in text.rstrip().splitlines()[-lines:])
