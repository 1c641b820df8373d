"""Classify photos with the .onnx file beside this script: python NAME.py photo.jpg [more.jpg ...]

Needs only: pip install onnxruntime numpy pillow. Prints a line of JSON for each photo.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import: else it reports
import onnxruntime

session = onnxruntime.InferenceSession(str(Path(__file__).with_suffix(".onnx")))
facts = session.get_modelmeta().custom_metadata_map
classes, thresholds = json.loads(facts["classes"]), json.loads(facts["set_thresholds"])
for path in sys.argv[1:]:
    try:
        photo = ImageOps.exif_transpose(Image.open(path))
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
