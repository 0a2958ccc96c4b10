"""A process of its own for each thing that is measured: what one takes or breaks, the others do not feel."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress

import psutil

# What TensorFlow, C++, NumPy, PyTorch and JAX say, in this order.
NO_MEMORY = ("OOM when allocating", "bad_alloc", "Unable to allocate", "allocate memory", "ut of memory")

GLANCE = 0.02  # seconds between looks at a process's memory


def child_environment(variables=None):
    """The environment for a Python process that finds the same packages as this one: a dict.

    Where this process looks for packages is known to it alone, if a notebook or a test has put a folder on `sys.path`.
    The process gets these places as PYTHONPATH.

    Args:
        variables: what it has besides, or instead.
    """
    places = [os.path.abspath(place) for place in map(str, sys.path)]  # "" is the folder that this process is in
    return os.environ | {"PYTHONPATH": os.pathsep.join(places)} | (variables or {})


class DidNotFit(RuntimeError):
    """A process was ended, or ended itself, because of its memory or its time."""


def serve(handle):
    """What a worker's process does: answer each JSON line of stdin with a JSON line, `handle(request)` → answer.

    Whatever libraries print goes to stderr: it is no answer.
    """
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(handle(json.loads(line))), file=answers, flush=True)


class Worker:
    """A process that runs `serve`, seen from outside. Use it in a `with` block: at its end the process is gone.

    Args:
        name: what messages call it.
        command: its command line, a list.
        environment: variables besides this process's own.
        memory_limit: bytes of memory at which it is ended; None for no limit.
        patience: seconds an answer may take before it is ended; None for no limit.
    """

    def __init__(self, name, command, environment=None, memory_limit=None, patience=None):
        self.name = name
        self.memory_limit = memory_limit
        self.patience = patience
        self.said = tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed in `stop`)
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.said,
            text=True,
            env=child_environment({"TF_CPP_MIN_LOG_LEVEL": "3"} | (environment or {})),
        )
        self.answers = queue.Queue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stdout:
            self.answers.put(line)
        self.answers.put(None)  # it has ended

    def ask(self, request):
        """Its answer to a request, both whatever JSON can say.

        Raises:
            DidNotFit: it was ended at its limit of memory or of time.
            RuntimeError: it ended by itself; the message has the end of what it said.
        """
        start = time.monotonic()
        try:
            print(json.dumps(request), file=self.process.stdin, flush=True)
        except BrokenPipeError:
            raise self._failure() from None
        while True:
            try:
                line = self.answers.get(timeout=GLANCE if self.memory_limit or self.patience else None)
            except queue.Empty:
                self._check(time.monotonic() - start)
                continue
            if line is None:
                raise self._failure()
            return json.loads(line)

    def _check(self, seconds):
        """End the process if it has gone over a limit."""
        try:
            used = psutil.Process(self.process.pid).memory_info().rss
        except psutil.NoSuchProcess:
            return
        if self.memory_limit and used > self.memory_limit:
            self.stop()
            raise DidNotFit(f"did not fit in {self.memory_limit / 1e9:.1f} GB")
        if self.patience and seconds > self.patience:
            self.stop()
            raise DidNotFit(f"took longer than {self.patience:.0f} s")

    def _failure(self):
        """The error that says why the process has ended."""
        code = self.process.wait()
        self.said.seek(0)
        end = self.said.read()[-1200:]
        if code == -9 or any(words in end for words in NO_MEMORY):
            return DidNotFit("did not fit in this machine's memory")
        return RuntimeError(f"{self.name} failed. The end of what it said:\n{end}")

    def stop(self):
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()
        with suppress(BrokenPipeError):  # a question that it did not live to read
            self.process.stdin.close()
        self.said.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
