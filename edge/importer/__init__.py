"""Translate MXNet checkpoints into ONNX graphs, without MXNet, for the other engines.

    symbol.py     the structure, NAME-symbol.json of every release
    params.py     the weights, NAME-0000.params of every release
    operators.py  each MXNet operator in ONNX, and the shapes it makes
    translate.py  makes a graph from structure and weights
    graph.py      a graph with the weights beside it
    onnx.py       the bytes of an ONNX file

The files may come from anywhere. Nothing in them is executed. Nothing is allocated that is larger than the files'
content. What the importer does not know is refused, with the name of the layer.
"""
