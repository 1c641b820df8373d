"""Classify photos with the .onnx file beside this script: python NAME.py photo.jpg [more.jpg ...]

Needs only: pip install onnxruntime numpy pillow. Prints a line of JSON for each photo.
"""

import io
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import: else it reports
import onnxruntime

MARKER = re.compile(rb"\xff[^\x00\x01\xff\xd0-\xd7]")  # of a JPEG
MOST_SCANS, MOST_PIXELS = 100, 100_000_000  # a small file may ask for hours of decoding


def opened(path: str) -> Image.Image:
    """A photo, not decoded yet; refused where it has more scans or pixels than a photo."""
    data, at, scans = Path(path).read_bytes(), 2, 0
    while data.startswith(b"\xff\xd8") and (found := MARKER.search(data, at)):
        scans += found[0][1] == 0xDA
        if found[0][1] == 0xD9 or scans > MOST_SCANS:  # 0xD9: the end
            break
        at = found.end() + int.from_bytes(data[found.end() : found.end() + 2], "big")
    photo = Image.open(io.BytesIO(data))
    if scans > MOST_SCANS or photo.width * photo.height > MOST_PIXELS:
        raise ValueError(f"expected at most {MOST_SCANS} scans and {MOST_PIXELS:,} pixels")
    return photo


session = onnxruntime.InferenceSession(str(Path(__file__).with_suffix(".onnx")))
facts = session.get_modelmeta().custom_metadata_map
classes, thresholds = json.loads(facts["classes"]), json.loads(facts["set_thresholds"])
for path in sys.argv[1:]:
    try:
        photo = ImageOps.exif_transpose(opened(path))
        if photo.mode.startswith("I"):  # 16-bit grey
            photo = Image.fromarray(np.rint(np.asarray(photo) / 257).astype(np.uint8))
        if photo.has_transparency_data:
            grey = Image.new("RGBA", photo.size, (128, 128, 128, 255))
            photo = Image.alpha_composite(grey, photo.convert("RGBA"))
        found, distance = session.run(None, {"image": np.asarray(photo.convert("RGB"))})
    except (OSError, ValueError) as error:
        print(json.dumps({"path": path, "error": str(error)}))
        continue
    likely = [name for name, p, t in zip(classes, found, thresholds, strict=True) if p >= t]
    best = classes[int(found.argmax())]
    unfamiliar = float(distance) > float(facts["unfamiliar_from"])
    flag = "unfamiliar" if unfamiliar else "" if likely == [best] else "unsure"
    said = {"path": path, "predicted": best, "set": likely, "flag": flag}
    said |= {"unfamiliarity": float(distance)}
    said |= {"probabilities": dict(zip(classes, found.tolist(), strict=True))}
    print(json.dumps(said))
