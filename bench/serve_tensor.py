"""Images in the binary extension of the Open Inference Protocol."""

import json

import numpy as np


def as_tensor(image: list[list[float]], rows: int) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with the same image in every row, one byte per pixel."""
    pixels = np.tile(np.array(image, dtype=np.uint8), (rows, 1, 1))
    tensor = {
        "name": "image",
        "shape": pixels.shape,
        "datatype": "UINT8",
        "parameters": {"binary_data_size": pixels.size},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"Content-Type": "application/octet-stream", "Inference-Header-Content-Length": str(len(head))}
    return head + pixels.tobytes(), headers
