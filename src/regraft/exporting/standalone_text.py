"""Classify texts with the .onnx file beside this script: python NAME.py text.txt [more.txt ...]

Without a file, the text is read from standard input. Needs only: pip install onnxruntime numpy
tokenizers. Prints a line of JSON for each text. Texts are UTF-8, or begin with a byte order mark.
"""

import codecs
import json
import os
import re
import sys
import unicodedata
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read at the import: else it reports
import onnxruntime

session = onnxruntime.InferenceSession(str(Path(__file__).with_suffix(".onnx")))
facts = session.get_modelmeta().custom_metadata_map
classes, thresholds = json.loads(facts["classes"]), json.loads(facts["set_thresholds"])
tokenizer = Tokenizer.from_str(facts["tokenizer"])
tokenizer.no_padding()
tokenizer.enable_truncation(int(facts["max_tokens"]))
for path in sys.argv[1:] or ["-"]:
    try:
        data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
        wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        text = data.decode("utf-16" if wide else "utf-8-sig")
        text = re.sub("\r\n?|[\v\f\x1c-\x1e\x85\u2028\u2029]", "\n", text)
        text = re.sub("\x1b\\[[0-9;]*[A-Za-z]", "", text)  # colours of terminals
        shown = re.sub("[\x00-\x08\x0e-\x1f\x7f-\x9f]", "", text)
        if len(text) - len(shown) > 0.02 * len(text) or not shown.strip():
            raise ValueError("the text is empty" if not text.strip() else "is not text")
        numbers = tokenizer.encode(unicodedata.normalize("NFC", shown)).ids
        tokens = np.array(numbers or [int(facts["unknown_token"])], dtype=np.int64)
        found, distance = session.run(None, {"tokens": tokens})
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
