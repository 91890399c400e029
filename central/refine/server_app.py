"""The ServerApp: reads the run that it was started for, holds its rounds, leaves the record. A shim."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.serverapp import ServerApp
from safetensors.torch import save

from central.refine.federated_run import RunFolder, RunRecord, RunState, read_federated_run
from central.refine.rounds import run_rounds

if TYPE_CHECKING:
    from flwr.app import Context
    from flwr.serverapp import Grid

log = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Hold the rounds of the run in the folder that the run's configuration names."""
    hold(grid, RunFolder(Path(str(context.run_config["folder"]))))


def hold(grid: Grid, folder: RunFolder) -> None:
    """Hold the rounds of a run; however they end, the folder says so."""
    folder.begun.touch()
    try:
        record, arrays = run_rounds(grid, read_federated_run(folder.run), shut=folder.shut_nodes)
    except Exception as error:
        log.exception("the run failed")
        folder.leave(RunRecord(RunState.FAILED, f"{type(error).__name__}: {error}"))
        raise
    folder.leave(record, save(arrays) if arrays else b"")
