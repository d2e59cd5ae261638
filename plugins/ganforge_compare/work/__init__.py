"""Where the runs of a comparison are trained: on this machine, or as jobs of Slurm."""
