"""python score.py model.onnx photo.png ...: scores without PyTorch."""

import json
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

model = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
columns = json.loads(model.get_modelmeta().custom_metadata_map["columns"])
for path in sys.argv[2:]:
    photo = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
    image = np.asarray(photo, np.float32).transpose(2, 0, 1)[None] / 255  # (1, 3, H, W), RGB in [0, 1]
    scores = model.run(["scores"], {"image": image})[0][0]
    print(path, *(f"{name} {score:.4f}" for name, score in zip(columns, scores, strict=True)))
