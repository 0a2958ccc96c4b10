"""A folder of photographs as people have them: three classes of forty files, of mixed kinds, sizes and faults."""

import io

import numpy as np
import pytest
from PIL import Image

COLOURS = {"apples": (200, 40, 30), "leaves": (40, 150, 50), "plums": (90, 30, 140)}
EACH = 40


def scene(kind, number, height, width):
    """A disc of the class's colour, larger or smaller, here or there, on a background that differs: uint8."""
    rng = np.random.default_rng([list(COLOURS).index(kind), number])
    rows, columns = np.mgrid[:height, :width]
    side = min(height, width)
    middle = rng.uniform(0.35, 0.65, 2) * (height, width)
    inside = np.hypot(rows - middle[0], columns - middle[1]) < rng.uniform(0.2, 0.35) * side
    coarse = rng.uniform(60, 220, (6, 6, 3)).astype("uint8")
    ground = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), "float64")
    picture = np.where(inside[..., None], np.array(COLOURS[kind]) * rng.uniform(0.8, 1.2), ground)
    return np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype("uint8")


def with_exif(image, rotation=1, taken=None):
    exif = image.getexif()
    exif[0x0112] = rotation
    if taken:
        exif[0x0110] = "a camera"
        exif.get_ifd(0x8769)[0x9003] = taken
    return exif


def write_kind(folder, kind):
    """The forty files of a class: 33 pictures that can be read and are new, four copies of moments, three faults."""
    folder = folder / kind
    folder.mkdir(parents=True)

    def image(number, height=72, width=96):
        return Image.fromarray(scene(kind, number, height, width))

    for number in range(20):  # plain photographs of several sizes and shapes
        image(number, 60 + 4 * number, 100).save(folder / f"IMG_{number:04d}.jpg", quality=90)
    turned = image(20).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "turned.jpg", exif=with_exif(turned, rotation=6))
    image(21).convert("L").save(folder / "grey.png")
    image(22).convert("CMYK").save(folder / "print.jpg")
    image(23).convert("P").save(folder / "palette.png")
    deep = np.asarray(image(24).convert("L")).astype("uint16") * 257
    Image.fromarray(deep).save(folder / "deep.png")
    image(25).save(folder / "web.webp")
    glass = image(26).convert("RGBA")
    glass.putalpha(200)
    glass.save(folder / "glass.png")
    image(27).save(folder / "moving.gif", save_all=True, append_images=[image(28)])
    image(29, 2000, 1500).save(folder / "large.jpg", quality=80)
    image(30, 12, 300).save(folder / "strip.png")
    image(31, 9, 9).save(folder / "tiny.bmp")
    first = image(32)
    first.save(folder / "DSC_1.jpg", exif=with_exif(first, taken="2024:05:01 10:00:00"))
    second = image(33)
    second.save(folder / "DSC_2.jpg", exif=with_exif(second, taken="2024:05:01 10:00:02"))
    image(34).save(folder / "party.png")
    image(35).save(folder / "party (2).png")
    image(0, 60, 100).resize((200, 120)).save(folder / "IMG_0000_small.jpg", quality=60)  # a near duplicate
    (folder / "IMG_0001 copy.jpg").write_bytes((folder / "IMG_0001.jpg").read_bytes())
    buffer = io.BytesIO()
    image(36).save(buffer, "JPEG")
    (folder / "cut.jpg").write_bytes(buffer.getvalue()[:600])
    (folder / "notes.txt").write_text("what I saw")
    (folder / "empty.png").write_bytes(b"")


@pytest.fixture(scope="session")
def own_pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("own") / "fruit"
    for kind in COLOURS:
        write_kind(folder, kind)
    (folder / ".hidden").mkdir()
    (folder / "apples" / ".DS_Store").write_bytes(b"\0")
    return folder
