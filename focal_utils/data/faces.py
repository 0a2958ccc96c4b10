"""The faces of German traffic signs, drawn from discs, polygons and strokes: no font and no image file is needed.

Coordinates run from -1 to 1 over the square around a sign, x to the right, y downwards.
"""

from functools import partial

import numpy as np
from PIL import Image, ImageDraw

CANVAS = 1024

SPACING = 1.3  # from glyph to glyph, in glyph widths

WHITE = (232, 232, 228)
BLACK = (26, 26, 28)
GREY = (120, 120, 120)
RED = (176, 24, 34)
BLUE = (18, 74, 152)
YELLOW = (244, 184, 18)
GREEN = (20, 130, 70)


class Pen:
    """Draws in sign coordinates on a transparent canvas."""

    def __init__(self):
        self.image = Image.new("RGBA", (CANVAS, CANVAS), (128, 128, 128, 0))
        self._draw = ImageDraw.Draw(self.image)

    @staticmethod
    def _pixels(points):
        return [tuple(point) for point in (np.asarray(points, float) + 1) * (CANVAS / 2)]

    def disc(self, x, y, radius, colour):
        self._draw.ellipse(self._pixels([(x - radius, y - radius), (x + radius, y + radius)]), fill=colour)

    def polygon(self, points, colour, rounding=0.0):
        self._draw.polygon(self._pixels(points), fill=colour)
        if rounding:
            self.stroke([*points, points[0]], 2 * rounding, colour)

    def box(self, x1, y1, x2, y2, colour):
        self.polygon([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], colour)

    def stroke(self, points, width, colour):
        """A polyline with round ends and joints."""
        points = np.asarray(points, float)
        for start, end in zip(points[:-1], points[1:], strict=True):
            along = end - start
            length = np.hypot(*along)
            if length:
                side = np.array([-along[1], along[0]]) * (width / 2 / length)
                self.polygon([start + side, end + side, end - side, start - side], colour)
        for x, y in points:
            self.disc(x, y, width / 2, colour)

    def arrow(self, points, width, colour, head=0.3):
        """A polyline with flat joints that ends in a triangular head; its last point is the tip."""
        points = np.asarray(points, float)
        along = (points[-1] - points[-2]) / np.hypot(*(points[-1] - points[-2]))
        side = np.array([-along[1], along[0]])
        base = points[-1] - head * along
        self.stroke([*points[:-1], base], width, colour)
        self.polygon([points[-1], base + 0.75 * head * side, base - 0.75 * head * side], colour)


def arc(x, y, rx, ry, start, end):
    """Points on an ellipse; angles in degrees, clockwise from the right."""
    angles = np.radians(np.linspace(start, end, max(2, int(abs(end - start) / 8))))
    return list(zip(x + rx * np.cos(angles), y + ry * np.sin(angles), strict=True))


# Strokes of each glyph in a box 0.6 wide and 1 high, y downwards.
GLYPHS = {
    "0": [[*arc(0.3, 0.3, 0.3, 0.3, 180, 360), *arc(0.3, 0.7, 0.3, 0.3, 0, 180), (0, 0.3)]],
    "1": [[(0.08, 0.24), (0.38, 0), (0.38, 1)]],
    "2": [[*arc(0.3, 0.3, 0.29, 0.3, 190, 395), (0, 1), (0.6, 1)]],
    "3": [[*arc(0.29, 0.25, 0.26, 0.25, 195, 440), *arc(0.29, 0.72, 0.3, 0.28, -80, 165)]],
    "5": [[(0.54, 0), (0.09, 0), (0.05, 0.47), *arc(0.28, 0.68, 0.31, 0.32, 230, 510)]],
    "6": [[*arc(0.3, 0.69, 0.3, 0.31, 0, 360)], [(0, 0.69), (0.05, 0.42), (0.2, 0.17), (0.42, 0)]],
    "7": [[(0, 0), (0.58, 0), (0.2, 1)]],
    "8": [[*arc(0.3, 0.25, 0.25, 0.25, 0, 360)], [*arc(0.3, 0.73, 0.3, 0.27, 0, 360)]],
    "S": [[*arc(0.3, 0.25, 0.28, 0.25, -20, -200), (0.1, 0.43), (0.5, 0.57), *arc(0.3, 0.75, 0.28, 0.25, -20, 160)]],
    "T": [[(0, 0), (0.6, 0)], [(0.3, 0), (0.3, 1)]],
    "O": [[*arc(0.3, 0.3, 0.3, 0.3, 180, 360), *arc(0.3, 0.7, 0.3, 0.3, 0, 180), (0, 0.3)]],
    "P": [[(0.02, 1), (0.02, 0), (0.3, 0), *arc(0.3, 0.28, 0.28, 0.28, -90, 90), (0.02, 0.56)]],
}


