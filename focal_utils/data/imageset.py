"""One object for one image set, which checks itself when it is made."""

from dataclasses import dataclass, replace

import numpy as np

PARTS = ("train", "val", "test")
KINDS = ("x", "y", "track", "size", "roi")  # what is known of a part's images
MOST_CLASSES = 2**31  # a label beyond is none, whatever the number of classes


@dataclass(frozen=True, eq=False, repr=False)
class ImageSet:
    """Images and labels of one data set, split into training, validation and test.

    It is the door through which data comes in: what is wrong with images, labels or tracks is said when it is made.

    Args:
        name: what to call the set.
        source: where the split comes from: "official" (the published one), "own split" or "rendered".
        class_names: `class_names[label]` is a label's name.
        x_train, x_val, x_test: images (N, height, width, channels), uint8 or floats, of one size, number of channels
            and type in all parts. Grey ones may be (N, height, width) and get one channel. Validation and test may be
            left out.
        y_train, y_val, y_test: labels, whatever `as_labels` understands; kept as (N,) int64.
        track_train, track_val: (N,), which images show one and the same thing, GTSRB's frames of one physical sign for
            instance. A track is of one class, and in one part.
        size_train, size_val, size_test: (N, 2), width and height of the original photographs in pixels.
        roi_train, roi_val, roi_test: (N, 4), the boxes x1, y1, x2, y2 of what is shown, in the originals' pixels.

    Raises:
        ValueError: something is missing, of another shape or type, out of range, or does not fit the rest.

    Example:
        >>> images = np.zeros((6, 32, 32, 3), "uint8")
        >>> ImageSet("mine", "own split", ("cat", "dog"), images, [0, 1, 0, 1, 0, 1], images[:2], [0, 1])
        <ImageSet mine (own split): 6 / 2 / 0 train / val / test, 32×32×3 uint8, 2 classes>
    """

    name: str
    source: str
    class_names: tuple
    x_train: np.ndarray
    y_train: np.ndarray
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    x_test: np.ndarray | None = None
    y_test: np.ndarray | None = None
    track_train: np.ndarray | None = None
    track_val: np.ndarray | None = None
    size_train: np.ndarray | None = None
    size_val: np.ndarray | None = None
    size_test: np.ndarray | None = None
    roi_train: np.ndarray | None = None
    roi_val: np.ndarray | None = None
    roi_test: np.ndarray | None = None

    def __post_init__(self):
        self._keep("class_names", as_class_names(self.class_names))
        for part in PARTS:
            self._check_part(part)
        check_alike({f"x_{part}": getattr(self, f"x_{part}") for part in self.parts})
        if self.track_train is not None and self.track_val is not None:
            check_apart(self.track_train, self.track_val)

    def _keep(self, field, value):
        object.__setattr__(self, field, value)  # the fields of a frozen dataclass are set once, here

    def _check_part(self, part):
        images, labels = (getattr(self, f"{kind}_{part}") for kind in "xy")
        if images is None and labels is None and part != "train":
            return
        if images is None or labels is None:
            given, missing = (f"x_{part}", f"y_{part}") if labels is None else (f"y_{part}", f"x_{part}")
            raise ValueError(f"{given} comes without {missing}: give both, or leave the part out.")
        images = as_images(images, f"x_{part}")
        labels = as_labels(labels, self.num_classes, len(images), f"labels y_{part}")
        self._keep(f"x_{part}", images)
        self._keep(f"y_{part}", labels)
        for field, width in (("track", None), ("size", 2), ("roi", 4)):
            known = getattr(self, f"{field}_{part}", None)
            if known is not None:
                self._keep(f"{field}_{part}", as_facts(known, len(images), width, f"{field}_{part}"))
        if getattr(self, f"track_{part}", None) is not None:
            check_tracks(getattr(self, f"track_{part}"), labels, f"track_{part}")
        check_boxes(getattr(self, f"roi_{part}"), getattr(self, f"size_{part}"), part)

    @property
    def parts(self):
        """The parts that there are: "train", and of "val" and "test" those that were given."""
        return tuple(part for part in PARTS if getattr(self, f"x_{part}") is not None)

    @property
    def num_classes(self):
        return len(self.class_names)

    @property
    def image_shape(self):
        """(height, width, channels)"""
        return self.x_train.shape[1:]

    def take(self, **rows):
        """The set with some rows of its parts, all that is known of them included; other parts stay as they are.

        Args:
            rows: `part=rows`, where rows are what NumPy takes as an index: numbers, a mask, a slice.

        Example:
            >>> data.take(train=slice(100), val=[0, 1, 2])
        """
        changes = {}
        for part, chosen in rows.items():
            for kind in KINDS:
                known = getattr(self, f"{kind}_{part}", None)
                if known is not None:
                    changes[f"{kind}_{part}"] = known[chosen]
        return replace(self, **changes)

    def hold_out(self, rows):
        """The set with some training rows moved to validation, all that is known of them included.

        Args:
            rows: mask (N,) of the training images, true for validation.

        Raises:
            ValueError: the set has validation images already, or `rows` is no mask.
        """
        rows = np.asarray(rows)
        if self.x_val is not None or rows.dtype != bool or rows.shape != self.y_train.shape:
            raise ValueError(
                f"rows of type {rows.dtype} and shape {rows.shape}: a mask of the {len(self.y_train):,} training "
                "images of a set without validation is needed."
            )
        known = [kind for kind in KINDS if getattr(self, f"{kind}_train") is not None]
        held_out = {f"{kind}_val": getattr(self, f"{kind}_train")[rows] for kind in known}
        kept = {f"{kind}_train": getattr(self, f"{kind}_train")[~rows] for kind in known}
        return replace(self, **kept, **held_out)

    def exchange(self, part, images, labels):
        """The set with other images and labels in one part; tracks, sizes and boxes of the old ones are dropped."""
        facts = {f"{kind}_{part}": None for kind in KINDS if hasattr(self, f"{kind}_{part}")}
        return replace(self, **{**facts, f"x_{part}": images, f"y_{part}": labels})

    def __repr__(self):
        shape = "×".join(map(str, self.image_shape))
        counts = " / ".join(f"{len(x) if x is not None else 0:,}" for x in (self.x_train, self.x_val, self.x_test))
        return (
            f"<ImageSet {self.name} ({self.source}): {counts} train / val / test, "
            f"{shape} {self.x_train.dtype}, {self.num_classes} classes>"
        )


