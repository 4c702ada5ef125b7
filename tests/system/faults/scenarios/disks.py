"""Disks that are full: small ones of the trial's own, filled up and freed again."""

import asyncio
import os
import subprocess
from pathlib import Path

import asyncpg

from tests.support.databases import temporary_folder
from tests.system.faults import PATIENCE_S
from tests.system.faults.postgres import ChildServer, own
from tests.system.faults.rig import Rig, scenario

WELL_AGAIN = "503, unready with the reason, nothing lost; well again without a restart"


def cannot_mount() -> str:
    """Why this machine cannot have a small disk; empty when it can."""
    if os.geteuid() != 0:
        return "only root can mount a small disk"
    with temporary_folder() as folder:
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
        if subprocess.run(mount, check=False, capture_output=True).returncode:
            return "mounting a tmpfs is not permitted here"
        subprocess.run(["umount", str(folder)], check=True)
    return ""


def _small_disk(rig: Rig, name: str, megabytes: int) -> Path:
    """A disk of so many megabytes, for the length of the trial."""
    folder = rig.folder / name
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", str(folder)], check=True)
    rig.stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)
    own(folder)
    return folder


def _fill(disk: Path) -> Path:
    """A file that takes what is left."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
    return ballast


@scenario(WELL_AGAIN, needs=cannot_mount)
async def data_disk_full(rig: Rig) -> None:
    disk = _small_disk(rig, "disk", 400)
    server = await rig.server(data=disk / "data", wal=rig.folder / "wal")
    await rig.daemon(server.url(), PEDRO_OPERATION_TIMEOUT_S="1.5")
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(1)):
            await crowd.flow(300)
            ballast = _fill(disk)
            rig.faults_injected += 1
            await rig.until_unready("DiskFullError")
            await crowd.until_told(503, "unavailable")
            ballast.unlink()
            await crowd.flow(500)
            await rig.until_ready()


@scenario(WELL_AGAIN, needs=cannot_mount)
async def wal_disk_full(rig: Rig) -> None:
    """The server panics then. Without room it gives up, or goes on trying; with room it is started
    again if need be, as an operator would."""
    disk = _small_disk(rig, "disk", 160)
    small = {"min_wal_size": "32MB", "max_wal_size": "48MB", "wal_recycle": "off"}
    server = await rig.server(settings=small, wal=disk / "wal")
    await rig.daemon(server.url(), PEDRO_OPERATION_TIMEOUT_S="1.5")
    users = await rig.users(12)
    async with rig.crowd(users) as crowd:
        for _ in range(rig.times(1)):
            await crowd.flow(300)
            panics = server.panics()
            ballast = _fill(disk)
            rig.faults_injected += 1
            await _switch_wal_until(server, panics + 1)
            await rig.until_unready("the database does not answer")
            await crowd.until_told(503, "unavailable")
            ballast.unlink()
            await server.revive()
            await crowd.flow(500)
            await rig.until_ready()


async def _switch_wal_until(server: ChildServer, panics: int) -> None:
    """Ask for the next segment of the WAL, until the server has no room for it."""
    async with asyncio.timeout(PATIENCE_S):
        while server.panics() < panics:
            try:
                await server.execute("SELECT pg_logical_emit_message(true, 'trial', 'x')", "SELECT pg_switch_wal()")
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await asyncio.sleep(0.1)
