"""From what a segmenter says of pixels to objects, and how good they are: Dice, IoU, average precision."""

import keras
import numpy as np
from scipy import ndimage

from focal_utils.errors import check_at_least, check_number

THRESHOLDS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))  # of the 2018 Data Science Bowl: 0.5 to 0.95
PROMINENCE = 0.05  # a nucleus has one middle: a peak of depth that rises so far above the valley to any higher one
SMOOTH = 2.0  # pixels; what is said of depth is uneven from pixel to pixel, and each bump would be a middle
SMALLEST = 20  # pixels; the smallest nucleus of BBBC038's has 21


def pixel_logits(model, picture, tile=None, overlap=0):
    """What a segmenter says of one picture: logits (H, W, classes), NumPy, for a picture (H, W, channels).

    Whole, or in tiles one after the other, where memory does not hold the whole; of two tiles that overlap, each says
    what lies on its side of the middle (the overlap-tile strategy of Ronneberger et al. 2015, section 2). A network
    with a global level then knows of the tile what it would know of the picture.

    Args:
        model: gives logits (1, H, W, classes). picture: (H, W, channels).
        tile: side of a tile in pixels; None for the whole picture.
        overlap: pixels that neighbours share at least.

    Raises:
        ValueError: an overlap that is not smaller than a tile.
    """
    picture = np.asarray(picture, "float32")
    if tile is None:
        return keras.ops.convert_to_numpy(model(picture[None], training=False))[0]
    check_at_least(tile=(tile, 1), overlap=(overlap, 0))
    if overlap >= tile:
        raise ValueError(f"overlap={overlap} is not smaller than tile={tile}: tiles would not get on.")
    rows = []
    for read, kept in tile_spans(picture.shape[0], tile, overlap):
        row = []
        for across, kept_across in tile_spans(picture.shape[1], tile, overlap):
            row.append(pixel_logits(model, picture[read, across])[kept, kept_across])
        rows.append(np.concatenate(row, axis=1))
    return np.concatenate(rows, axis=0)


