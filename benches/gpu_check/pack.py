"""Makes the archive that a machine without a Rust toolchain needs, and takes it apart there."""

import io
import json
import lzma
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TESTS = ["golden", "tile_edges", "gpu", "properties", "hostile", "mask_travel", "relaxed"]
MEASURES = "gpu_check"
MOST = 60 << 20
FOLDER = "gpu-check"

# The programs share most of their code: a dictionary that holds several of them packs that once.
FILTERS = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 48 << 20}]


def pack(archive, profile, with_loader):
    """Builds everything, and writes the archive. Says how large it is."""
    binaries = build(profile)
    archive.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        filters = FILTERS if platform.machine() in ("x86_64", "i686") else FILTERS[1:]
        with lzma.open(archive, "wb", filters=filters) as packed, tarfile.open(fileobj=packed, mode="w|") as tar:
            add = lambda path, name: tar.add(path, f"{FOLDER}/{name}", filter=no_owner)
            for name, path in sorted(binaries.items()):
                add(stripped(path, Path(scratch) / name), f"bin/{name}")
            if with_loader:
                add(loader(), "lib/libvulkan.so.1")
            add(HERE.parent / "gpu-check", "gpu-check")
            for folder in ("gpu_check", "peers"):
                for path in sorted((HERE.parent / folder).glob("*.py")):
                    add(path, f"{folder}/{path.name}")
            for path in sorted((ROOT / "golden").rglob("*")):
                if path.is_file() and path.suffix in (".safetensors", ".json", ".txt"):
                    add(path, path.relative_to(ROOT))
            text = json.dumps(described(profile), indent=1).encode()
            about = tarfile.TarInfo(f"{FOLDER}/build.json")
            about.size, about.mtime = len(text), int(time.time())
            tar.addfile(about, io.BytesIO(text))
    size = archive.stat().st_size
    print(f"{archive}: {size / (1 << 20):.1f} MiB, {len(binaries)} programs")
    if size > MOST:
        print(f"that is more than {MOST >> 20} MiB", file=sys.stderr)
    return size <= MOST


def build(profile):
    """The path of each program, built by cargo."""
    tests = [word for name in TESTS for word in ("--test", name)]
    found = {}
    for what in (["test", "--no-run", *tests], ["build", "--example", MEASURES]):
        command = ["cargo", *what, "--profile", profile, "--message-format=json"]
        built = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        for line in built.stdout.decode().splitlines():
            message = json.loads(line)
            name = message.get("target", {}).get("name")
            if message.get("executable") and name in [*TESTS, MEASURES]:
                found[name] = Path(message["executable"])
    missing = {*TESTS, MEASURES} - set(found)
    if missing:
        sys.exit(f"cargo has not built {', '.join(sorted(missing))}")
    return found


def stripped(path, to):
    shutil.copy2(path, to)
    if shutil.which("strip"):
        subprocess.run(["strip", str(to)], check=True)
    return to


def no_owner(entry):
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def loader():
    """The Vulkan loader of this machine, which a machine that computes without a display may lack."""
    known = subprocess.run(["/sbin/ldconfig", "-p"], stdout=subprocess.PIPE).stdout.decode(errors="replace")
    kind = {"x86_64": "x86-64", "aarch64": "AArch64"}.get(platform.machine(), "")
    for line in known.splitlines():
        name, _, path = line.strip().partition(" => ")
        if name.startswith("libvulkan.so.1 ") and kind in name:
            return os.path.realpath(path)
    sys.exit("there is no libvulkan.so.1 here to pack; Debian and Ubuntu have it in libvulkan1")


def described(profile):
    def git(*words):
        asked = subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        return asked.stdout.decode().strip()

    text = (ROOT / "Cargo.toml").read_text()
    version = next(line.split('"')[1] for line in text.splitlines() if line.startswith("version"))
    commit = git("rev-parse", "--short", "HEAD") + (" with changes" if git("status", "--porcelain") else "")
    return {
        "version": version,
        "commit": commit or "an unknown commit",
        "profile": profile,
        "machine": f"{platform.system()} {platform.machine()}",
        "packed": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def unpack(archive, into):
    """The folder with the programs."""
    with tarfile.open(archive, "r:xz") as tar:
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        tar.extractall(into, **safe)
    return Path(into) / FOLDER
