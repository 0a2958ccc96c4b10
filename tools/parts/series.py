"""A file of results that grows row by row: what was interrupted goes on where it was."""

import json
import time

from parts.files import how_made, write_text


class Series:
    """Lists of rows in a JSON file, written anew after each row, below how they were made.

    Args:
        path: the file; rows that are there already are kept.
        lists: names of the lists in the file.
        fixed: what stands in the file beside them and must be the same for its rows to be kept.
        packages: whose versions belong to how the rows were made, besides this process's.
    """

    def __init__(self, path, *lists, fixed=None, packages=()):
        known = json.loads(path.read_text()) if path.exists() else {}
        self.path = path
        self.fixed = json.loads(json.dumps(fixed or {}))
        self.packages = packages
        same = all(known.get(name) == value for name, value in self.fixed.items())
        self.rows = {name: known.get(name, []) if same else [] for name in lists}
        self.began = time.time() - (known.get("seconds", 0) if same else 0)

    def find(self, name, **case):
        """The row of a list that has all entries of a case, or None."""
        return next((row for row in self.rows[name] if row.items() >= case.items()), None)

    def missing(self, name, cases):
        """Of cases, dicts, those that have no row in the list yet."""
        return [case for case in cases if self.find(name, **case) is None]

    def add(self, name, row, told=None, **more):
        """Add a row to a list and write the file, with `more` in its head, and what `told` says of the series; the row.

        Args:
            told: a function of this series, which has the row by then, that gives a dict.
        """
        self.rows[name].append(row)
        more = {**more, **(told(self) if told else {})}
        head = how_made(time.time() - self.began, *self.packages)
        write_text(self.path, json.dumps({**head, **more, **self.fixed, **self.rows}, indent=1) + "\n")
        return row
