"""The series' scale for what a few seeds show: "shown", "hint" or "not shown"."""

from focal_utils import statistics

FEWEST = 3  # seeds


def verdict(differences, comparisons):
    """Whether something gains or loses, from one difference for each seed: a dict for JSON.

    By `focal_utils.statistics.mean_verdict`; below three seeds nothing is shown. Whether it gains or loses is the sign
    of `difference`.
    """
    found = {"seeds": len(differences), "verdict": "not shown"}
    if len(differences) < FEWEST:
        return found
    mean, half = statistics.mean_interval(differences)
    word = statistics.mean_verdict(differences, comparisons)
    return {**found, "verdict": word, "difference": round(mean, 4), "half_interval": round(half, 4)}
