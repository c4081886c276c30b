"""How the shop's workers get their jobs: through files, so that the example needs no broker."""

import os
from pathlib import Path

_folder = Path(os.environ["SHOP_QUEUE"])

broker_url = "filesystem://"
broker_transport_options = {
    "data_folder_in": str(_folder / "jobs"),
    "data_folder_out": str(_folder / "jobs"),
    "control_folder": str(_folder / "control"),
    "polling_interval": 0.05,
}
result_backend = (_folder / "results").as_uri()