def tile_spans(length, tile, overlap=0):
    """How tiles cover a side of `length` pixels: a list of pairs of slices, pixels that are read, and of these kept."""
    tile = min(tile, length)
    count = max(1, -(-(length - overlap) // (tile - overlap))) if tile < length else 1
    starts = np.linspace(0, length - tile, count).round().astype(int)
    borders = [0, *((starts[1:] + starts[:-1] + tile) // 2).tolist(), length]
    return [
        (slice(start, start + tile), slice(first - start, last - start))
        for start, first, last in zip(starts.tolist(), borders[:-1], borders[1:], strict=True)
    ]


def find_nuclei(model, picture, prominence=PROMINENCE, smallest=SMALLEST, smooth=SMOOTH, tile=None, overlap=0):
    """The nuclei of a picture as a label map, by a trained segmenter: `separate` of its `pixel_logits`.

        labels = fu.find_nuclei(fu.load_trained("nuclei"), picture)    # (H, W): 0 outside, then 1, 2, …
        labels.max()                                                   # how many nuclei

    Args:
        model: gives logits (1, H, W, 2), see `train_segmenter`.
        picture: (H, W, 3), 0…255.
        prominence, smallest, smooth: see `separate`. tile, overlap: see `pixel_logits`.
    """
    return separate(pixel_logits(model, picture, tile, overlap), prominence, smallest, smooth)


def separate(logits, prominence=PROMINENCE, smallest=SMALLEST, smooth=SMOOTH):
    """Objects from logits (H, W, 2), in one or not and how deep: a label map (H, W), uint16, 0 outside, then 1, 2, …

    Touching objects share no middle: each peak of depth that rises by `prominence` above the valley to any higher one
    is an object's (h-maxima, Soille 2003, *Morphological Image Analysis*, as scikit-image has them), and grows over
    what is inside until it meets another (watershed from markers, Meyer & Beucher 1990).

    Args:
        logits: (H, W, 2). prominence: of a peak of depth, which goes from 0 to 1.
        smallest: pixels below which an object is dropped.
        smooth: standard deviation in pixels of the Gaussian that evens out the logits of depth; 0 leaves them.

    Raises:
        ModuleNotFoundError: scikit-image is not installed; the message says how.
        ValueError: logits of another shape, a `prominence` that is not between 0 and 1, or a negative
            `smooth`.
    """
    if np.ndim(logits) != 3 or np.shape(logits)[-1] != 2:
        raise ValueError(f"The logits have shape {np.shape(logits)}, expected (height, width, 2) of one picture.")
    check_number("prominence", prominence, above=0, below=1)
    check_number("smooth", smooth, at_least=0)
    measure, morphology, segmentation = scikit_image()
    inside = logits[..., 0] > 0
    even = ndimage.gaussian_filter(logits[..., 1].astype("float32"), smooth)
    how_deep = 1 / (1 + np.exp(-even))
    middles = measure.label(inside & (morphology.h_maxima(how_deep, prominence) > 0))
    whole = measure.label(inside, connectivity=1)
    # What has no middle is one object all the same.
    without = inside & ~np.isin(whole, np.unique(whole[middles > 0]))
    markers = middles + np.where(without, whole + middles.max(), 0)
    labels = segmentation.watershed(-how_deep, markers, mask=inside)
    return without_small(labels, smallest)


def without_small(labels, smallest=SMALLEST):
    """A label map (H, W) without the objects of fewer than `smallest` pixels, numbered anew: uint16."""
    segmentation = scikit_image()[-1]
    small = np.bincount(labels.ravel()) < smallest
    return segmentation.relabel_sequential(np.where(small[labels], 0, labels))[0].astype("uint16")


def scikit_image():
    """Its three modules that are needed here, imported when first used.

    Raises:
        ModuleNotFoundError: it is not installed.
    """
    try:
        from skimage import measure, morphology, segmentation
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Telling touching objects apart needs scikit-image: pip install scikit-image (it is in requirements.txt)."
        ) from error
    return measure, morphology, segmentation


def dice(true, found):
    """Dice of what is inside, 2·|A ∩ B| / (|A| + |B|), from 0 to 1, of two label maps or masks (H, W).

    Where nothing is inside in both, it is 1.
    """
    true, found = same_shape(true, found)
    total = np.sum(true > 0) + np.sum(found > 0)
    return float(2 * np.sum((true > 0) & (found > 0)) / total) if total else 1.0


def iou(true, found):
    """Intersection over union of what is inside, |A ∩ B| / |A ∪ B|, of two label maps or masks (H, W); 1 if empty."""
    true, found = same_shape(true, found)
    union = np.sum((true > 0) | (found > 0))
    return float(np.sum((true > 0) & (found > 0)) / union) if union else 1.0


def object_ious(true, found):
    """Intersection over union of every true object with every found one: (true objects, found objects).

    Args:
        true, found: label maps (H, W), 0 outside; their numbers need not follow each other.
    """
    true, found = same_shape(true, found)
    _, rows = np.unique(np.append(0, true.ravel()), return_inverse=True)  # 0 is there, and first
    _, columns = np.unique(np.append(0, found.ravel()), return_inverse=True)
    common = np.zeros((rows.max() + 1, columns.max() + 1))
    np.add.at(common, (rows[1:], columns[1:]), 1)
    union = common.sum(axis=1, keepdims=True) + common.sum(axis=0) - common
    return (common / np.maximum(union, 1))[1:, 1:]


def average_precision(true, found, thresholds=THRESHOLDS):
    """TP / (TP + FP + FN) of the objects of one picture at each threshold, as in the 2018 Data Science Bowl: an array.

    A true object is found (TP) where a found one has an IoU with it above the threshold; at 0.5 and above no two can.
    What else was found is false (FP), what else is true was missed (FN). The competition's score is the mean over the
    thresholds, then over pictures (Caicedo et al. 2019). cellpose and stardist have it too, inside packages that bring
    PyTorch or TensorFlow models along.

    Args:
        true, found: label maps (H, W), 0 outside. thresholds: at least 0.5 each.

    Raises:
        ValueError: shapes that differ, or a threshold below 0.5, at which one object might count twice.
    """
    thresholds = np.asarray(thresholds, float)
    if thresholds.min() < 0.5:
        raise ValueError(f"A threshold of {thresholds.min()} lets one object be found twice: at least 0.5 is needed.")
    ious = object_ious(true, found)
    hits = np.array([(ious > threshold).sum() for threshold in thresholds])
    total = ious.shape[0] + ious.shape[1] - hits
    return np.where(total > 0, hits / np.maximum(total, 1), 1.0)


def same_shape(true, found):
    """Both as arrays (H, W).

    Raises:
        ValueError: shapes that differ, or not two axes.
    """
    true = np.asarray(true)
    found = np.asarray(found)
    if true.shape != found.shape or true.ndim != 2:
        raise ValueError(f"Two label maps (height, width) of one picture are needed, got {true.shape}, {found.shape}.")
    return true, found


def score(model, pictures, labels, **finding):
    """How well a segmenter finds the nuclei of pictures: `judge`, with `find_nuclei` and further arguments of it."""
    return judge(lambda picture: find_nuclei(model, picture, **finding), pictures, labels)


def judge(find, pictures, labels):
    """How well nuclei are found in pictures: a dict of arrays, one value for each picture.

    Args:
        find: a function from a picture (H, W, 3) to a label map (H, W).
        pictures, labels: lists of (H, W, 3) and of true label maps (H, W).

    Returns:
        "dice" (N,), of pixels; "average_precision" (N, 10), of objects at each of `THRESHOLDS`; "true" and "found"
        (N,), how many objects there are.
    """
    rows = []
    for picture, true in zip(pictures, labels, strict=True):
        found = find(picture)
        precision = average_precision(true, found)
        rows.append((dice(true, found), precision, len(np.unique(true[true > 0])), int(found.max())))
    names = ("dice", "average_precision", "true", "found")
    return {name: np.array(values) for name, values in zip(names, zip(*rows, strict=True), strict=True)}