def text(pen, string, height, width, colour, weight=0.17):
    """Write a string centred on the sign; `width` is that of the whole string, `weight` is relative to height."""
    stroke = weight * height
    advance = width / (len(string) - 1 + 1 / SPACING)
    for place, character in enumerate(string):
        left = -width / 2 + place * advance + stroke / 2
        glyph_width = advance / SPACING - stroke
        for points in GLYPHS[character]:
            points = np.array(points) * (glyph_width / 0.6, height - stroke)
            pen.stroke(points + (left, -(height - stroke) / 2), stroke, colour)


def ring(pen):
    pen.disc(0, 0, 0.96, WHITE)
    pen.disc(0, 0, 0.94, RED)
    pen.disc(0, 0, 0.7, WHITE)


def speed_limit(pen, number):
    ring(pen)
    height, width = (0.78, 1.04) if len(number) == 2 else (0.68, 1.2)
    text(pen, number, height, width, BLACK)


def end_sign(pen, symbol=None):
    pen.disc(0, 0, 0.96, WHITE)
    pen.disc(0, 0, 0.93, GREY)
    pen.disc(0, 0, 0.88, WHITE)
    if symbol:
        symbol(pen)
    for shift in np.linspace(-0.19, 0.19, 5):
        pen.stroke([(-0.56 + shift, 0.56 + shift), (0.56 + shift, -0.56 + shift)], 0.065, BLACK)


def car(pen, x, colour):
    """A car seen from behind."""
    pen.polygon([(x - 0.19, 0.0), (x - 0.13, -0.14), (x + 0.13, -0.14), (x + 0.19, 0.0)], colour, 0.04)
    pen.polygon([(x - 0.13, -0.02), (x - 0.09, -0.1), (x + 0.09, -0.1), (x + 0.13, -0.02)], WHITE)
    pen.box(x - 0.26, 0.0, x + 0.26, 0.18, colour)
    pen.box(x - 0.25, 0.16, x - 0.14, 0.27, colour)
    pen.box(x + 0.14, 0.16, x + 0.25, 0.27, colour)


def lorry(pen, x, colour):
    """A lorry seen from behind."""
    pen.box(x - 0.25, -0.36, x + 0.25, 0.18, colour)
    pen.box(x - 0.22, 0.18, x - 0.08, 0.27, colour)
    pen.box(x + 0.08, 0.18, x + 0.22, 0.27, colour)
    pen.box(x - 0.17, -0.28, x + 0.17, 0.06, tuple(int(0.75 * c + 45) for c in colour))


def overtaking(pen, left, colours):
    left(pen, -0.29, colours[0])
    car(pen, 0.29, colours[1])


def no_overtaking(pen, left):
    ring(pen)
    overtaking(pen, left, (RED, BLACK))


def no_lorries(pen):
    ring(pen)
    pen.box(-0.14, -0.28, 0.52, 0.16, BLACK)
    pen.polygon([(-0.18, 0.16), (-0.18, -0.14), (-0.36, -0.14), (-0.5, 0.02), (-0.5, 0.16)], BLACK)
    for x in (-0.32, 0.32):
        pen.disc(x, 0.18, 0.12, BLACK)


def warning(pen, symbol):
    corners = np.array([(0, -0.8), (0.88, 0.7), (-0.88, 0.7)])
    pen.polygon(list(corners), WHITE, 0.1)
    pen.polygon(list(corners), RED, 0.07)
    pen.polygon(list(corners * 0.73 + (0, 0.05)), WHITE)
    symbol(pen)


def yield_(pen):
    corners = np.array([(0, 0.8), (0.88, -0.7), (-0.88, -0.7)])
    pen.polygon(list(corners), WHITE, 0.1)
    pen.polygon(list(corners), RED, 0.07)
    pen.polygon(list(corners * 0.64 + (0, -0.09)), WHITE)


def priority_road(pen):
    for half, colour in ((0.98, BLACK), (0.95, WHITE), (0.66, BLACK), (0.63, YELLOW)):
        pen.polygon([(0, -half), (half, 0), (0, half), (-half, 0)], colour)


def stop(pen):
    angles = np.radians(22.5 + 45 * np.arange(8))
    corners = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    pen.polygon(list(corners * 0.99), WHITE)
    pen.polygon(list(corners * 0.94), RED)
    text(pen, "STOP", 0.64, 1.52, WHITE, 0.18)


def no_entry(pen):
    pen.disc(0, 0, 0.96, WHITE)
    pen.disc(0, 0, 0.93, RED)
    pen.box(-0.7, -0.18, 0.7, 0.18, WHITE)


def blue_disc(pen, *arrows, width=0.22, head=0.36, mirror=False):
    pen.disc(0, 0, 0.96, WHITE)
    pen.disc(0, 0, 0.92, BLUE)
    for points in arrows:
        pen.arrow(np.array(points) * ((-1, 1) if mirror else (1, 1)), width, WHITE, head)


