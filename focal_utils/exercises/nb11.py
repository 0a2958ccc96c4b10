"""The exercises of notebook 11: what a ring of devices sends to add up its gradients, and a plan that fits."""

import functools
from collections.abc import Mapping

import numpy as np

from focal_utils.exercises.checking import NotYet, close, exercise, number, whole_numbers
from focal_utils.files import load_results
from focal_utils.models import count_parameters


@exercise("11.1 ring")
def judge_ring(answer):
    for size, devices in ((800, 4), (800, 2), (3000, 3), (800, 1)):
        sent = number(answer, size, devices)
        due = 2 * (devices - 1) * size / devices
        if close(sent, due):
            continue
        asked = f"{devices} devices, {size} bytes of gradients"
        if devices == 1:
            raise NotYet(f"One device has nobody to send to; yours sends {sent:g} bytes.")
        if close(sent, due / 2):
            raise NotYet("That is the first round, after which each device has one part whole. The second hands it on.")
        if close(sent, 2 * (devices - 1) * size) or close(sent, (devices - 1) * size):
            raise NotYet(f"{asked}: in each step a device sends one of the {devices} parts, not all of its gradients.")
        if close(sent, 2 * size):
            raise NotYet("Nearly: the last step would bring a part back to where it is known already. Count the steps.")
        if close(sent, 8 * due):
            raise NotYet("Bytes are wanted, in and out: there is nothing to turn into bits.")
        raise NotYet(f"{asked}: each sends {due:g} bytes; yours says {sent:g}.")
    return "Next: from which number of devices on does one more hardly change what each has to send?"


# ---- the open task

IMAGES = 1_281_167 * 300  # ImageNet-1K, 300 epochs
BATCH = 1024
PAPER_SPEED = 743  # images/s forward on one V100, Yang et al. 2022, section 4.1
LINK = 3e9  # bytes/s between machines, as the page assumes
PRICE = 2.0  # dollars for a device and an hour, as the page assumes
MOST_DEVICES = 64
MEMORY = 8e9  # bytes of one device
HOURS = 48
DOLLARS = 1500
BITS = (32, 16)
KINDS = {"devices": int, "at_once": int, "accumulate": int, "recompute": bool, "bits": int}


@functools.cache
def facts():
    """Of `tiny_srf`, measured: weights, forward passes that a training step costs, bytes for each image in a step."""
    speeds = load_results("speedups")["runs"]
    runs = [run for run in speeds if run["way"].startswith("tiny_srf")]
    passes = np.median([run["forward_images_per_second"] / run["images_per_second"] for run in runs])
    per_image = load_results("step_memory")["bytes_per_image"]
    return count_parameters("tiny_srf"), float(passes), per_image


def bytes_needed(plan):
    """Eq. (11.3): what a device holds."""
    weights, _, per_image = facts()
    numbers = 4 if plan["accumulate"] == 1 else 5  # for each weight
    return 4 * numbers * weights + plan["at_once"] * per_image["recomputed" if plan["recompute"] else "as it is"]


def seconds_of_a_step(plan):
    """Eq. (11.2): seconds of computing, and of sending."""
    weights, passes, _ = facts()
    n = plan["devices"]
    passes_done = passes + 1 if plan["recompute"] else passes
    return BATCH / n * passes_done / PAPER_SPEED, 2 * (n - 1) / n * weights * plan["bits"] / 8 / LINK


def as_plan(answer):
    """A plan with all its entries, each of its kind, or a `NotYet`."""
    if not isinstance(answer, Mapping):
        raise NotYet(f"A dictionary with {', '.join(KINDS)} is wanted, and this is a {type(answer).__name__}.")
    if missing := [key for key in KINDS if key not in answer]:
        raise NotYet(f"“{missing[0]}” is missing.")
    if unknown := [key for key in answer if key not in KINDS]:
        raise NotYet(f"A plan has no {unknown[0]!r}; it has {', '.join(KINDS)}.")
    for key, kind in KINDS.items():
        if kind is bool and not isinstance(answer[key], bool):
            raise NotYet(f"“{key}” is True or False, and yours is {answer[key]!r}.")
        if kind is int and (whole_numbers([answer[key]]) is None or answer[key] < 1):
            raise NotYet(f"“{key}” is a whole number of at least 1, and yours is {answer[key]!r}.")
    if answer["bits"] not in BITS:
        raise NotYet(f"Gradients are sent in 32 or in 16 bits, not in {answer['bits']}.")
    if answer["devices"] > MOST_DEVICES:
        raise NotYet(f"There are {MOST_DEVICES} devices, and yours takes {answer['devices']}.")
    return dict(answer)


def need_the_batch(plan):
    """Raise `NotYet` where the weights do not change after the recipe's number of images."""
    alone = plan["at_once"] * plan["accumulate"]
    seen = plan["devices"] * alone
    if seen == BATCH:
        return
    if alone == BATCH:
        raise NotYet(
            f"Each device goes through {BATCH} images by itself, so all together through {seen:,} in a step. They "
            "share the batch."
        )
    if plan["devices"] * plan["at_once"] == BATCH:
        raise NotYet(
            f"{BATCH} are on the devices at once already, and then you gather {plan['accumulate']} such steps: that "
            f"is a batch of {seen:,}."
        )
    raise NotYet(
        f"The weights would change after {seen:,} images: devices × at_once × accumulate. The recipe's batch is "
        f"{BATCH}; another one is another training."
    )


@exercise("11.2 a plan")
def judge_plan(answer):
    plan = as_plan(answer)
    need_the_batch(plan)
    held = bytes_needed(plan)
    computing, sending = seconds_of_a_step(plan)
    hours = IMAGES / BATCH * (computing + sending) / 3600
    bill = hours * plan["devices"] * PRICE
    costs = f"{held / 1e9:.1f} GB on each device, {hours:.1f} hours, {bill:,.0f} dollars"
    if held > MEMORY:
        raise NotYet(
            f"{costs}: it does not fit into {MEMORY / 1e9:.0f} GB. Fewer at once, gathered over more steps, are the "
            "same batch."
        )
    if hours > HOURS and plan["recompute"]:
        raise NotYet(f"{costs}: too long. Recomputing costs one more forward pass in each step. Do you need it?")
    if hours > HOURS:
        raise NotYet(f"{costs}: too long. {plan['devices']} devices are too few to be done in {HOURS} hours.")
    if bill > DOLLARS and plan["recompute"]:
        raise NotYet(f"{costs}: in time, and too dear. Every device pays for what is computed twice.")
    if bill > DOLLARS:
        waiting = sending / (computing + sending)
        ways = "Fewer devices wait less." if plan["bits"] == 16 else "Send fewer bytes, or take fewer devices."
        raise NotYet(f"{costs}: in time, and too dear. For {waiting:.0%} of it the devices send. {ways}")
    return f"{costs}. Next: which of the limits would you have to move for 64 devices to make sense?"
