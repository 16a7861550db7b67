"""Which proxies of an app the demo can use."""

from io import StringIO
from pathlib import Path
from typing import Any

from cdk_pinsafe.localcloud.client import Account, LocalCloud
from cdk_pinsafe.rehearsal.cdk_cli import App
from cdk_pinsafe.rehearsal.proxy_demo import find_proxies
from cdk_pinsafe.rehearsal.report import TextReport
from cdk_pinsafe.rehearsal.scenario import Scenario

from ..localcloud.test_local_cloud import ACCOUNT, NETWORK, deploy

PROXY: dict[str, Any] = {
    "Type": "AWS::RDS::DBProxy",
    "Properties": {
        "DBProxyName": "unused",
        "EngineFamily": "POSTGRESQL",
        "RoleArn": "arn:aws:iam::123456789012:role/x",
        "VpcSubnetIds": [{"Ref": "SubnetA"}, {"Ref": "SubnetB"}],
        "Auth": [{"AuthScheme": "SECRETS", "IAMAuth": "REQUIRED", "SecretArn": "arn:aws:secretsmanager:x"}],
    },
}


def test_app_without_proxy_skips_the_demo(cloud: LocalCloud, tmp_path: Path) -> None:
    found = find_proxies(cloud, Account("999999999999"), [])
    assert found == ([], [])
    output = StringIO()
    Scenario(App(tmp_path, None), tmp_path, TextReport(output))._run_proxy_demo(cloud, *found)
    assert output.getvalue().strip() == "note: skipped: what a SET costs, because the app has no proxy"


def test_proxy_without_settings_is_skipped(cloud: LocalCloud) -> None:
    deploy(cloud, "unused", {**NETWORK, "Proxy": PROXY})
    proxies, skipped = find_proxies(cloud, ACCOUNT, [])
    assert proxies == []
    assert "proxy unused: not used, because no database behind it has settings" in skipped
    cloud.client("cloudformation", ACCOUNT).delete_stack(StackName="unused")
