"""Makes ONNX graphs of MXNet's checkpoints, without MXNet, for the other engines.

    symbol.py     the structure, NAME-symbol.json of every release
    params.py     the weights, NAME-0000.params of every release
    operators.py  what each operator of MXNet means in ONNX, and which shapes it makes
    translate.py  the two together become a graph
    graph.py      a graph with the weights beside it
    onnx.py       the bytes of an ONNX file

The files may come from anywhere. Nothing in them is executed; nothing is allocated that is larger than what the files
hold; and what is not understood is refused, with the name of the layer.
"""
