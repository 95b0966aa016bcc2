"""A real Slurm on this machine, without systemd or an accounting database; needs root, slurm-wlm and munge.

python plugins/mmtk-slurm/tests/slurm_here.py FOLDER    # runs until Ctrl-C; then in another terminal:
SLURM_CONF=FOLDER/slurm.conf mmtk ablate --components saliency --launcher slurm
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch", "setpriv")
CONF = """\
ClusterName=here
SlurmctldHost=localhost
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort=26817
SlurmdPort=26818
ReturnToService=2
SchedulerParameters=requeue_delay=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=5
NodeName=localhost CPUs={cores} RealMemory=4000
PartitionName=main Nodes=localhost Default=YES MaxTime=INFINITE GraceTime=5
PartitionName=short Nodes=localhost MaxTime=1
PartitionName=given Nodes=localhost PreemptMode=CANCEL
PartitionName=urgent Nodes=localhost PriorityTier=9
"""


@contextmanager
def slurm(folder: Path) -> Iterator[dict[str, str]]:
    """Start the daemons, and stop them at the end; gives the environment in which Slurm's commands find them."""
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir(parents=True)
    key = folder / "munge" / "key"
    key.write_bytes(secrets.token_bytes(1024))
    key.chmod(0o400)
    for path in (folder / "munge", key):
        shutil.chown(path, "munge", "munge")
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(folder=folder, cores=os.cpu_count()))
    environment = os.environ | {"SLURM_CONF": str(conf)}
    munge = ["setpriv", "--reuid=munge", "--regid=munge", "--clear-groups", "munged", "--foreground"]
    munge += [f"--{what}={folder}/munge/{name}" for what, name in (("key-file", "key"), ("socket", "socket"))]
    munge += [f"--{what}={folder}/munge/{name}" for what, name in (("pid-file", "pid"), ("log-file", "log"))]
    munge += [f"--seed-file={folder}/munge/seed"]
    daemons = []
    try:
        for command in (munge, ["slurmctld", "-D"], ["slurmd", "-D", "-N", "localhost"]):
            daemons.append(
                subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            )
            time.sleep(1)
        _wait(environment)
        yield environment
    finally:
        subprocess.run(
            ["scancel", "--user", "root"], env=environment, capture_output=True
        )  # their steps outlive slurmd
        for daemon in reversed(daemons):
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(30)


def _wait(environment: dict[str, str]) -> None:
    for _ in range(60):
        said = subprocess.run(["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True)
        if "idle" in said.stdout:
            return
        time.sleep(0.5)
    raise RuntimeError(f"Slurm did not start: {said.stdout} {said.stderr}")


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with slurm(Path(sys.argv[1]).absolute()):
            print(f"Slurm is up: export SLURM_CONF={Path(sys.argv[1]).absolute()}/slurm.conf", flush=True)
            signal.pause()
    except KeyboardInterrupt:
        pass
