"""Try the README's line for a cluster on a real Slurm: two small computers on this one.

    sudo apt-get install slurm-wlm munge
    .venv/bin/python -m pipeline.environment cluster
    sudo .venv/bin/python tests/cluster/try_slurm.py            # half an hour on two cores

A controller and two `slurmd` start with settings of their own in a temporary folder and are taken
down at the end, whatever happens. Twelve smoke runs are submitted; once some are done, one computer
is killed with everything that runs on it, and started again a minute later. At the end all records
must be there, none trained twice. Exit status 0 if so.
"""

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

from handpose_lib import papers, paths
from handpose_lib.results import records
from pipeline.experiments import train_queue

PROJECT = Path(__file__).resolve().parents[2]
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "sinfo", "scontrol")
NODES = ("first", "second")
RUNS = 12
SETTINGS = """
ClusterName=trial
SlurmctldHost={host}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldPort={controller}
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n.spool
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
MpiDefault=none
ReturnToService=2
SlurmdTimeout=20
InactiveLimit=0
{nodes}
PartitionName=trial Nodes={names} Default=YES MaxTime=INFINITE State=UP
"""


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="number of smoke runs")
    parser.add_argument("--cores", type=int, default=2, help="cores of each computer")
    chosen = parser.parse_args()
    missing = [name for name in PROGRAMS if not program(name)]
    if missing:
        sys.exit(f"not installed: {', '.join(missing)}. apt-get install slurm-wlm munge")
    if os.geteuid() != 0:
        sys.exit("Slurm's daemons need root here: start this with sudo")
    with (
        tempfile.TemporaryDirectory(prefix="slurm-trial-") as name,
        cluster(Path(name), chosen.cores) as computers,
    ):
        return trial(Path(name), computers, chosen.runs)


def trial(folder: Path, computers: dict[str, subprocess.Popen], count: int) -> int:
    """Submit the runs, kill a computer on the way, and check what is there at the end."""
    kept = folder / "records"
    jobs = smoke_runs(count)
    marks = [
        f"{paths.build()}/recorded/{job.key}.{train_queue.code(job.paper)[:12]}" for job in jobs
    ]
    marks = [os.path.relpath(mark, PROJECT) for mark in marks]
    start = time.monotonic()
    submitting = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "snakemake",
            *marks,
            "--workflow-profile",
            "profiles/slurm",
            "--config",
            "profile=smoke",
            "device=cpu",
            f"records={kept}",
        ],
        cwd=PROJECT,
        env=environment(folder),
    )
    killed = False
    try:
        while submitting.poll() is None:
            time.sleep(2)
            if not killed and len(found(kept)) >= count // 4 and busy(folder, NODES[1]):
                print(f"{len(found(kept))} records are there: {NODES[1]} is killed", flush=True)
                kill(computers[NODES[1]])
                killed = True
                time.sleep(60)
                computers[NODES[1]] = slurmd(folder, NODES[1])
    finally:
        kill(submitting)
    minutes = (time.monotonic() - start) / 60
    there, wanted = found(kept), sorted(job.key for job in jobs)
    twice = trained_twice(wanted)
    print(
        f"{len(there)} of {count} records in {minutes:.1f} minutes; trained twice:"
        f" {twice or 'none'}"
    )
    if not killed:
        print("no computer was killed: the runs were too few or too short", file=sys.stderr)
    return int(submitting.returncode != 0 or there != wanted or bool(twice) or not killed)


def smoke_runs(count: int) -> list[train_queue.Job]:
    """Return so many runs of the smallest network, the variants of one paper and their seeds."""
    paper = "jgr_p2o"
    return [
        train_queue.Job(paper, "smoke", variant, seed=seed)
        for seed in range(count)
        for variant in papers.variants(paper)
    ][:count]


def found(kept: Path) -> list[str]:
    """Return the keys of the whole records in a folder."""
    return sorted(record.key for record in records.load_all(kept)) if kept.is_dir() else []


def trained_twice(keys: list[str]) -> list[str]:
    """Return the runs of which more than one log tells a result.

    A run that was killed leaves a log without one: it prints its error as its last line.
    """
    logs = PROJECT / "_build" / "logs" / "rule_run"
    results: dict[str, int] = {}
    for log in logs.rglob("*.log"):
        text = log.read_text(encoding="utf-8", errors="replace")
        name = next((key for key in keys if key in text), None)
        if name and any(line.endswith(" mm") for line in text.splitlines()):
            results[name] = results.get(name, 0) + 1
    return [name for name, count in results.items() if count > 1]


# --- the cluster --------------------------------------------------------------


