"""Training steps as one would write them in plain PyTorch, which `ganforge bench --plain` compares with.

Each file stands alone and imports nothing from ganforge. Like every file that `--plain` takes, it has one function:

`make(batch, width) -> step`: `batch` holds samples like those of every step, by field, on the training device;
`width` is that of the recipe's generator. `step(batch)` trains for one step and returns the loss of each player;
`step.networks` are the networks by name. Their parameters are in the same order as in the recipe's networks, whose
weights are copied into them before the first step.
"""
