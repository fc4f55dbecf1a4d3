"""The trainer: plain PyTorch FSDP2 over the shards of a finished run."""
