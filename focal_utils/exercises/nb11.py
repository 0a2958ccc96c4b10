"""The exercise of notebook 11: what a ring of devices sends to add up its gradients."""

from focal_utils.exercises.checking import NotYet, close, exercise, number


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
