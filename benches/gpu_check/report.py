"""What has been found so far, as JSON and as Markdown; both are written again after each part."""

import json
import os
import re

from gpu_check.ratios import against_pytorch, agreement, digits, in_short

HEAD = "| shape | lengths | asked for | run by | weights | GPU ms | least | model ms | host to host ms | least | into ms | copy ms | differs by | SM MHz |"


def write(folder, found):
    replace(folder / "results.json", json.dumps(found, indent=1, ensure_ascii=False))
    replace(folder / "results.md", markdown(found))


def replace(path, text):
    """Whole or not at all, whenever this program is ended."""
    beside = path.with_name(path.name + ".new")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def verdict(found):
    """(whether all is well, in words)"""
    tests = [check for check in found["tests"] if not check.get("not_reached")]
    bad = [check["name"] for check in tests if not check["ok"]]
    left_out = [check["name"] for check in found["tests"] if check.get("not_reached") and check.get("required")]
    wrong = [f"{row['shape']} {row['row']}" for row in found["rows"] if is_wrong(row)]
    words = [f"{len(tests) - len(bad)} of {len(tests)} test runs passed"]
    words += [f"FAILED: {', '.join(bad)}"] if bad else []
    words += [f"not reached: {', '.join(left_out)}"] if left_out else []
    words += [f"WRONG OR FAILED ROWS: {', '.join(wrong)}"] if wrong else []
    words += [found["stopped"]] if found.get("stopped") else []
    good = bool(tests) and not (bad or left_out or wrong or found.get("stopped"))
    return good and found["finished"], "; ".join(words) + ("" if found["finished"] else "; NOT FINISHED")


def is_wrong(row):
    return "failed" in row or row.get("right") is False or row.get("repeats") is False


def markdown(found):
    parts = [heading(found), in_short(found), tests(found), rows(found), against_pytorch(found)]
    parts += [training(found), explained(found), troubles(found)]
    return "\n".join(part for part in parts if part)


def heading(found):
    adapter, build, card = found["adapter"], found["build"], found["card"]
    lines = [
        f"# gpu-check, {found['date']}",
        "",
        f"**{verdict(found)[1]}** in {found['seconds']:.0f} of {found['budget']} s.",
        "",
        f"- {adapter.get('name')}, {adapter.get('kind')}, {adapter.get('backend')}, driver {adapter.get('driver')}",
        f"- cellstate {build.get('version')} at {build.get('commit')}, profile {build.get('profile')}; {found['machine']}",
        f"- {found['pytorch']}",
    ]
    if card:
        clocks = "; ".join(f"{when}: {said}" for when, said in found["clocks"].items() if said)
        lines.append(f"- clocks, at most {card['clocks.max.sm']} MHz (memory {card['clocks.max.mem']}): {clocks}")
    else:
        lines.append("- clocks: not known, there is no nvidia-smi")
    return "\n".join([*lines, ""])


def tests(found):
    lines = ["## Tests", "", "| run | passed | failed | s | |", "|---|---:|---:|---:|---|"]
    for check in found["tests"]:
        if not check.get("not_reached"):
            ended = "" if check["ok"] else "**" + (check["end"] or "failed") + "** " + ", ".join(check["failed"])
            lines.append(f"| {check['name']} | {check['passed']} | {len(check['failed'])} | {check['seconds']:.1f} | {ended} |")
    left_out = [check["name"] for check in found["tests"] if check.get("not_reached")]
    lines += ["", f"Not reached: {', '.join(left_out)}."] if left_out else []
    return "\n".join([*lines, ""]) if found["tests"] else ""


def rows(found):
    lines = ["## cellstate", "", HEAD, "|---|---|---|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|"]
    runs = [row for row in found["rows"] if not is_training(row)]
    for row in runs:
        if row.get("not_reached"):
            continue
        mode, strategy, precision = row["row"].split("/")
        cells = [row["shape"], mode, strategy, row.get("strategy", ""), precision]
        if "gpu_ms" in row:
            gpu, host = row["gpu_ms"], row["host_ms"]
            cells += [digits(gpu["median"]), digits(gpu["min"])] if gpu else ["no time stamps", ""]
            cells += [model(row), digits(host["median"]), digits(host["min"])]
            cells += [digits(row["host_into_ms"]["median"]), digits(row["copy_ms"]["median"]), differs(row), clock(row)]
        else:
            cells += [words_of(row), "", "", "", "", "", "", differs(row), ""]
        lines.append(f"| {' | '.join(cells)} |")
    left_out = [f"{row['shape']} {row['row']}" for row in runs if row.get("not_reached")]
    lines += ["", f"Not reached: {', '.join(left_out)}."] if left_out else []
    return "\n".join([*lines, ""]) if runs else ""


