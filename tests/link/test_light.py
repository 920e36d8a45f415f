"""What `edge link` loads: it is always in memory, and it is what the network can attack."""

import subprocess
import sys

LOADED = """
import sys
import edge.__main__, edge.cli, edge.link.program, edge.link.metrics, edge.link.mqtt.part
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_it_loads_nothing_that_sees_or_speaks() -> None:
    """With numpy alone it had 38 MiB of the 40 that it may have."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True, timeout=60)
    assert {"paho", "prometheus_client"} <= set(done.stdout.split())
    assert not {"numpy", "cv2", "mxnet", "onnxruntime", "pyttsx3"} & set(done.stdout.split())
