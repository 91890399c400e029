"""Ask one node for its array and write down how long it was on its way."""

import json
import time
from pathlib import Path
from typing import cast

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Ask once; the clocks of both ends are this machine's."""
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.1)
    question = RecordDict({"question": ConfigRecord({"of": "array"})})
    (reply,) = grid.send_and_receive([Message(content=question, message_type="train", dst_node_id=nodes[0])])
    (values,) = reply.content.array_records["array"].to_numpy_ndarrays()
    seconds = time.time() - cast("float", reply.content.config_records["ready"]["ready_s"])
    told = json.dumps({"bytes": values.nbytes, "seconds": seconds})
    Path(str(context.run_config["out"])).write_text(told, encoding="utf-8")
