"""The tests as parts of the run: which, in which order, how long each may take, and what they said."""

import re

STRESSED = 3


class Check:
    """One test program, run once."""

    def __init__(self, name, binary, limit, arguments=(), environment=None):
        self.name, self.binary, self.limit = name, binary, limit
        self.arguments, self.environment = list(arguments), environment or {}


def first():
    """What must pass, the most telling first. A test program whose tests count what the GPU does runs them one by one."""
    return [
        Check("golden", "golden", 30),
        Check("tile edges", "tile_edges", 45),
        Check("gpu, one thread", "gpu", 60, ["--test-threads=1"]),
        *stress(1),
        Check("properties", "properties", 45),
        Check("hostile", "hostile", 40),
        Check("relaxed", "relaxed", 20),
    ] + [check for number in range(2, STRESSED + 1) for check in stress(number)]


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
    # a line may hold what the test itself has printed
    failed = re.findall(r"^test (\S+) .*?\.\.\. .*?FAILED", ran.output, re.MULTILINE)
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
    if ran.where:
        said["where"] = ran.where[:20000]
    return said


def unfinished(listed, ran):
    """Which tests of a program that ended early had not passed: some were running, others still to come."""
    passed = set(re.findall(r"^test (\S+) .*?\.\.\. .*?ok$", ran.output, re.MULTILINE))
    return [name for name in re.findall(r"^(\S+): test$", listed.output, re.MULTILINE) if name not in passed]


def tail(text, lines=25, width=300):
    return "\n".join(line[:width] for line in text.rstrip().splitlines()[-lines:])
