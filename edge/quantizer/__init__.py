"""Make an int8 graph from a checkpoint, and judge it before it is used.

    views.py     pictures in three separate parts, and views of them
    tools.py     the only module that uses onnxruntime.quantization and onnx: ranges, and graphs made with them
    judge.py     compares a quantised network with the float one; the gate
    quantize.py  which ranges, which layers stay in float: tried on the second part, judged once on the third

Engines need only importer/quantised.py to run the result.
"""
