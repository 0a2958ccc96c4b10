"""How much memory a step takes at its peak: on a GPU by the device's own counter, on a CPU by the process's size."""

import ctypes
import gc
import sys
import threading
import time

import keras
import psutil

from focal_utils.machine import accelerators

MMAP_THRESHOLD = -3  # mallopt's name for it in glibc's malloc.h

SMALL = 64 * 1024  # bytes; an array of at least this size gets pages of its own and gives them back when it goes


def peak_memory(step):
    """Run `step()`; bytes that it took at its peak beyond what was in use before, and bytes in use at that peak.

    It is run a first time so that what is made only once is not counted. For a process that does nothing else: from
    then on it takes and returns memory in another way, which is slower (see `give_back`).

    On a CPU the second figure is the whole process, libraries included. Linux keeps a process's highest size and lets
    it be reset; elsewhere the size is read each millisecond, which can miss a short peak.
    """
    if accelerators("gpu"):
        step()
        return device_peak(step)
    give_back()
    step()
    give_back()
    before = psutil.Process().memory_info().rss
    peak = linux_peak(step) if sys.platform == "linux" else watched_peak(step)
    return max(0, peak - before), peak


def give_back():
    """Free what nobody holds, return it to the system, and from now on return large arrays at once (glibc only)."""
    gc.collect()
    if sys.platform == "linux":
        libc = ctypes.CDLL(None)
        if hasattr(libc, "mallopt"):
            libc.mallopt(MMAP_THRESHOLD, SMALL)
            libc.malloc_trim(0)


def linux_peak(step):
    """The process's highest size in bytes while `step()` runs, as the kernel counts it."""
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from now on the highest size is counted anew
    step()
    with open("/proc/self/status") as file:
        (line,) = [line for line in file if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def watched_peak(step):
    """The highest size in bytes that is seen while `step()` runs, looking each millisecond."""
    process = psutil.Process()
    seen = [process.memory_info().rss]
    done = threading.Event()

    def watch():
        while not done.is_set():
            seen.append(process.memory_info().rss)
            time.sleep(0.001)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        step()
    finally:
        done.set()
        watcher.join()
    return max(seen)


def device_peak(step):
    """The same two figures from the first GPU's counter, on TensorFlow or PyTorch.

    Raises:
        NotImplementedError: on JAX, whose counter cannot be reset.
    """
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        counter = tf.config.experimental
        counter.reset_memory_stats("GPU:0")
        before = counter.get_memory_info("GPU:0")["current"]
        step()
        peak = counter.get_memory_info("GPU:0")["peak"]
    elif backend == "torch":
        import torch

        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        peak = torch.cuda.max_memory_allocated()
    else:
        raise NotImplementedError(f"No peak memory on a GPU with {backend}: its counter cannot be reset.")
    return max(0, peak - before), peak
