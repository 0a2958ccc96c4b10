"""Film the explorer for README.md, and take its still for the site, in a real Chromium.

    python tools/make_picture.py        needs Chromium and Playwright (requirements-dev.txt)

A pointer moves over a sign, then levels are switched off until the network reads another one. Writes
data/results/explorer.gif and data/results/explorer.png.
"""

from parts.arguments import parser

if __name__ == "__main__":
    parser(__doc__).parse_args()  # before TensorFlow is imported: --help and wrong arguments are answered at once

import io
import tempfile
from pathlib import Path

from PIL import Image

import focal_utils as fu
from parts.browser import chromium
from parts.files import RESULTS

SIZE = (1180, 640)  # of the window, CSS pixels
WIDTH = 900  # of the film
COLOURS = 255
STEP = 700  # milliseconds a frame
PAUSE = 2200  # of the frames in which something is said
PATH = ((8, 10), (12, 9), (16, 12), (19, 15), (14, 17), (12, 13))  # of the pointer, picture pixels


def taken(page):
    """What the page shows of pictures, maps, answer and levels, as an image."""
    page.wait_for_timeout(1000)  # until what moves has come to rest
    boxes = [page.locator(part).bounding_box() for part in (".fx-middle", ".fx-main")]
    top = min(box["y"] for box in boxes) - 8
    bottom = max(box["y"] + box["height"] for box in boxes) + 8
    clip = {"x": 0, "y": top, "width": SIZE[0], "height": bottom - top}
    return Image.open(io.BytesIO(page.screenshot(clip=clip))).convert("RGB")


def film(page):
    """The frames, and how long each stands: [(image, milliseconds)]."""
    picture = page.locator(".fx-picture .fx-stack")
    side = picture.bounding_box()["width"] / 32
    frames = []
    for x, y in PATH:
        picture.hover(position={"x": x * side, "y": y * side})
        frames.append((taken(page), STEP))
    picture.click(position={"x": PATH[-1][0] * side, "y": PATH[-1][1] * side})
    for row in page.locator(".fx-row").all():
        row.get_by_text("off", exact=True).click()
        frames.append((taken(page), STEP))
        if page.locator(".fx-other").count():
            break
        row.get_by_text("on", exact=True).click()
        frames.pop()
    frames[-1] = (frames[-1][0], PAUSE)
    return frames


def write_film(frames, path):
    """Write a film that begins again when it ends, in one palette, so that nothing flickers."""
    height = round(frames[0][0].height * WIDTH / frames[0][0].width)
    small = [image.resize((WIDTH, height), Image.Resampling.LANCZOS) for image, _ in frames]
    strip = Image.new("RGB", (WIDTH, height * len(small)))
    for number, image in enumerate(small):
        strip.paste(image, (0, number * height))
    palette = strip.quantize(COLOURS, dither=Image.Dither.NONE)
    first, *rest = [image.quantize(palette=palette, dither=Image.Dither.NONE) for image in small]
    durations = [duration for _, duration in frames]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)


def main():
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        path = Path(folder) / "explorer.html"
        fu.GateExplorer(fu.load_trained("gtsrb"), fu.telling_signs()).to_html(path)
        page = browser.new_page(viewport={"width": SIZE[0], "height": 1000})
        page.goto(path.as_uri())
        page.locator("section.fx[data-drawn]").wait_for()
        frames = film(page)
    write_film(frames, RESULTS / "explorer.gif")
    frames[-1][0].quantize(256, dither=Image.Dither.NONE).save(RESULTS / "explorer.png", optimize=True)
    print(f"explorer.gif: {len(frames)} frames, {(RESULTS / 'explorer.gif').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
