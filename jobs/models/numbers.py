"""Arrays of numbers in the answers of a model's process: as bytes, for text of each takes long beside SHAP of trees."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def packed(numbers: np.ndarray) -> dict[str, Any]:
    """Double precision, little-endian, with its shape."""
    content = numbers.astype("<f8", copy=False).tobytes()
    return {"shape": list(numbers.shape), "numbers": base64.b64encode(content).decode("ascii")}


def unpacked(told: Any) -> np.ndarray:
    """What `packed` made. Raises `ValueError`, `TypeError` or `KeyError` for anything else."""
    import numpy as np

    content = base64.b64decode(told["numbers"], validate=True)
    shape = tuple(told["shape"])
    if any(type(one) is not int or one < 0 for one in shape):
        raise ValueError(f"there is no shape {shape}")
    return np.frombuffer(content, dtype="<f8").reshape(shape)
