"""Fine-tunes pretrained models on your own data and hardware, and proves what it did."""
