"""Train one small network on one device, on two, and in two processes: the loss of each step is the same everywhere.

    python tools/train_distributed.py --data gtsrb                  all ways; writes data/results/distributed.json
    python tools/train_distributed.py --ways processes              one way; starts its two processes, writes nothing
    python tools/train_distributed.py --ways processes --backup run --backup-every 5 --restarts 3

All ways get the same initial weights, the same batches in the same order, and one learning rate; dropout is off. Two
devices each take one half of a batch, and gradients are added up. Virtual devices share this machine's cores: they show
that the result is the same, not that it is faster.

Each way runs in processes of its own, on CPUs. With `--restarts`, a job that lost a process is started again, all of
it, and goes on from its backup. When all ways are measured and that was interrupted, the same command goes on.
"""

import argparse
import json
import sys
import tempfile
import time
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path

from parts import arguments, files
from parts.series import Series

RESULTS = files.RESULTS / "distributed.json"
WAYS = {  # name: backend, processes, devices of each process
    "tensorflow": ("tensorflow", 1, 1),
    "jax": ("jax", 1, 1),
    "MirroredStrategy": ("tensorflow", 1, 2),
    "DataParallel": ("jax", 1, 2),
    "processes": ("jax", 2, 1),
}


def parse(given=None):
    options = arguments.parser(__doc__)
    whole = arguments.at_least(1)
    options.add_argument("--ways", nargs="+", choices=list(WAYS), help="only these; writes no file (default: all)")
    options.add_argument("--data", choices=("rendered", "gtsrb"), default="rendered", help="default: rendered")
    options.add_argument("--steps", type=whole, default=50, help="of an epoch (default: 50)")
    options.add_argument("--epochs", type=whole, default=1)
    options.add_argument("--batch-size", type=whole, default=32, help="of all devices together (default: 32)")
    options.add_argument("--validation", type=whole, default=512, metavar="N", help="images to validate on (512)")
    options.add_argument("--learning-rate", type=arguments.between(0), default=2e-3)
    options.add_argument("--seed", type=arguments.at_least(0), default=0)
    options.add_argument("--backup", type=Path, metavar="FOLDER", help="a folder to go on from; for one way only")
    options.add_argument("--backup-every", type=whole, metavar="N", help="a backup every N steps, not only every epoch")
    options.add_argument(
        "--restarts", type=arguments.at_least(0), default=0, metavar="N", help="start a job again that lost a process"
    )
    for name, kind in (("--work", str), ("--rank", int), ("--port", int), ("--out", Path)):
        options.add_argument(name, type=kind, help=argparse.SUPPRESS)
    known = options.parse_args(given)
    if known.backup and not known.work and len(known.ways or WAYS) > 1:
        options.error("--backup is for one way: several would go on from each other's backups. Name it with --ways.")
    return known


if __name__ == "__main__":
    parse()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import keras
import numpy as np

import focal_utils as fu
from parts.files import write_text
from parts.jobs import Job, JobFailed, end_with_parent

NETWORK = {"embed_dim": 16, "depths": (1, 1), "focal_levels": 2, "patch_size": 2, "preprocessing": "per_image"}


class Step(keras.callbacks.Callback):
    """The loss of each step, in `losses`, and a line on stdout as each step ends: `step <number>`.

    What Keras logs is the mean over the epoch so far; with the metrics reset after each step, it is that of the step.
    """

    def on_train_begin(self, logs=None):
        self.step = int(keras.ops.convert_to_numpy(self.model.optimizer.iterations))
        self.losses = []
        print(f"from {self.step}", flush=True)

    def on_train_batch_end(self, batch, logs=None):
        self.step += 1
        self.losses.append(float(logs["loss"]))
        if hasattr(self.model, "jax_state_sync"):  # JAX's steps carry the metrics along; here they come back
            self.model.jax_state_sync()
        self.model.reset_metrics()
        print(f"step {self.step}", flush=True)


def images(options):
    """As many training images as the steps of one epoch need, and a few for validation, of the chosen data set."""
    count = options.steps * options.batch_size
    if options.data == "gtsrb":
        data = fu.load_gtsrb()
    else:
        data = fu.render_signs(max(10 * options.validation, 2 * count), seed=options.seed)
    rng = np.random.default_rng(options.seed)
    train = rng.permutation(len(data.x_train))[:count]
    val = rng.permutation(len(data.x_val))[: options.validation]
    return data.take(train=train, val=val)


def network(data):
    return fu.FocalNet(data.image_shape, data.num_classes, **NETWORK)


def first_weights(model, seed):
    """Initial weights from NumPy: the same on each backend, whose own random numbers differ.

    Kernels are drawn, as by Glorot and Bengio 2010; what has one axis stays as the layers make it.
    """
    rng = np.random.default_rng(seed)

    def drawn(weight):
        limit = np.sqrt(6 / (np.prod(weight.shape[:-2]) * sum(weight.shape[-2:])))
        return rng.uniform(-limit, limit, weight.shape).astype(weight.dtype)

    return [drawn(weight) if weight.ndim > 1 else weight for weight in model.get_weights()]


