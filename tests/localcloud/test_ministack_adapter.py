"""The names of ministack that `ministack_adapter` uses, with their signatures: what to look at for another version."""

import ast
import importlib
import inspect
from importlib.metadata import version
from pathlib import Path

import pytest

import cdk_pinsafe
from cdk_pinsafe.localcloud import ministack_adapter

ROOT = Path(cdk_pinsafe.__file__).parents[1]
DATA = "data"
RDS_ACTION = "(p)"
CLOUDWATCH_ACTION = "(params, cbor_data, is_cbor, is_json=False)"
CREATE = "(logical_id, props, stack_name)"
UPDATE = "(physical_id, old_props, new_props, stack_name, logical_id=None)"
DELETE = "(physical_id, props)"
ROLL_BACK = "(stack_name: str, stack_id: str, stack: dict, operation: dict, reason_override: str = '')"
NAMES = {
    "core.responses.get_account_id": "() -> str",
    "core.responses.get_region": "() -> str",
    "services.cloudformation.changesets._RESOURCE_HANDLERS": DATA,
    "services.cloudformation.custom_resource.invoke_custom_resource": (
        "(request_type: str, logical_id: str, props: dict, stack_name: str, stack_id: str, resource_type: str, "
        "physical_id: str | None = None, old_props: dict | None = None) -> tuple"
    ),
    "services.cloudformation.handlers._roll_back_operation": ROLL_BACK,
    "services.cloudformation.provisioners._CUSTOM_NAME_REPLACEMENT": DATA,
    "services.cloudformation.provisioners._REPLACING_PROPERTIES": DATA,
    "services.cloudformation.provisioners._RESOURCE_HANDLERS": DATA,
    "services.cloudformation.provisioners._cfn_bool": "(value) -> bool",
    "services.cloudformation.provisioners._cw_metric_alarm_create": CREATE,
    "services.cloudformation.provisioners._cw_metric_alarm_record": "(name, props)",
    "services.cloudformation.provisioners._ec2_sg_permissions": "(rules)",
    "services.cloudformation.provisioners._ec2_vpc_endpoint_create": CREATE,
    "services.cloudformation.provisioners._ec_query": "(props, renames=None)",
    "services.cloudformation.provisioners._rds_call": "(fn, params, resource_type, action)",
    "services.cloudformation.provisioners._rds_db_cluster_attrs": "(cluster)",
    "services.cloudformation.provisioners._rds_db_cluster_create": CREATE,
    "services.cloudformation.provisioners._rds_db_cluster_delete": DELETE,
    "services.cloudformation.provisioners._rds_db_cluster_update": UPDATE,
    "services.cloudformation.provisioners._rds_db_instance_attrs": "(instance)",
    "services.cloudformation.provisioners._rds_db_instance_create": CREATE,
    "services.cloudformation.provisioners._rds_db_instance_delete": DELETE,
    "services.cloudformation.provisioners._rds_db_instance_update": UPDATE,
    "services.cloudformation.provisioners._sm_secret_create": CREATE,
    "services.cloudformation.stacks._roll_back_operation": ROLL_BACK,
    "services.cloudwatch._alarms": DATA,
    "services.cloudwatch._composite_alarms": DATA,
    "services.cloudwatch._delete_alarms": CLOUDWATCH_ACTION,
    "services.cloudwatch._dims_key": "(dims: dict) -> str",
    "services.cloudwatch._evaluate_alarm": "(alarm)",
    "services.cloudwatch._metric_bucket": "(key: tuple) -> list",
    "services.cloudwatch._put_composite_alarm": CLOUDWATCH_ACTION,
    "services.cloudwatch._set_alarm_state": CLOUDWATCH_ACTION,
    "services.cloudwatch._store_datum": "(namespace, name, dims, ts, unit, value, values, counts, stat_values)",
    "services.cloudwatch_logs._create_log_group": "(data)",
    "services.cloudwatch_logs._create_log_stream": "(data)",
    "services.cloudwatch_logs._put_log_events": "(data)",
    "services.ec2._security_groups": DATA,
    "services.ec2._vpc_endpoints": DATA,
    "services.rds._clusters": DATA,
    "services.rds._create_db_proxy": RDS_ACTION,
    "services.rds._db_proxies": DATA,
    "services.rds._db_proxy_endpoints": DATA,
    "services.rds._delete_db_proxy": RDS_ACTION,
    "services.rds._instances": DATA,
    "services.rds._modify_db_proxy": RDS_ACTION,
    "services.rds._modify_db_proxy_target_group": RDS_ACTION,
    "services.rds._register_db_proxy_targets": RDS_ACTION,
    "services.secretsmanager.resolve_secret_string": "(secret_id, version_stage='AWSCURRENT', version_id=None)",
    "services.sts._gen_session_token": "()",
}


@pytest.mark.parametrize("name", NAMES)
def test_ministack_has_the_name(name: str) -> None:
    module, _, attribute = name.rpartition(".")
    found = getattr(importlib.import_module(f"ministack.{module}"), attribute, None)
    hint = f"ministack {version('ministack')} changed {name}: adapt ministack_adapter.py, then this table"
    assert found is not None, hint
    assert (str(inspect.signature(found)) if inspect.isfunction(found) else DATA) == NAMES[name], hint


def test_table_lists_the_names_in_use() -> None:
    tree = ast.parse(Path(ministack_adapter.__file__).read_text(encoding="utf-8"))
    imported = {
        alias.name: f"{node.module}.{alias.name}".removeprefix("ministack.")
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("ministack")
        for alias in node.names
    }
    used = {
        f"{imported[node.value.id]}.{node.attr}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in imported
    }
    functions = {name for name in imported.values() if name.startswith("core.")}
    assert used | functions == set(NAMES)


def test_no_other_module_imports_ministack() -> None:
    """But for the ASGI application, which is public."""
    importing = {
        str(path.relative_to(ROOT))
        for folder in ("cdk_pinsafe", "tests", "examples")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([node.module or ""] if isinstance(node, ast.ImportFrom) else [one.name for one in node.names])
        if name.partition(".")[0] == "ministack" and name != "ministack.app"
    }
    assert importing == {"cdk_pinsafe/localcloud/ministack_adapter.py"}
