"""Makes an int8 graph of a checkpoint, and judges it before anybody uses it.

    views.py     pictures in three parts that have none in common, and views of them
    tools.py     the one door to onnxruntime.quantization and onnx: ranges, and graphs made with them
    judge.py     how like the float network a quantised one is; the gate
    quantize.py  which ranges, which layers stay in float: tried on the second part, judged once on the third

What engines need to run the result is importer/quantised.py.
"""
