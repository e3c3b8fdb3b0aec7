"""Is the machine quiet? CPU time of the measured CPUs that belongs to nobody whom this program started."""
import os
import pathlib
import time

TICK_SECONDS = 1 / os.sysconf("SC_CLK_TCK")


def own_seconds():
    """CPU time of this process, of all that descend from it, and of those of them that have ended and were waited
    for."""
    used, parent_of = {}, {}
    for entry in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has ended meanwhile
        pid = int(entry.parent.name)
        parent_of[pid] = int(fields[1])
        used[pid] = sum(map(int, fields[11:15]))  # user, system, and both of the children that were waited for
    ours, found = {os.getpid()}, True
    while found:
        found = {pid for pid, parent in parent_of.items() if parent in ours} - ours
        ours |= found
    return sum(used.get(pid, 0) for pid in ours) * TICK_SECONDS


def busy_seconds(cpus):
    """User, nice, system and steal of these CPUs. Not what interrupts take: our own packets cause them, and with
    CONFIG_IRQ_TIME_ACCOUNTING no process is charged for them."""
    total = 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cpus:
            total += sum(int(values[i]) for i in (0, 1, 2, 7))
    return total * TICK_SECONDS


class Watch:
    """From here on until foreign_share() is called."""

    def __init__(self, cpus):
        self.cpus = set(cpus)
        self.began, self.busy, self.own = time.monotonic(), busy_seconds(self.cpus), own_seconds()

    def foreign_share(self):
        """0 ... 1 of the CPUs' time. Every process that was started must be bound to these CPUs."""
        foreign = (busy_seconds(self.cpus) - self.busy) - (own_seconds() - self.own)
        return max(0.0, foreign / ((time.monotonic() - self.began) * len(self.cpus)))
