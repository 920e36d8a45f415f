"""Makes an MXNet checkpoint of weights as other projects publish them, without MXNet and PyTorch."""
