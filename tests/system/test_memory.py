"""What there is of the host's memory: of the machine, of control groups, of addresses."""

import math
import subprocess
import sys

import pytest

from ganforge.system import memory

MEMINFO = "MemTotal:   8000 kB\nMemFree:   1000 kB\nMemAvailable:   5000 kB\nHugePages_Total:       0\n"
STATUS = "Name:\tpython\nVmSize:\t 3000 kB\nVmHWM:\t  900 kB\nVmRSS:\t  700 kB\n"


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """A machine of 8,000 kB, 5,000 of them free, whose files may be added to."""

    def write(name, text):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "GROUPS", tmp_path / "groups")
    write("proc/meminfo", MEMINFO)
    write("proc/self/status", STATUS)
    return write


def test_without_control_groups_it_is_the_machines(machine):
    assert (memory.free_memory(), memory.whole_memory()) == (5000 * 1024, 8000 * 1024)
    assert (memory.resident_memory(), memory.resident_memory("VmHWM")) == (700 * 1024, 900 * 1024)


def test_where_the_system_tells_nothing_nothing_is_known(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "PROC", tmp_path)
    assert (memory.free_memory(), memory.whole_memory(), memory.resident_memory()) == (math.inf, math.inf, None)


@pytest.mark.parametrize(
    ("group", "files"),
    [
        ("0::/job/step\n", ("job/memory.max", "job/memory.current", "job/memory.stat", "inactive_file")),
        (
            "5:cpu:/\n4:memory:/job/step\n0::/\n",
            (
                "memory/job/memory.limit_in_bytes",
                "memory/job/memory.usage_in_bytes",
                "memory/job/memory.stat",
                "total_inactive_file",
            ),
        ),
    ],
    ids=["v2", "v1"],
)
def test_the_limit_of_a_group_around_the_process_counts_without_what_the_system_takes_back(group, files, machine):
    most, now, stat, cached = files
    machine("proc/self/cgroup", group)
    machine(f"groups/{most}", "3000000\n")
    machine(f"groups/{now}", "2000000\n")
    machine(f"groups/{stat}", f"anon 5\n{cached} 400000\n")
    assert (memory.free_memory(), memory.whole_memory()) == (1_400_000, 3_000_000)


def test_a_group_without_a_limit_or_beyond_it_is_understood(machine):
    machine("proc/self/cgroup", "0::/job\n")
    machine("groups/job/memory.max", "max\n")
    assert memory.free_memory() == 5000 * 1024
    machine("groups/job/memory.max", "1000\n")
    machine("groups/job/memory.current", "1500\n")
    machine("groups/job/memory.stat", "")
    assert (memory.free_memory(), memory.whole_memory()) == (0, 1000)


def test_a_limit_to_addresses_leaves_what_is_not_taken_of_them():
    pytest.importorskip("resource")
    program = (
        "import resource; from ganforge.system.memory import free_memory, whole_memory, resident_memory\n"
        "taken = resident_memory('VmSize'); resource.setrlimit(resource.RLIMIT_AS, (int(taken) + 2**27,) * 2)\n"
        "print(free_memory() <= 2**27, whole_memory() <= 2**27 + resident_memory())"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert said.stdout == "True True\n"
