"""How far apart two colours are, for usual sight and for people who are blind to a part of the colours.

sRGB to linear light and to XYZ: IEC 61966-2-1 (D65). XYZ to L*a*b*: CIE 15:2018, 8.2.1. Distance: Delta E*ab of 1976,
the Euclidean distance there; about 2.3 is just seen (Mahy, Van Eycken and Oosterlinck 1994). Colour blindness: the
matrices of Machado, Oliveira and Fernandes, "A Physiologically-based Model for Simulation of Color Vision Deficiency",
IEEE TVCG 15(6), 2009, at severity 1.0, on linear light.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import combinations

Triple = tuple[float, float, float]
SIGHTS: Mapping[str, tuple[Triple, Triple, Triple]] = {
    "usual": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": (
        (0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        (0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881),
    ),
    "tritanopia": (
        (1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900),
    ),
}  # fmt: skip
_XYZ = (
    (0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041),
)  # fmt: skip
_WHITE = (0.95047, 1.0, 1.08883)


def linear(colour: str) -> Triple:
    """#rrggbb as linear light, 0 to 1 each."""
    red, green, blue = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    return _linear(red), _linear(green), _linear(blue)


def seen(colour: str, sight: str) -> Triple:
    """What somebody of this sight sees, as linear light."""
    red, green, blue = _times(SIGHTS[sight], linear(colour))
    return min(1.0, max(0.0, red)), min(1.0, max(0.0, green)), min(1.0, max(0.0, blue))


def lab(light: Triple) -> Triple:
    """L*, a*, b* of linear light."""
    x, y, z = (_root(value / white) for value, white in zip(_times(_XYZ, light), _WHITE, strict=True))
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def distance(first: str, second: str, sight: str = "usual") -> float:
    """Delta E*ab (1976) of two colours for this sight."""
    return math.dist(lab(seen(first, sight)), lab(seen(second, sight)))


def nearest(colours: Mapping[str, str]) -> tuple[float, str, str, str]:
    """The two named colours that are nearest to one another, for whom they are, and how near."""
    return min(
        (distance(colours[one], colours[other], sight), one, other, sight)
        for one, other in combinations(colours, 2)
        for sight in SIGHTS
    )


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _root(ratio: float) -> float:
    return math.cbrt(ratio) if ratio > 216 / 24389 else (24389 / 27 * ratio + 16) / 116


def _times(matrix: tuple[Triple, Triple, Triple], vector: Triple) -> Triple:
    red, green, blue = (sum(a * b for a, b in zip(row, vector, strict=True)) for row in matrix)
    return red, green, blue
