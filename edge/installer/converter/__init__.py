"""Weights as other projects publish them become a checkpoint of MXNet's, without MXNet and without PyTorch."""
