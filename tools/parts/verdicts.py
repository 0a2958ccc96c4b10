"""One scale for what a few seeds show: "shown", "hint" or "not shown"."""

from focal_utils.statistics import mean_interval

FEWEST = 3  # seeds


def verdict(differences):
    """Whether something gains or loses, from one difference for each seed: a dict for JSON.

    Shown: the 95 % interval of the mean over seeds, after Student's t, is on one side of 0, and so is every seed. Hint:
    one of the two. Below three seeds nothing is shown. Whether it gains or loses is the sign of `difference`.
    """
    found = {"seeds": len(differences), "verdict": "not shown"}
    if len(differences) < FEWEST:
        return found
    mean, half = mean_interval(differences)
    apart = abs(mean) > half
    together = all(value > 0 for value in differences) or all(value < 0 for value in differences)
    word = "shown" if apart and together else "hint" if apart or together else "not shown"
    return {**found, "verdict": word, "difference": round(mean, 4), "half_interval": round(half, 4)}