@contextlib.contextmanager
def cluster(folder: Path, cores: int) -> Iterator[dict[str, subprocess.Popen]]:
    """Run a controller and two computers inside the block; yields the computers by name."""
    (folder / "state").mkdir()
    folder.chmod(0o755)
    (folder / "slurm.conf").write_text(settings(folder, cores), encoding="utf-8")
    srun(folder)
    shutil.rmtree(PROJECT / "_build" / "logs", ignore_errors=True)
    started: list[subprocess.Popen] = []
    computers: dict[str, subprocess.Popen] = {}
    try:
        started.append(munged(folder))
        wait(lambda: (folder / "munge.socket").exists(), "munged")
        started.append(daemon(folder, "slurmctld", "-D", "-c"))
        for name in NODES:
            computers[name] = slurmd(folder, name)
        wait(lambda: idle(folder) == len(NODES), "the two computers")
        yield computers
    finally:
        for process in [*computers.values(), *reversed(started)]:
            kill(process)


def settings(folder: Path, cores: int) -> str:
    """Return slurm.conf: each computer has so many cores and half of the memory."""
    memory = psutil.virtual_memory().total // 2**21
    ports = [free_port() for _ in range(3)]
    nodes = "\n".join(
        f"NodeName={name} NodeHostname={socket.gethostname()} NodeAddr=127.0.0.1 Port={port}"
        f" CPUs={cores} RealMemory={memory} State=UNKNOWN"
        for name, port in zip(NODES, ports[1:], strict=True)
    )
    return SETTINGS.format(
        host=f"{socket.gethostname()}(127.0.0.1)",
        folder=folder,
        controller=ports[0],
        nodes=nodes,
        names=",".join(NODES),
    )


def srun(folder: Path) -> None:
    """Write a `srun` that finds the settings: the executor takes SLURM_CONF from its jobs.

    A real cluster has its settings in /etc/slurm, which the trial leaves alone.
    """
    script = folder / "bin" / "srun"
    script.parent.mkdir()
    script.write_text(
        f'#!/bin/sh\nSLURM_CONF={folder}/slurm.conf exec {program("srun")} "$@"\n',
        encoding="utf-8",
    )
    script.chmod(0o755)


def munged(folder: Path) -> subprocess.Popen:
    """Start the service by which Slurm's programs know each other, with a key of its own."""
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    return daemon(
        folder,
        "munged",
        "--foreground",
        "--force",
        f"--key-file={key}",
        *(f"--{what}-file={folder}/munge.{what}" for what in ("pid", "log", "seed")),
        f"--socket={folder}/munge.socket",
    )


def slurmd(folder: Path, name: str) -> subprocess.Popen:
    """Start one of the computers."""
    (folder / f"{name}.spool").mkdir(exist_ok=True)
    return daemon(folder, "slurmd", "-D", "-N", name)


def daemon(folder: Path, name: str, *arguments: str) -> subprocess.Popen:
    """Start a program of Slurm, with its messages in a file."""
    with (folder / f"{name}.out").open("ab") as out:
        return subprocess.Popen(
            [str(program(name)), *arguments],
            env=environment(folder),
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def kill(process: subprocess.Popen) -> None:
    """End a program and everything that it has started, as a power cut does."""
    if process.poll() is not None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        for one in [psutil.Process(process.pid), *family]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.send_signal(signal.SIGKILL)
    process.wait()


def idle(folder: Path) -> int:
    """Return how many computers can take jobs."""
    told = ask(folder, "sinfo", "--noheader", "--Node", "--format=%T")
    return sum(state.strip() in ("idle", "mixed", "allocated") for state in told.splitlines())


def busy(folder: Path, name: str) -> bool:
    """Return whether a job is running on this computer."""
    told = ask(folder, "squeue", "--noheader", "--states=running", "--format=%N")
    return name in told.split()


def ask(folder: Path, name: str, *arguments: str) -> str:
    done = subprocess.run(
        [str(program(name)), *arguments],
        env=environment(folder),
        capture_output=True,
        text=True,
    )
    return done.stdout


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SLURM_CONF": str(folder / "slurm.conf"),
        "PYTHONPATH": str(PROJECT),
        "PATH": os.pathsep.join(
            [str(folder / "bin"), str(Path(sys.executable).parent), os.environ["PATH"]]
        ),
    }


def program(name: str) -> str | None:
    return shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait(ready, what: str, seconds: float = 60.0) -> None:
    """Errors: `SystemExit` if something is not ready after so many seconds."""
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            sys.exit(f"{what} did not start within {seconds:.0f} seconds")
        time.sleep(0.5)


if __name__ == "__main__":
    sys.exit(main())