def as_labels(labels, classes=None, count=None, name="labels"):
    """Labels as all of the package keeps them: (N,) int64, from 0 to `classes` - 1.

    Args:
        labels: whole numbers of any type, (N,) or (N, 1), as CIFAR-10 has them; or one-hot rows (N, classes).
        classes: how many classes there are; None where it is not known.
        count: how many labels there must be, one for each image; None for any number.
        name: what to call them in messages.

    Raises:
        ValueError: labels that are not whole numbers (NaN, 1.5, text), not in range, not as many as images, or rows
            that are not one-hot, such as soft labels or several classes for one image.

    Example:
        >>> as_labels([[2], [0]], classes=3)
        array([2, 0])
    """
    values = as_array(labels, name)
    if values.dtype.kind not in "biuf":
        raise ValueError(f"{name} are of type {values.dtype}, expected whole numbers: the number of each one's class.")
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    elif values.ndim == 2:
        values = from_one_hot(values, classes, name)
    if values.ndim != 1:
        raise ValueError(f"{name} have shape {values.shape}, expected (N,), (N, 1) or one-hot rows (N, classes).")
    if count is not None and len(values) != count:
        raise ValueError(f"{name} are {len(values):,} for {count:,} images: one for each image is needed.")
    broken = values[values != np.floor(values)] if values.dtype.kind == "f" else values[:0]  # NaN differs from itself
    if len(broken):
        raise ValueError(f"{name} hold {broken[0]}: a label is a whole number, the number of its class.")
    if len(values) and not 0 <= values.min() <= values.max() < (classes or MOST_CLASSES):
        expected = f"0 to {classes - 1}" if classes else "0 or more"
        raise ValueError(f"{name} go from {values.min()} to {values.max()}, expected {expected}.")
    return values.astype(np.int64)


def from_one_hot(rows, classes, name):
    if classes is not None and rows.shape[1] != classes:
        raise ValueError(
            f"{name} have shape {rows.shape}, but there are {classes} classes: expected (N,), (N, 1) or one-hot rows "
            f"(N, {classes})."
        )
    one_hot = np.isin(rows, (0, 1)).all(axis=1) & (rows.sum(axis=1) == 1)
    if not one_hot.all():
        place = int(np.argmin(one_hot))
        raise ValueError(
            f"{name} have rows that are not one-hot, {rows[place][:8]} in row {place}: expected a single 1 in each, or "
            "the number of the class."
        )
    return rows.argmax(axis=1)


