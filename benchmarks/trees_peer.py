"""Run by the interpreter of the peer, which has treelite and tl2cgen: C of one XGBoost model, and its classes.

    PEER benchmarks/trees_peer.py MODEL.json ROWS.npy FOLDER

Writes FOLDER/plain and FOLDER/quantized (thresholds as integers, numbers searched at run time), and FOLDER/margins.npy.
"""

import sys
from pathlib import Path

import numpy as np
import tl2cgen
import treelite

model_file, rows_file, folder = sys.argv[1], sys.argv[2], Path(sys.argv[3])
model = treelite.frontend.load_xgboost_model(model_file)
for name, quantize in (("plain", 0), ("quantized", 1)):
    tl2cgen.generate_c_code(model, dirpath=str(folder / name), params={"quantize": quantize})
library = str(folder / "peer.so")
tl2cgen.export_lib(model, toolchain="gcc", libpath=library, params={}, options=["-O0"])
rows = tl2cgen.DMatrix(np.load(rows_file), dtype="float32")
margins = tl2cgen.Predictor(library).predict(rows, pred_margin=True)
np.save(folder / "margins.npy", margins.reshape(len(margins), -1))
