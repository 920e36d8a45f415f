"""A checkpoint's graph in the form that ncnn reads: its layers in a text, and its weights in a file."""
