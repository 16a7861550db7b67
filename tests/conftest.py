"""What every test needs before aws_cdk is imported."""

import os
import sys
from pathlib import Path

# The node that came with the development tools, whatever else the machine has.
_node = Path(sys.executable).with_name("node")
if _node.exists():
    os.environ.setdefault("JSII_NODE", str(_node))
# CDK's built-in validation costs four seconds a process; the tests that want it switch it on.
os.environ.setdefault("CDK_VALIDATION", "false")
