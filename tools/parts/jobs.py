"""A job of several processes that work together: started by one command, ended together when one of them fails."""

import os
import queue
import socket
import subprocess
import tempfile
import threading

from focal_utils.measuring import child_environment


class JobFailed(RuntimeError):
    """A process of a job has ended before its work was done."""


def end_with_parent():
    """End this process when the one that started it as part of a `Job` is gone, however that came about.

    Otherwise a job whose launcher was killed would work on beside the one that is started in its place.
    """

    def wait():
        os.read(0, 1)  # stdin: nothing is ever written to it, so this returns when the other end is closed
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


class Job:
    """Processes that run the same command, each with its `--rank`, and `--port`, where the first can be met.

    Use it in a `with` block: at its end the processes are gone.

    Args:
        command: a list.
        count: how many processes.
        environment: variables besides this process's own.
    """

    def __init__(self, command, count, environment):
        with socket.socket() as place:  # a port that is free now
            place.bind(("127.0.0.1", 0))
            port = place.getsockname()[1]
        self.said = queue.Queue()
        self.errors = []
        self.processes = []
        for rank in range(count):
            self.errors.append(tempfile.TemporaryFile("w+"))  # noqa: SIM115 (closed in `__exit__`)
            self.processes.append(
                subprocess.Popen(
                    [*command, "--port", str(port), "--rank", str(rank)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=self.errors[rank],
                    text=True,
                    env=child_environment(environment),
                )
            )
            threading.Thread(target=self._listen, args=(rank,), daemon=True).start()

    def _listen(self, rank):
        for line in self.processes[rank].stdout:
            self.said.put((rank, line.rstrip()))
        self.said.put((rank, None))  # it has ended

    def follow(self):
        """Yield (rank, line) for what the processes say until all have ended.

        Raises:
            JobFailed: one has failed; the message has the end of what it said.
        """
        left = len(self.processes)
        while left:
            rank, line = self.said.get()
            if line is not None:
                yield rank, line
                continue
            left -= 1
            if self.processes[rank].wait():
                raise JobFailed(self._reason(rank))

    def _reason(self, rank):
        self.errors[rank].seek(0)
        end = self.errors[rank].read()[-2000:]
        return f"Process {rank} ended with status {self.processes[rank].returncode}.\nThe end of what it said:\n{end}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()
        for file in [*self.errors, *(process.stdin for process in self.processes)]:
            file.close()
