"""The series' scale for what a few seeds show: "shown", "hint" or "not shown"."""

from focal_utils import statistics

FEWEST = 3  # seeds


def verdict(differences, comparisons):
    """Whether something gains or loses, from one difference for each seed: a dict for JSON.

    By `focal_utils.statistics.verdict`, with Student's t: hint where the 95 % interval of the mean over seeds excludes
    0, shown where an interval as careful as so many comparisons ask for does (Bonferroni), 99.5 % for ten. Below three
    seeds nothing is shown. Whether it gains or loses is the sign of `difference`.
    """
    found = {"seeds": len(differences), "verdict": "not shown"}
    if len(differences) < FEWEST:
        return found
    mean, half = statistics.mean_interval(differences)
    _, careful = statistics.mean_interval(differences, level=1 - 0.05 / comparisons)
    word = statistics.verdict((mean - half, mean + half), (mean - careful, mean + careful))
    return {**found, "verdict": word, "difference": round(mean, 4), "half_interval": round(half, 4)}