def spread(way, rank, port):
    """Give this process the devices of a way: their names, and the scope in which its network is to be made."""
    backend, processes, devices = WAYS[way]
    if backend == "tensorflow":
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        parts = [tf.config.LogicalDeviceConfiguration()] * devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
        names = [device.name for device in tf.config.list_logical_devices("CPU")]
        return names, tf.distribute.MirroredStrategy(names).scope() if devices > 1 else nullcontext()
    import jax

    jax.config.update("jax_num_cpu_devices", devices)
    if processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"127.0.0.1:{port}", processes, rank)
    names = keras.distribution.list_devices("cpu")
    if len(names) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=names))
    return names, nullcontext()


def work(options):
    """What each process of a job does; the first writes the facts and the final weights into the folder `out`."""
    end_with_parent()
    devices, scope = spread(options.work, options.rank, options.port)
    keras.utils.set_random_seed(options.seed)
    data = images(options)
    steps = Step()
    start = time.perf_counter()
    with scope:
        model = network(data)
    model.set_weights(first_weights(model, options.seed))
    fu.train(
        model,
        data,
        options.epochs,
        options.batch_size,
        augment=fu.augment.augment_signs,
        seed=options.seed,
        learning_rate=options.learning_rate,
        callbacks=[steps],
        backup=options.backup,
        backup_every=options.backup_every,
    )
    seconds = time.perf_counter() - start
    weights = model.get_weights()
    if options.rank == 0:
        keras.distribution.set_distribution(None)
        plain = network(data)
        plain.set_weights(weights)
        facts = {
            "way": options.work,
            "devices": devices,
            "seconds": round(seconds, 1),
            "losses": steps.losses,
            "validation_accuracy": round(fu.accuracy(plain, data.x_val, data.y_val), 5),
            "parameters": plain.count_params(),
        }
        np.savez(options.out / "weights.npz", *weights)
        write_text(options.out / "facts.json", json.dumps(facts) + "\n")


def run(way, options, restarts=0, watch=lambda job, rank, line: None):
    """Run a way in processes of its own; its facts and its final weights, a list of arrays.

    Args:
        way: one of `WAYS`.
        options: a list, of this file's command line.
        restarts: how many times the whole job is started again when a process of it has failed.
        watch: called with the job, a process's rank and each line that it says.

    Raises:
        JobFailed: a process has failed, and all restarts are used up.
    """
    backend, count, _ = WAYS[way]
    here = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "-1"}
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-u", __file__, *map(str, options), "--work", way, "--out", out]
        for left in range(restarts, -1, -1):
            try:
                with Job(command, count, here) as job:
                    for rank, line in job.follow():
                        watch(job, rank, line)
                break
            except JobFailed as error:
                if not left:
                    raise
                print(f"{str(error).splitlines()[0]} Starting all of it again.", flush=True)
        with np.load(Path(out) / "weights.npz") as file:
            weights = [file[name] for name in file.files]
        return json.loads((Path(out) / "facts.json").read_text()), weights


def compare(runs):
    """Add to each run how far its losses are at most from those of one device, on either backend."""
    for facts in runs:
        facts["largest_difference"] = {
            other["way"]: float(np.abs(np.subtract(facts["losses"], other["losses"])).max())
            for other in runs
            if other["way"] in ("tensorflow", "jax") and len(other["losses"]) == len(facts["losses"])
        }
    return runs


def describe(facts):
    apart = ", ".join(f"{value:.1e} from {name}" for name, value in facts["largest_difference"].items())
    first, last = facts["losses"][0], facts["losses"][-1]
    text = f"{facts['way']:16s} devices: {len(facts['devices'])}  loss {first:.4f} to {last:.4f}  "
    text += f"validation accuracy {facts['validation_accuracy']:.4f}  {facts['seconds']:.0f} s"
    return f"{text}  at most {apart}" if apart else text


def main():
    options = parse()
    if options.work:
        return work(options)
    backends = {WAYS[way][0] for way in options.ways or WAYS}
    if missing := [backend for backend in sorted(backends) if not find_spec(backend)]:
        here = " ".join(way for way, (backend, *_) in WAYS.items() if backend not in missing)
        return f"{missing[0]} is not installed: pip install {missing[0]}, or take only --ways {here}"
    if options.ways:
        compared = []
        for way in options.ways:
            compared.append(run(way, sys.argv[1:], options.restarts)[0])
            print(describe(compare(compared)[-1]), flush=True)
        return 0
    series = Series(RESULTS, "runs", fixed={"settings": settings(options)}, packages=["jax"])
    rows = series.rows["runs"]
    for case in series.missing("runs", [{"way": way} for way in WAYS]):
        facts, _ = run(case["way"], sys.argv[1:], options.restarts)
        compare([*rows, facts])
        series.add("runs", facts, complete=len(rows) + 1 == len(WAYS))
        print(describe(facts), flush=True)
    return 0


def settings(options):
    """What must be the same for runs to be compared."""
    return {
        "data": options.data,
        "steps": options.steps,
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "validation": options.validation,
        "seed": options.seed,
        "learning_rate": options.learning_rate,
        "network": NETWORK,
    }


if __name__ == "__main__":
    sys.exit(main())
