"""What a rank does in these tests: a job of its own module, by name, with arguments that JSON holds."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def on_ranks(world: int, job: str, folder: Path, **arguments: Any) -> Any:
    """Run a function of tests.ranks.jobs on so many ranks, with gloo; return what rank 0 returns."""
    folder.mkdir(parents=True, exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    about = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
    about |= {"LOCAL_WORLD_SIZE": str(world), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    words = [sys.executable, "-m", "tests.ranks.worker", job, str(folder), json.dumps(arguments)]
    working = []
    for rank in range(world):
        env = {**os.environ, **about, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        with (folder / f"{rank}.txt").open("w") as output:
            working.append(subprocess.Popen(words, cwd=ROOT, env=env, stdout=output, stderr=subprocess.STDOUT))
    try:
        statuses = [process.wait(1500) for process in working]
    finally:
        for process in working:
            process.kill()
            process.wait()
    told = "\n".join((folder / f"{rank}.txt").read_text() for rank in range(world))
    assert not any(statuses), told
    return json.loads((folder / "found.json").read_text())


def main() -> None:
    """Do the job."""
    import torch

    from ganforge.training import ranks
    from tests.ranks import jobs

    job, folder, arguments = sys.argv[1:]
    torch.set_num_threads(1)
    with ranks.joined(torch.device("cpu")):
        found = getattr(jobs, job)(Path(folder), **json.loads(arguments))
        if ranks.is_lead():
            (Path(folder) / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