def training(found):
    """A step of training, forward, backward and an update, beside a pass forward from host to host and beside PyTorch's step; alone the weights come home behind each step, and step by step the
    time steps are done one by one, forward and backward."""
    mine = [row for row in found["rows"] if is_training(row) and not row.get("not_reached")]
    if not mine:
        return ""
    theirs = {(row["shape"], row["mode"]): row for row in found["pytorch_rows"] if row["path"] == "cuda-training"}
    head = "| shape | lengths | step ms | least | step by step ms | alone ms | forward ms | step : forward | MiB | differs by | PyTorch ms | PyTorch : ours | differs by |"
    lines = ["## Training", "", head, "|---|---|" + "---:|" * 7 + "---|---:|---:|---|"]
    for row in mine:
        mode = row["row"].split("/")[0]
        cells = [row["shape"], mode]
        if row.get("training_ms"):
            step, forward = row["training_ms"], row["forward_ms"]
            ratio = f"{step['median'] / forward['median']:.2f}"
            by_step = row.get("training_by_step_ms")
            by_step = digits(by_step["median"]) if by_step else row.get("by_step_failed", "")
            others = [digits(row[clock]["median"]) for clock in ("training_alone_ms", "forward_ms")]
            cells += [digits(step["median"]), digits(step["min"]), by_step, *others, ratio, f"{row['memory'] / 2**20:.0f}"]
        else:
            cells += [words_of(row), "", "", "", "", "", ""]
        their = theirs.get((row["shape"], "full" if mode == "full" else "packed"))
        cells += [differs(row), *beside(row, their)]
        lines.append(f"| {' | '.join(cells)} |")
    left_out = [f"{row['shape']} {row['row']}" for row in found["rows"] if is_training(row) and row.get("not_reached")]
    lines += ["", f"Not reached: {', '.join(left_out)}."] if left_out else []
    return "\n".join([*lines, ""])


def beside(row, their):
    """PyTorch's step, its time over ours, and how far the outputs behind the same steps are apart."""
    if not their or "ms" not in their or not row.get("training_ms"):
        return [(their or {}).get("failed", "").replace("|", "/"), "", ""]
    apart, agree = agreement(row, their, row["shape"], "f32")
    ratio = f"{their['ms']['median'] / row['training_ms']['median']:.2f}" if agree else ""
    return [digits(their["ms"]["median"]), ratio, apart]


def is_training(row):
    return row["row"].split("/")[1] == "training"


def model(row):
    """What the crate's model expects of the recurrence alone, for a full batch, by the strategy that ran."""
    text = "\n".join(row.get("explain", []))
    said = re.search(rf"estimates of the recurrence: .*?\b{re.escape(row['strategy'])} ([\d.]+) µs", text)
    return digits(float(said[1]) / 1e3) if said and row["row"].startswith("full/") else ""


def differs(row):
    if "right" not in row:
        return ""
    number = "not a number" if row["difference"] is None else f"{row['difference']:.0e}"
    words = [number if row["right"] else f"**WRONG: {number}**"]
    words += [] if row["repeats"] else ["**other bits the second time**"]
    words += [f"{row['aborted_teams']} teams aborted"] if row.get("aborted_teams") else []
    return ", ".join(words)


def clock(row):
    if not row.get("clock"):
        return ""
    median, least = row["clock"]
    return f"{median:.0f}" if least >= 0.95 * median else f"{median:.0f}, once {least:.0f}"


def words_of(row):
    words = row.get("refused") or row.get("failed") or "not timed"
    return words.replace("|", "/").replace("\n", " ")


def explained(found):
    """How the crate chose, and what it expects, in its own words: for full batches in full precision."""
    lines = []
    for row in found["rows"]:
        if row["row"] == "full/chosen/f32" and row.get("explain"):
            lines += [f"{row['shape']}:", "", *("    " + line for line in row["explain"]), ""]
    return "\n".join(["## What `Runner::explain` says", "", *lines]) if lines else ""


def troubles(found):
    lines = []
    for check in found["tests"]:
        if check.get("tail"):
            lines += [f"### {check['name']}: {check['end'] or 'failed'}", "", "```text", check["tail"], "```", ""]
        if check.get("panics"):
            lines += ["What panicked:", "", "```text", *check["panics"], "```", ""]
        if check.get("unfinished"):
            lines += [f"Not finished: {', '.join(check['unfinished'])}.", ""]
        lines += where(check)
    for row in found["rows"]:
        if row.get("where"):
            lines += [f"### {row['shape']} {row['row']}: {row['failed']}", "", *where(row)]
    return "\n".join(["## What went wrong", "", *lines]) if lines else ""


def where(part):
    return ["Where its threads were:", "", "```text", part["where"][:4000], "```", ""] if part.get("where") else []
