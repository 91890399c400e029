"""Answer with an array, and say when it was ready to go."""

import time

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Draw the array, look at the clock, hand it over."""
    values = np.random.default_rng(int(context.run_config["seed"])).standard_normal(
        int(context.run_config["mib"]) << 18, dtype=np.float32
    )
    ready = ConfigRecord({"ready_s": time.time()})
    return Message(content=RecordDict({"array": ArrayRecord([values]), "ready": ready}), reply_to=message)