def roundabout(pen):
    blue_disc(pen)
    for start in (10, 130, 250):
        tip = np.radians(start - 98)
        pen.arrow(
            [*arc(0, 0, 0.5, 0.5, start, start - 62), (0.52 * np.cos(tip), 0.52 * np.sin(tip))], 0.16, WHITE, 0.29
        )


def junction(pen):
    pen.box(-0.14, -0.1, 0.14, 0.5, BLACK)
    pen.box(-0.32, 0.1, 0.32, 0.24, BLACK)
    pen.polygon([(-0.24, -0.06), (0, -0.42), (0.24, -0.06)], BLACK)


def exclamation(pen):
    pen.polygon([(-0.1, -0.3), (0.1, -0.3), (0.05, 0.22), (-0.05, 0.22)], BLACK, 0.02)
    pen.disc(0, 0.41, 0.1, BLACK)


def traffic_lights(pen):
    for y, colour in ((-0.16, (196, 30, 38)), (0.14, YELLOW), (0.44, GREEN)):
        pen.disc(0, y, 0.14, colour)


def curve(pen, side):
    points = np.array([(-0.14, 0.54), *arc(0.08, 0.28, 0.22, 0.22, 180, 260), (0.36, 0.0)])
    pen.arrow(points * (side, 1), 0.15, BLACK, 0.24)


def double_curve(pen):
    pen.arrow([(0.16, 0.5), (0.16, 0.26), (-0.12, 0.14), (-0.12, -0.34)], 0.15, BLACK, 0.26)


def uneven(pen):
    pen.box(-0.42, 0.4, 0.42, 0.5, BLACK)
    for x in (-0.22, 0.22):
        pen.polygon([(x + dx, 0.42 + dy) for dx, dy in arc(0, 0, 0.19, 0.2, 180, 360)], BLACK)


def narrows(pen):
    pen.stroke([(-0.14, 0.5), (-0.14, -0.2)], 0.12, BLACK)
    pen.stroke([(0.26, 0.5), (0.26, 0.32), (0.1, 0.12), (0.1, -0.2)], 0.12, BLACK)


def snowflake(pen):
    for angle in np.radians((0, 60, 120)):
        dx = 0.38 * np.sin(angle)
        dy = 0.38 * np.cos(angle)
        pen.stroke([(-dx, 0.2 - dy), (dx, 0.2 + dy)], 0.075, BLACK)


AHEAD = [(0, 0.62), (0, -0.66)]

TURN = [(-0.26, 0.58), *arc(0.04, 0.14, 0.3, 0.3, 180, 270), (0.62, -0.16)]

BRANCH = (
    [(-0.2, 0.62), (-0.2, -0.64)],
    [(-0.2, 0.14), (0.58, 0.14)],
)

KEEP = [(-0.46, -0.46), (0.5, 0.5)]

# How to draw each class, by its GTSRB class id.
FACES = {
    **{
        label: partial(speed_limit, number=number)
        for label, number in {0: "20", 1: "30", 2: "50", 3: "60", 4: "70", 5: "80", 7: "100", 8: "120"}.items()
    },
    6: partial(end_sign, symbol=partial(text, string="80", height=0.72, width=1.1, colour=GREY)),
    9: partial(no_overtaking, left=car),
    10: partial(no_overtaking, left=lorry),
    11: partial(warning, symbol=junction),
    12: priority_road,
    13: yield_,
    14: stop,
    15: ring,
    16: no_lorries,
    17: no_entry,
    18: partial(warning, symbol=exclamation),
    19: partial(warning, symbol=partial(curve, side=-1)),
    20: partial(warning, symbol=partial(curve, side=1)),
    21: partial(warning, symbol=double_curve),
    22: partial(warning, symbol=uneven),
    24: partial(warning, symbol=narrows),
    26: partial(warning, symbol=traffic_lights),
    30: partial(warning, symbol=snowflake),
    32: end_sign,
    33: lambda pen: blue_disc(pen, TURN),
    34: lambda pen: blue_disc(pen, TURN, mirror=True),
    35: lambda pen: blue_disc(pen, AHEAD),
    36: lambda pen: blue_disc(pen, *BRANCH),
    37: lambda pen: blue_disc(pen, *BRANCH, mirror=True),
    38: lambda pen: blue_disc(pen, KEEP, width=0.26, head=0.44),
    39: lambda pen: blue_disc(pen, KEEP, width=0.26, head=0.44, mirror=True),
    40: roundabout,
    41: partial(end_sign, symbol=partial(overtaking, left=car, colours=(GREY, GREY))),
    42: partial(end_sign, symbol=partial(overtaking, left=lorry, colours=(GREY, GREY))),
}


def draw_face(label, *sizes):
    """Draw the sign of a GTSRB class, transparent around it: for each size, RGBA uint8 of shape (size, size, 4)."""
    pen = Pen()
    FACES[label](pen)
    return [np.asarray(pen.image.reduce(CANVAS // size)) for size in sizes]
