"""A Slurm of two nodes, all on this machine."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.engines.processes import free_port
from tests.runs import wait_for

CONFIGURATION = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={port}
AuthType=auth/none
AuthInfo=cred_expire=5
CredType=cred/none
SlurmUser={user}
SlurmdUser={user}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1
ReturnToService=2
MpiDefault=none
MailProg=/bin/true
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={one} CPUs=2 RealMemory=8000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={two} CPUs=2 RealMemory=8000
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
NEEDED = ("slurmctld", "slurmd", "sbatch")


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """The cluster, by the environment that its programs want."""
    path = f"{os.environ['PATH']}:/usr/sbin"
    if absent := [name for name in NEEDED if shutil.which(name, path=path) is None]:
        packages = "slurmctld, slurmd, slurm-client"
        pytest.skip(f"no {', '.join(absent)}: Debian's packages {packages} have them")
    for name in ("state", "one", "two"):
        (folder / name).mkdir()
    ports = {"port": free_port(), "one": free_port(), "two": free_port()}
    about = {"host": socket.gethostname(), "user": getpass.getuser(), "folder": folder}
    file = folder / "slurm.conf"
    file.write_text(CONFIGURATION.format(**about, **ports))
    environment = {**os.environ, "SLURM_CONF": str(file), "PATH": path}
    started: list[subprocess.Popen[bytes]] = []

    def start(*command: str) -> None:
        quiet = subprocess.DEVNULL
        words = [*command, "-D", "-f", str(file)]
        started.append(subprocess.Popen(words, env=environment, stdout=quiet, stderr=quiet))

    def idle() -> bool:
        words = ["sinfo", "--noheader", "--format=%D %t"]
        said = subprocess.run(words, env=environment, capture_output=True, text=True)
        return said.stdout.split() == ["2", "idle"]

    try:
        start("slurmctld", "-i")
        start("slurmd", "-N", "one")
        start("slurmd", "-N", "two")
        wait_for(idle, 60, "a Slurm of two nodes")
        yield environment
    finally:
        subprocess.run(["scancel", f"--user={about['user']}"], env=environment, check=False)
        for each in reversed(started):
            each.send_signal(signal.SIGTERM)
            each.wait(30)
