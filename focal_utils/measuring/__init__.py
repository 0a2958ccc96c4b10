"""What a layer or a network costs when it runs: time and peak memory, each case in a process of its own."""

from focal_utils.measuring.memory import peak_memory
from focal_utils.measuring.processes import DidNotFit, Worker, child_environment, serve
from focal_utils.measuring.race import BACKENDS, Measurement, installed_backends, make_step, measure
