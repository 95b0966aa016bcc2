"""Models that leave mmtk: as one ONNX file, or as a folder of weights, recipe and model card."""
