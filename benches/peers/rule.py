"""What every program of the comparison computes, as rule.rs says it: lengths, numbers, digest."""

import functools
import math

import numpy

INPUT, KERNEL, RECURRENT_KERNEL, BIAS, WEIGHTS_OF_THE_DIGEST, TARGETS = range(6)
TRAINING_STEPS = 2  # after which outputs are compared
SAMPLES = 32
STRIDE = 7919
MASK = 0xFFFFFFFF


def hashed(bits):
    bits = bits ^ (bits >> 16)
    bits = (bits * 0x7FEB352D) & MASK
    bits = bits ^ (bits >> 15)
    bits = (bits * 0x846CA68B) & MASK
    return bits ^ (bits >> 16)


def numbers_from(stream, start, count):
    """Uniform in ±1: those of a stream from number `start` on."""
    index = numpy.arange(start, start + count, dtype=numpy.uint64)
    bits = hashed((index * 2654435761 + stream * 0x9E3779B9) & MASK)
    return (bits >> 8).astype(numpy.float32) / numpy.float32(8388608) - numpy.float32(1)


@functools.lru_cache(maxsize=16)
def weights_of_the_digest(start, count):
    return numbers_from(WEIGHTS_OF_THE_DIGEST, start, count)


def numbers(stream, scale, *shape):
    values = numpy.empty(math.prod(shape), numpy.float32)
    for start in range(0, values.size, 1 << 22):
        part = values[start : start + (1 << 22)]
        part[:] = numbers_from(stream, start, part.size) * numpy.float32(scale)
    return values.reshape(shape)


class Problem:
    """One LSTM and its input; kernels are (rows, 4·units) with the gates i f g o."""

    def __init__(self, batch, time_steps, features, units, with_lengths):
        self.batch, self.time_steps, self.features, self.units = batch, time_steps, features, units
        scale = numpy.float32(1 / math.sqrt(units))
        self.input = numbers(INPUT, 1, batch, time_steps, features)
        self.kernel = numbers(KERNEL, scale, features, 4 * units)
        self.recurrent_kernel = numbers(RECURRENT_KERNEL, scale, units, 4 * units)
        self.bias = numbers(BIAS, scale, 4 * units)
        self.lengths = self.spread_lengths() if with_lengths else None

    def spread_lengths(self):
        if self.batch == 1:
            return numpy.array([(self.time_steps + 1) // 2])
        rank = numpy.arange(self.batch) * STRIDE % self.batch
        return 1 + rank * (self.time_steps - 1) // (self.batch - 1)

    def targets(self):
        """What the outputs should be in a training, (batch, time_steps, units)."""
        return numbers(TARGETS, 1, self.batch, self.time_steps, self.units)

    def gates(self, matrix, order):
        """The columns with the gates in another order, transposed: (4·units, rows)."""
        parts = [matrix[..., gate * self.units : (gate + 1) * self.units] for gate in order]
        return numpy.ascontiguousarray(numpy.concatenate(parts, axis=-1).T)

    def digest(self, output):
        """Of an output (batch, time_steps, units), zero at padded steps."""
        assert output.shape == (self.batch, self.time_steps, self.units), output.shape
        flat = numpy.ascontiguousarray(output).reshape(-1)
        total, weighted = 0.0, 0.0
        for start in range(0, flat.size, 1 << 22):
            part = flat[start : start + (1 << 22)].astype(numpy.float64)
            total += float(part.sum())
            weighted += float(part @ weights_of_the_digest(start, part.size).astype(numpy.float64))
        samples = []
        for sample in range(SAMPLES):
            row = sample * STRIDE % self.batch
            length = self.time_steps if self.lengths is None else int(self.lengths[row])
            step = length - 1 if sample % 2 == 0 else hashed(sample) % self.time_steps
            samples.append(float(output[row, step, sample * 37 % self.units]))
        return {"sum": total, "weighted": weighted, "samples": samples}