def as_images(images, name="images"):
    """Images as an array (N, height, width, channels), uint8 or floats; grey ones (N, height, width) get a channel.

    Raises:
        ValueError: none at all, another shape or type, values that are no finite numbers, or channels that come first.
    """
    values = as_array(images, name)
    if values.ndim == 3:
        values = values[..., None]
    if values.ndim != 4 or not values.size or (values.dtype != np.uint8 and values.dtype.kind != "f"):
        raise ValueError(
            f"{name} has shape {np.shape(images)} and type {values.dtype}, expected one or more images "
            "(N, height, width, channels), uint8 or floats."
        )
    if values.shape[1] in (1, 3) and values.shape[-1] > 4:
        raise ValueError(
            f"{name} has shape {values.shape}, with channels first: put them last, (N, height, width, channels), with "
            f"np.moveaxis({name}, 1, -1)."
        )
    if values.dtype.kind == "f" and not np.isfinite([values.min(), values.max()]).all():
        raise ValueError(f"{name} holds NaN or infinity: an image is made of finite numbers.")
    return values


def as_class_names(names):
    """Class names as a tuple of str; ValueError where they are none, or one text instead of several."""
    if isinstance(names, (str, bytes, dict)) or not np.iterable(names):
        raise ValueError(f"class_names={names!r}: a tuple of names is needed, in the order of the labels.")
    names = tuple(names)
    if not names or not all(isinstance(name, str) and name for name in names):
        raise ValueError(f"class_names={names!r}: a name for each class is needed, in the order of the labels.")
    return tuple(map(str, names))  # NumPy's texts become Python's


def as_array(values, name):
    try:
        return np.asarray(values)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name} cannot be made into one array: {error}.") from None


def as_facts(values, count, width, name):
    values = as_array(values, name)
    expected = (count,) if width is None else (count, width)
    if values.shape != expected or values.dtype.kind not in "iu":
        raise ValueError(
            f"{name} has shape {values.shape} and type {values.dtype}, expected whole numbers {expected}, for each of "
            f"{count:,} images."
        )
    return values


def check_alike(images):
    """Images of all parts must be of one shape, one type, and one scale."""
    (first, of_first), *others = images.items()
    for name, values in others:
        if values.shape[1:] != of_first.shape[1:]:
            raise ValueError(f"{name} has images {values.shape[1:]}, but {first} has {of_first.shape[1:]}.")
        if values.dtype.kind != of_first.dtype.kind:
            raise ValueError(f"{name} is of type {values.dtype}, but {first} of {of_first.dtype}: give all the same.")
    tops = {name: float(values.max()) for name, values in images.items()}
    if of_first.dtype.kind == "f" and min(tops.values()) <= 1 and max(tops.values()) > 16:
        low, high = min(tops, key=tops.get), max(tops, key=tops.get)
        raise ValueError(
            f"{low} goes up to {tops[low]:g}, but {high} up to {tops[high]:g}: give all from 0 to 255, or all from 0 "
            "to 1."
        )


def check_tracks(tracks, labels, name):
    pairs = np.unique(np.stack([tracks, labels]), axis=1)
    doubled = pairs[0, :-1][pairs[0, 1:] == pairs[0, :-1]]
    if len(doubled):
        classes = labels[tracks == doubled[0]]
        raise ValueError(
            f"{name}: track {doubled[0]} has images of classes {sorted(set(classes.tolist()))}, but a track shows one "
            "thing: number the tracks of all classes apart."
        )


def check_apart(train, val):
    shared = np.intersect1d(train, val)
    if len(shared):
        raise ValueError(
            f"{len(shared)} tracks are both in track_train and track_val, {shared[0]} for instance: near-duplicates on "
            "both sides. Split by whole tracks."
        )


def check_boxes(boxes, sizes, part):
    if sizes is not None and sizes.min() < 1:
        raise ValueError(f"size_{part} holds {sizes.min()}: a picture has at least one pixel.")
    if boxes is None:
        return
    inside = (boxes[:, :2] >= 0).all(axis=1) & (boxes[:, :2] < boxes[:, 2:]).all(axis=1)
    if sizes is not None:
        inside &= (boxes[:, 2:] <= sizes).all(axis=1)
    if not inside.all():
        row = int(np.argmin(inside))
        size = "" if sizes is None else f" of {sizes[row][0]}×{sizes[row][1]} pixels"
        raise ValueError(
            f"roi_{part}: box {boxes[row].tolist()} in row {row} does not lie in its picture{size}: x1, y1, x2, y2 are "
            "needed, left and top first."
        )
