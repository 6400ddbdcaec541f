"""The tabular network, its rows and its loop. These files import PyTorch; only the trainer's process reads them."""
