"""The explorer as a page of its own: what is in it, and how it stays small."""

import html
import json
import re
from pathlib import Path

from focal_utils.explorer.bundle import script, style
from focal_utils.explorer.shown import MODES, coarser, data_address, maps

TEMPLATE = Path(__file__).parent / "page.html"
MARK = re.compile(r"/\*([A-Z]+)\*/")  # in the template: a place to be filled
ANSWER_BYTES = 180  # of one answer to a switch: a key, and five classes with their probabilities
SMALLEST_SIDE = 16  # map pixels: a map is not averaged to fewer
QUALITY = 85  # of JPEG


def page_text(options, name, still):
    """The page as text.

    Args:
        options: of `mount` in `page/explorer.js`, as JSON can say it. They become part of the page's HTML, where "<"
            may begin anything: there it is written as the escape that JSON has for it.
        name: of the first picture.
        still: its data address, for those who see no more.
    """
    text = json.dumps(options, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    marks = {"STYLE": style(), "SCRIPT": script(), "NAME": html.escape(name), "STILL": still, "OPTIONS": text}
    return MARK.sub(lambda match: marks[match[1]], TEMPLATE.read_text("utf-8"))


def answers_bytes(blocks, pictures):
    """About how many bytes the answers to all single switches take, for so many pictures."""
    switches = sum(len(block["levels"]) for block in blocks) * len(MODES[1:])
    return switches * pictures * ANSWER_BYTES


def json_bytes(value):
    """How many bytes a value takes in the page."""
    return len(json.dumps(value, separators=(",", ":")).encode())


def compact(examined, blocks, room):
    """What is shown of pictures, in at most `room` bytes: the largest maps are averaged until all fit.

    Args:
        examined: for each picture what is shown of it, its traces, and it itself, (H, W, 3) uint8.
        blocks: from `describe_blocks`.
        room: bytes.

    Returns:
        What is shown, a list, with a sentence about what was done, and the blocks as they then are.

    Raises:
        ValueError: it does not fit.
    """
    pictures = [shown for shown, _, _ in examined]
    if json_bytes(pictures) <= room:
        return pictures, blocks
    images = [smaller(shown["image"], picture) for shown, _, picture in examined]
    traces = [found for _, found, _ in examined]
    factors = [1] * len(blocks)
    sides = [min(block.gates.shape[1:3]) for block in traces[0]]
    sizes = [sum(json_bytes(shown["maps"][number]) for shown in pictures) for number in range(len(blocks))]
    rest = sum(map(json_bytes, images)) + sum(json_bytes(shown | {"image": "", "maps": []}) for shown in pictures)
    rest += len(pictures) * 200  # the sentence
    while rest + sum(sizes) > room:
        left = [number for number, side in enumerate(sides) if side >= 2 * SMALLEST_SIDE * factors[number]]
        if not left:
            raise too_large(len(pictures), rest + sum(sizes), room)
        number = max(left, key=sizes.__getitem__)
        factors[number] *= 2
        sizes[number] = sum(json_bytes(maps(found[number], factor=factors[number])) for found in traces)
    note = f"To keep this page small, its largest maps are averaged over {max(factors)}×{max(factors)} of their pixels."
    if max(factors) == 1:
        note = "To keep this page small, the picture is a JPEG."
    kept = []
    for shown, image, found in zip(pictures, images, traces, strict=True):
        packed = [maps(block, factor=factor) for block, factor in zip(found, factors, strict=True)]
        kept.append(shown | {"image": image, "maps": packed, "notes": [*shown["notes"], note]})
    return kept, [coarser(block, factor) for block, factor in zip(blocks, factors, strict=True)]


def smaller(address, picture):
    """A picture's data address, as JPEG where that is shorter."""
    jpeg = data_address(picture, "JPEG", quality=QUALITY)
    return min(address, jpeg, key=len)


def too_large(pictures, needed, room):
    """The error that says that a page cannot be made small enough."""
    over = f"The page would be {(needed - room) / 1e6:.1f} MB over its limit, with maps as coarse as they may be"
    if pictures > 1:
        return ValueError(
            f"{over}: {pictures} pictures are too many, so pass fewer as `pictures`, or more `most_bytes`."
        )
    return ValueError(f"{over}: pass more `most_bytes`, or a smaller picture.")
