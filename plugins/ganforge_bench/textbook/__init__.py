"""Training steps as one would write them down in plain PyTorch, against which `ganforge bench --plain` measures.

Each file stands alone, imports nothing of ganforge and has one function, as every file that `--plain` takes:

`make(batch, width) -> step`: `batch` holds samples like those of every step, by field, on the device where to train;
`width` is that of the recipe's generator. `step(batch)` trains for one step and returns the loss of each player;
`step.networks` are the networks by name. Their parameters come in the order of the recipe's networks, whose weights
they are given before the first step.
"""
