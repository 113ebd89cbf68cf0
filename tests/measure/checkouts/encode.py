"""Prints the median seconds of mini's ``encode_image``, by clock and of the processor: ``encode.py HEIGHT WIDTH``."""

import statistics
import sys
import time

import pyiqa
import torch

ROUNDS = 7

net = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu").net
x = torch.rand(1, 3, *map(int, sys.argv[1:]), generator=torch.Generator().manual_seed(0))
times = []
with torch.inference_mode():
    for _ in range(ROUNDS + 2):
        start = time.perf_counter(), time.process_time()
        net.encode_image(x)
        times.append((time.perf_counter() - start[0], time.process_time() - start[1]))
print(*map(statistics.median, zip(*times[2:], strict=True)))
