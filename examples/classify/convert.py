"""Writes vowels.safetensors from the files of the data set "Japanese Vowels".

    pip install numpy safetensors
    python convert.py JapaneseVowels_TRAIN.ts JapaneseVowels_TEST.ts

The data set: M. Kudo, J. Toyama and M. Shimbo, "Multidimensional Curve Classification Using Passing-Through Regions", Pattern
Recognition Letters 20 (1999); UCI Machine Learning Repository, https://doi.org/10.24432/C5NS47, licence CC BY 4.0. The two
files are those of the time series classification archive (timeseriesclassification.com), which hold the same numbers.

Changed here: the six digits behind the point become four, so that each number takes two bytes.
"""

import sys
from pathlib import Path

import numpy as np
import safetensors.numpy

SCALE = 10_000


def read(path):
    """The utterances, each (time_steps, 12), and their speakers, from 0."""
    utterances, speakers = [], []
    for line in Path(path).read_text().splitlines():
        if not line or line[0] in "#@":
            continue
        *features, speaker = line.split(":")
        utterances.append(np.array([feature.split(",") for feature in features], np.float64).T)
        speakers.append(int(speaker) - 1)
    return utterances, speakers


def main():
    tensors = {}
    for part, path in zip(("train", "test"), sys.argv[1:], strict=True):
        utterances, speakers = read(path)
        frames = np.round(np.concatenate(utterances) * SCALE)
        tensors[f"{part}.frames"] = frames.astype(np.int16)
        tensors[f"{part}.lengths"] = np.array([len(utterance) for utterance in utterances], np.uint8)
        tensors[f"{part}.speakers"] = np.array(speakers, np.uint8)
        print(part, {name: array.shape for name, array in tensors.items() if name.startswith(part)})
    about = {
        "source": "Japanese Vowels, UCI Machine Learning Repository, https://doi.org/10.24432/C5NS47",
        "authors": "Mineichi Kudo, Jun Toyama, Masaru Shimbo",
        "licence": "CC BY 4.0, https://creativecommons.org/licenses/by/4.0/",
        "changes": f"frames are rounded to whole numbers of 1/{SCALE}, all utterances of a part one behind the other",
    }
    safetensors.numpy.save_file(tensors, Path(__file__).with_name("vowels.safetensors"), metadata=about)


if __name__ == "__main__":
    main()
