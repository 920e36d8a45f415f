"""Convert weights that other projects publish into an MXNet checkpoint, without MXNet and PyTorch."""
