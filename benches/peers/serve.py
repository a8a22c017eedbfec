"""A program of the comparison in Python; the requests are those of serve.rs."""

import copy
import functools
import json
import sys
import time

from rule import Problem


def answer(reply):
    print(json.dumps(reply), flush=True)


def serve(version, paths, prepare):
    """Answers until the input ends; `paths` are those that there are on this machine.

    `prepare(path, problem, mode)` gives (call, output, adapter): what is timed, what gives the output as an array
    (batch, time_steps, units), and where it runs.
    """
    slots = {}
    answer({"version": version, "paths": paths})
    for line in sys.stdin:
        try:
            match line.split():
                case ["prepare", slot, path, *shape, mode]:
                    slots[slot], reply = prepared(prepare, path, [int(size) for size in shape], mode)
                    answer(reply)
                case ["measure", slot, seconds, most]:
                    answer({"times": measured(slots[slot], float(seconds), int(most))})
                case ["release"]:
                    slots.clear()
                    answer({})
                case _:
                    answer({"error": f"cannot read the request {line!r}"})
        except Exception as error:  # whatever a peer finds wrong is a line of the table
            answer({"error": f"{type(error).__name__}: {error}".splitlines()[0]})


@functools.lru_cache(maxsize=1)
def numbers_of(shape):
    """The numbers of a shape, which all its paths and modes share: to make them takes seconds for the largest."""
    return Problem(*shape, with_lengths=False)


def prepared(prepare, path, shape, mode):
    problem = copy.copy(numbers_of(tuple(shape)))
    problem.lengths = None if mode == "full" else problem.spread_lengths()
    call, output, adapter = prepare(path, problem, mode)
    reply = problem.digest(output())
    began = time.perf_counter()
    call()
    return call, reply | {"adapter": adapter, "seconds": time.perf_counter() - began}


def measured(call, seconds, most):
    times = []
    began = time.perf_counter()
    while not times or (len(times) < most and time.perf_counter() - began < seconds):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times
