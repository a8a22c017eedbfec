"""The comparison with PyTorch, from the rows of both."""

from peer import difference

# what each line compares: its name, the row of cellstate, the path and the mode of PyTorch
LINES = [
    ("GPU time, f32 : TF32 off", "full", "f32", "gpu_ms", "cuda-resident", "full"),
    ("GPU time, relaxed : TF32 on", "full", "relaxed", "gpu_ms", "cuda-resident-tf32", "full"),
    ("host to host, f32 : TF32 off", "full", "f32", "host_ms", "cuda", "full"),
    ("host to host, relaxed : TF32 on", "full", "relaxed", "host_ms", "cuda-tf32", "full"),
    ("GPU time, f32 : packed", "lengths", "f32", "gpu_ms", "cuda-resident", "packed"),
    ("GPU time, f32 : padded", "lengths", "f32", "gpu_ms", "cuda-resident", "padded"),
    ("GPU time, relaxed : packed, TF32 on", "lengths", "relaxed", "gpu_ms", "cuda-resident-tf32", "packed"),
    ("GPU time, relaxed : padded, TF32 on", "lengths", "relaxed", "gpu_ms", "cuda-resident-tf32", "padded"),
    ("host to host, f32 : packed", "lengths", "f32", "host_ms", "cuda", "packed"),
    ("host to host, f32 : padded", "lengths", "f32", "host_ms", "cuda", "padded"),
    ("host to host, relaxed : packed, TF32 on", "lengths", "relaxed", "host_ms", "cuda-tf32", "packed"),
    ("host to host, relaxed : padded, TF32 on", "lengths", "relaxed", "host_ms", "cuda-tf32", "padded"),
]
HEAD = "| shape | what | chosen ms | best by name | ms | PyTorch ms | PyTorch : chosen | PyTorch : best | differs by | SM MHz |"

# the columns of the short table: what cellstate chose, and the path and the mode of PyTorch to compare it with
SHORT = [
    ("f32", "full", "f32", "gpu_ms", "cuda-resident", "full"),
    ("lengths", "lengths", "f32", "gpu_ms", "cuda-resident", "packed"),
    ("relaxed", "full", "relaxed", "gpu_ms", "cuda-resident-tf32", "full"),
    ("relaxed lengths", "lengths", "relaxed", "gpu_ms", "cuda-resident-tf32", "packed"),
    ("host to host", "full", "f32", "host_ms", "cuda", "full"),
]


def in_short(found):
    """One line a shape: what cellstate chose, in milliseconds, and PyTorch's time over it."""
    ours = {(row["shape"], row["row"]): row for row in found["rows"]}
    theirs = {(row["shape"], row["path"], row["mode"]): row for row in found["pytorch_rows"]}
    if not theirs:
        return ""
    lines = ["## In short", "", f"| shape | {' | '.join(f'{name} ms | PyTorch : ours' for name, *_ in SHORT)} | lengths : full |"]
    lines.append("|---|" + "---:|" * (2 * len(SHORT) + 1))
    for shape in dict.fromkeys(row["shape"] for row in found["rows"]):
        cells = []
        for _, mode, precision, clock, path, their_mode in SHORT:
            row, their = ours.get((shape, f"{mode}/chosen/{precision}"), {}), theirs.get((shape, path, their_mode), {})
            measured, other = (row.get(clock) or {}).get("median"), (their.get("ms") or {}).get("median")
            agree = measured and other and agreement(row, their, shape, precision)[1]
            cells += [digits(measured) if measured else "", f"{other / measured:.2f}" if agree else ""]
        full, lengths = ((ours.get((shape, f"{mode}/chosen/f32"), {}).get("gpu_ms") or {}).get("median") for mode in ("full", "lengths"))
        cells.append(f"{lengths / full:.2f}" if full and lengths else "")
        lines.append(f"| {shape} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def against_pytorch(found):
    theirs = {(row["shape"], row["path"], row["mode"]): row for row in found["pytorch_rows"]}
    if not theirs:
        return ""
    lines = ["## Against PyTorch", "", HEAD, "|---|---|---:|---|---:|---:|---:|---:|---|---|"]
    for shape in dict.fromkeys(row["shape"] for row in found["pytorch_rows"]):
        for what, mode, precision, clock, path, their_mode in LINES:
            their = theirs.get((shape, path, their_mode))
            if their is not None and not their.get("not_reached"):
                cells = compared(found["rows"], shape, (mode, precision, clock), their)
                lines.append(f"| {shape} | {what} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def compared(rows, shape, asked, their):
    mode, precision, clock = asked
    if "ms" not in their:
        return ["", "", "", their["failed"].replace("|", "/"), "", "", "", ""]
    named = {}
    for row in rows:
        if row["shape"] == shape and row.get(clock):
            row_mode, strategy, row_precision = row["row"].split("/")
            if (row_mode, row_precision) == (mode, precision):
                named[strategy] = row
    chosen, their_ms = named.pop("chosen", None), their["ms"]["median"]
    best = min(named, key=lambda name: named[name][clock]["median"]) if named else None
    apart, agree = agreement(chosen or named.get(best), their, shape, precision)
    ratio = lambda row: f"{their_ms / row[clock]['median']:.2f}" if row and agree else ""
    median = lambda row: digits(row[clock]["median"]) if row else ""
    at = f"{their['clock'][0]:.0f}" if their.get("clock") else ""
    ours = named.get(best)
    return [median(chosen), best or "", median(ours), digits(their_ms), ratio(chosen), ratio(ours), apart, at]


def agreement(ours, their, shape, precision):
    """How far both outputs are apart, and whether that is near enough for a ratio to mean something."""
    if ours is None:
        return "", False
    batch, time_steps, _, units = (int(size) for size in shape.split("x"))
    rounded = precision == "relaxed" or "tf32" in their["path"]
    apart, agree = difference(ours, their, batch * time_steps * units, rounded)
    return (f"{apart:.0e}" if agree else f"**DIFFERS: {apart:.0e}**"), agree


def digits(milliseconds):
    return f"{milliseconds:.3g}" if milliseconds < 100 else f"{milliseconds:.0f}"
