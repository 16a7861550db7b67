"""The rules: what each finds, why it is bad, what to do instead, the evidence, and two examples.

The examples are Python code of a CDK app, which the tests run: ``bad`` breaks only this rule, ``good`` breaks none.
They can use ``stack``, ``vpc``, ``database``, ``safe`` (a :class:`PinSafeProxy` that breaks no rule) and CDK's modules.

If only the deployment knows a value, a rule assumes that the value is right.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...pinning.conditions import Evidence
from ...pinning.remedies import harmful, movable
from ...rds_proxy import LOG_GROUP_PREFIX, log_group_name
from ...settings import DENIED
from ...settings.catalogue import Suits
from ..checks import DUMMY_VPC_ID
from . import alarms
from .templates import Resource, Templates, as_bool, as_number, is_known, together
from .topics import Topics

PROXY: Final = "AWS::RDS::DBProxy"
TARGET_GROUP: Final = "AWS::RDS::DBProxyTargetGroup"
_POOL: Final = "ConnectionPoolConfigurationInfo"
_LOG_GROUPS: Final = ("AWS::Logs::LogGroup", "Custom::LogRetention")


@dataclass(frozen=True)
class Finding:
    """A place where a rule is broken.

    Attributes:
        resource: the resource.
        location: path of the property, such as ``Properties/RequireTLS``.
        detail: what was found.
    """

    resource: Resource
    location: str
    detail: str


@dataclass(frozen=True)
class Rule:
    """A rule.

    Attributes:
        id: name of the rule, which is acknowledged as ``PinSafe::<id>``.
        severity: an ``error`` fails the synth, a ``warning`` is shown.
        finds: what breaks the rule.
        why: why that is bad.
        instead: what to do.
        evidence: how well ``why`` is known.
        bad: an example that breaks the rule.
        good: the corrected example.
        find: finds the places in an app that break the rule.
    """

    id: str
    severity: Literal["error", "warning"]
    finds: str
    why: str
    instead: str
    evidence: Evidence
    bad: str
    good: str
    find: Callable[[Templates], Iterator[Finding]]


def _proxies(app: Templates) -> Iterator[tuple[Resource, str]]:
    """The PostgreSQL proxies with their names."""
    for proxy in app.resources(PROXY):
        if proxy.get("EngineFamily") == "POSTGRESQL":
            yield proxy, proxy.text("DBProxyName") or proxy.template.text({"Ref": proxy.logical_id})


def _pools(app: Templates) -> Iterator[tuple[Resource, str]]:
    """The target groups of PostgreSQL proxies, with the location of their pool's configuration."""
    proxies = list(_proxies(app))
    for group in app.resources(TARGET_GROUP):
        name = group.text("DBProxyName")
        if any(name == other and together(group, proxy) for proxy, other in proxies):
            yield group, f"Properties/{_POOL}"


def _pinning_filters(app: Templates) -> Iterator[Finding]:
    for group, location in _pools(app):
        if filters := group.get(_POOL, "SessionPinningFilters"):
            known = isinstance(filters, list) and all(isinstance(one, str) for one in filters)
            listed = ", ".join(filters) if known else "decided at deployment"
            yield Finding(group, f"{location}/SessionPinningFilters", f"the filters are {listed}")


_SET: Final = re.compile(
    r"""
    (?: \s | --[^\n]*(?:\n|\Z) | /\*.*?\*/ )*+
    SET \s+ (?: SESSION \s+ (?!CHARACTERISTICS\b) )?
    (?: (?P<timezone> TIME\s+ZONE\b ) | (?P<client_encoding> NAMES\b )
      | (?P<default_transaction_isolation> SESSION \s+ CHARACTERISTICS \s.*? \bISOLATION\b )
      | (?P<default_transaction_read_only> SESSION \s+ CHARACTERISTICS \s.*? \bREAD \s+ (?:ONLY|WRITE)\b )
      | (?P<name> [\w.]+ | \"[^\"]+\" ) \s* (?: = | \bTO\b ) \s* (?P<value> [^\s,]+ | '[^']*' )? )""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)


def _init_query(app: Templates) -> Iterator[Finding]:
    for group, location in _pools(app):
        query = group.text(_POOL, "InitQuery") or ""
        # Not parsed, because PostgreSQL's parser is not in the base install: a SET at the start of a statement
        # suffices.
        found = [match for match in map(_SET.match, query.split(";")) if match]
        names = [match["name"].strip('"') if match["name"] else str(match.lastgroup) for match in found]
        values = [(match["value"] or "").strip("'") or None for match in found]
        known = {name: value for name, value in zip(names, values, strict=True) if is_known(name)}
        if settable := [name for name, value in known.items() if movable(name, value)]:
            yield Finding(group, f"{location}/InitQuery", f"it sets {', '.join(settable)}")
        for name, value in known.items():
            against = None if name.lower() in DENIED else harmful(name.lower(), value)
            if against is not None and against.suits is not Suits.ONE_SESSION:
                detail = f"it sets {name}, which harms other sessions: {against.reason}"
                yield Finding(group, f"{location}/InitQuery", detail)


def _no_pinning_alarm(app: Templates) -> Iterator[Finding]:
    watching = [
        (alarm, alarms.proxy_name(alarm, metric))
        for alarm in app.resources("AWS::CloudWatch::Alarm")
        for metric in alarms.pinned_metrics(alarm)
    ]
    everywhere = [alarm for alarm in app.resources("AWS::CloudWatch::Alarm") if alarms.watches_all(alarm)]
    proxies = list(_proxies(app))
    names = {name for _, name in proxies}
    for proxy, name in proxies:
        # An alarm on a name that only the deployment knows may be this proxy's.
        watched = any(
            together(proxy, alarm) and (other == name or (other and other not in names and not is_known(other)))
            for alarm, other in watching
        )
        if not watched and not any(together(proxy, alarm) for alarm in everywhere):
            yield Finding(proxy, "Properties/DBProxyName", "no alarm goes off when clients pin its connections")


def _pinning_alarm(app: Templates) -> Iterator[Finding]:
    others = [proxy for proxy in app.resources(PROXY) if proxy.get("EngineFamily") not in (None, "POSTGRESQL")]
    for alarm in app.resources("AWS::CloudWatch::Alarm"):
        for metric in alarms.pinned_metrics(alarm):
            name = alarms.proxy_name(alarm, metric)
            if any(name == proxy.text("DBProxyName") and together(alarm, proxy) for proxy in others):
                continue
            for location, detail in alarms.faults(alarm, metric):
                yield Finding(alarm, location, detail)


def _filled_alarm(app: Templates) -> Iterator[Finding]:
    for alarm in app.resources("AWS::CloudWatch::Alarm"):
        if fault := alarms.fill_fault(alarm):
            yield Finding(alarm, "Properties/DatapointsToAlarm", fault)


def _alarm_topic(app: Templates) -> Iterator[Finding]:
    topics = Topics(app)
    for topic, notifying in topics.notified():
        silent = [(alarm, policy) for alarm in notifying if (policy := topics.refusing(topic, alarm))]
        if silent:
            alarm, policy = silent[0]
            detail = f"{_counted(alarm, silent)} may not publish to {topic.logical_id}"
            yield Finding(policy, "Properties/PolicyDocument", detail)


def _alarm_topic_key(app: Templates) -> Iterator[Finding]:
    topics = Topics(app)
    for topic, notifying in topics.notified():
        silent = [(alarm, fault) for alarm in notifying if (fault := topics.unusable_key(topic, alarm))]
        if silent:
            alarm, fault = silent[0]
            yield Finding(topic, "Properties/KmsMasterKeyId", f"{fault}, and {_counted(alarm, silent)} may not publish")


def _counted(first: Resource, all_: Sequence[object]) -> str:
    others = len(all_) - 1
    return first.logical_id + (f" and {others} other{'s' if others > 1 else ''}" if others else "")


_CALLERS: Final = ("AWS::Scheduler::Schedule", "AWS::StepFunctions::StateMachine", "AWS::Events::Rule")
"""Resources that can call RDS; a rule does by the function of CDK's ``targets.AwsApi``."""


def _debug_logging(app: Templates) -> Iterator[Finding]:
    calls = [
        (caller, text)
        for caller in app.resources(*_CALLERS)
        for text in [" ".join(caller.template.text(value) for value in _leaves(caller.properties))]
        if "modifydbproxy" in text.lower()
    ]
    for proxy, name in _proxies(app):
        called = re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])")
        renewed = any(called.search(text) and together(proxy, caller) for caller, text in calls)
        if as_bool(proxy.get("DebugLogging")) and not renewed:
            yield Finding(proxy, "Properties/DebugLogging", "nothing in the app calls rds:ModifyDBProxy to renew it")


def _leaves(properties: object) -> Iterator[object]:
    """The values in properties that are each one text for CloudFormation, in their order."""
    waiting = [properties]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict) and not any(name == "Ref" or name.startswith("Fn::") for name in value):
            waiting.extend(reversed(value.values()))
        elif isinstance(value, list):
            waiting.extend(reversed(value))
        else:
            yield value


def _require_tls(app: Templates) -> Iterator[Finding]:
    for proxy, _ in _proxies(app):
        required = proxy.get("RequireTLS")
        if required is None or as_bool(required) is False:
            yield Finding(proxy, "Properties/RequireTLS", "clients may connect without TLS")


def _log_group(app: Templates) -> Iterator[Finding]:
    groups = [(group, group.text("LogGroupName")) for group in app.resources(*_LOG_GROUPS)]
    for proxy, name in _proxies(app):
        own = [group for group, text in groups if text == log_group_name(name) and together(proxy, group)]
        unknown = any(text and text.startswith(LOG_GROUP_PREFIX) and not is_known(text) for _, text in groups)
        if not own:
            if not unknown:
                yield Finding(
                    proxy, "Properties/DBProxyName", f"the app has no log group {log_group_name(_shown(name))}"
                )
            continue
        group = own[0]
        if group.get("RetentionInDays") is None:
            yield Finding(group, "Properties/RetentionInDays", "the proxy's log group never expires")
        is_retention = group.type == "Custom::LogRetention"
        if not is_retention and group.template is proxy.template and group.logical_id not in proxy.depends_on:
            by_reference = not isinstance(group.get("LogGroupName"), str)
            reason = (
                "its log group has a name that refers to the proxy, so RDS may create the group first"
                if by_reference
                else "it does not depend on its log group, so RDS may create the group first"
            )
            yield Finding(proxy, "DependsOn", reason)


def _shown(name: str) -> str:
    return name if is_known(name) else "<its name>"


def _borrow_timeout(app: Templates) -> Iterator[Finding]:
    for group, location in _pools(app):
        if as_number(group.get(_POOL, "ConnectionBorrowTimeout")) == 0:
            yield Finding(group, f"{location}/ConnectionBorrowTimeout", "the borrow timeout is 0")


def _idle_over_max(app: Templates) -> Iterator[Finding]:
    for group, location in _pools(app):
        most = group.get(_POOL, "MaxConnectionsPercent")
        idle = as_number(group.get(_POOL, "MaxIdleConnectionsPercent"))
        limit = as_number(most)
        location = f"{location}/MaxIdleConnectionsPercent"
        if idle is not None and most is None:
            yield Finding(group, location, f"{idle:g} percent may be idle, and MaxConnectionsPercent is not given")
        elif idle is not None and limit is not None and idle > limit:
            yield Finding(group, location, f"{idle:g} percent may be idle, and {limit:g} be open")


def _private_dns(app: Templates) -> Iterator[Finding]:
    first: dict[tuple[str, str], list[Resource]] = {}
    for endpoint in app.resources("AWS::EC2::VPCEndpoint"):
        vpc, service = endpoint.text("VpcId"), endpoint.text("ServiceName")
        # All VPCs that CDK has not looked up yet have the same id.
        if not vpc or not service or vpc == DUMMY_VPC_ID or as_bool(endpoint.get("PrivateDnsEnabled")) is not True:
            continue
        others = first.setdefault((vpc, service), [])
        # If both have different conditions, perhaps only one is created.
        both = [
            other
            for other in others
            if together(endpoint, other)
            and (other.condition == endpoint.condition or None in (other.condition, endpoint.condition))
        ]
        if both:
            found = f"its VPC already has {both[0].logical_id} for {_service(service)}"
            yield Finding(endpoint, "Properties/PrivateDnsEnabled", found)
        others.append(endpoint)


def _service(name: str) -> str:
    return name.rpartition(".")[2] if is_known(name.rpartition(".")[2]) else "the same service"


_RATIO_ALARM: Final = (
    "cloudwatch.MathExpression(expression='{}', period=Duration.minutes(1), "
    "using_metrics={{'pinned': safe.metric_pinned(), 'held': safe.metric_database_connections()}})"
    ".create_alarm(stack, 'Alarm', threshold=50, {}, treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING)"
)
_NOTIFY: Final = (
    "cloudwatch.Metric(namespace='AWS/RDS', metric_name='CPUUtilization')"
    ".create_alarm(stack, 'Alarm', threshold=90, evaluation_periods=3)"
    ".add_alarm_action(actions.SnsAction(topic))"
)
_PLAIN_PROXY: Final = (
    "proxy = rds.DatabaseProxy(stack, 'Proxy', db_proxy_name='plain', vpc=vpc, secrets=[database.secret], "
    "proxy_target=rds.ProxyTarget.from_instance(database))\n"
    "PinningAlarms(stack, 'Alarms', proxy=proxy)"
)

_DEBUG_LOGGING: Final = _PLAIN_PROXY.replace("vpc=vpc", "vpc=vpc, debug_logging=True") + (
    "\nproxy.node.add_dependency(logs.LogGroup(stack, 'LogGroup', log_group_name='/aws/rds/proxy/plain'))"
)

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        id="SessionPinningFilters",
        severity="error",
        finds="a proxy with session pinning filters",
        why="RDS takes them for MySQL only; for PostgreSQL they are an error",
        instead="leave them out; set the parameters in the database with DatabaseSettings, and take the SET out of the "
        "client",
        evidence=Evidence.DOCUMENTED,
        bad="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'sessionPinningFilters': ['EXCLUDE_VARIABLE_SETS']})",
        good="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default')",
        find=_pinning_filters,
    ),
    Rule(
        id="InitQuery",
        severity="warning",
        finds="a proxy whose initialization query sets what a database can set",
        why="clients still send their own SETs, which pin, and a client's RESET ALL or DISCARD ALL undoes it",
        instead="set it in the database with DatabaseSettings, or for one role by its role_settings",
        evidence=Evidence.LOCAL,
        bad="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'initQuery': \"SET timezone = 'UTC'\"})",
        good="DatabaseSettings(stack, 'Settings', database=database, vpc=vpc, database_name='app', "
        "settings={'timezone': 'UTC'})",
        find=_init_query,
    ),
    Rule(
        id="NoPinningAlarm",
        severity="error",
        finds="a proxy without an alarm on DatabaseConnectionsCurrentlySessionPinned",
        why="nobody notices pins: the proxy still works, but does not pool",
        instead="add PinningAlarms with the proxy or its name, or an alarm of your own on the metric",
        evidence=Evidence.DOCUMENTED,
        bad="PinSafeProxy(stack, 'Proxy', target=database, vpc=vpc)",
        good="proxy = PinSafeProxy(stack, 'Proxy', target=database, vpc=vpc)\n"
        "PinningAlarms(stack, 'Alarms', proxy=proxy)",
        find=_no_pinning_alarm,
    ),
    Rule(
        id="PinningAlarm",
        severity="error",
        finds="an alarm on that metric with a period other than 60 seconds, a statistic other than Sum, dimensions "
        "that RDS does not publish, or missing data that does not count as good",
        why="each node of a proxy publishes once a minute, by the dimension ProxyName, and nothing while nothing is "
        "pinned: such an alarm counts wrongly, never goes off, or never ends",
        instead="use PinningAlarms, or proxy.metric_pinned() with TreatMissingData.NOT_BREACHING",
        evidence=Evidence.INFERRED,
        bad="cloudwatch.Metric(namespace='AWS/RDS', metric_name='DatabaseConnectionsCurrentlySessionPinned', "
        "dimensions_map={'ProxyName': 'orders'}, statistic='Sum', period=Duration.minutes(1))"
        ".create_alarm(stack, 'Alarm', threshold=5, evaluation_periods=5)",
        good="safe.metric_pinned().create_alarm(stack, 'Alarm', threshold=5, evaluation_periods=5, "
        "treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING)",
        find=_pinning_alarm,
    ),
    Rule(
        id="FilledAlarm",
        severity="warning",
        finds="an alarm on RDS's metrics that fills missing values by FILL, and needs the newest minutes to breach",
        why="RDS's metrics come two to three minutes late, and until then the newest values are the filler: the alarm "
        "may never go off, or never end",
        instead="leave FILL out, as in 100 * part / whole, where a missing value counts as 0; and let "
        "DatapointsToAlarm be two fewer than EvaluationPeriods",
        evidence=Evidence.DOCUMENTED,
        bad=_RATIO_ALARM.format("100 * FILL(pinned, 0) / held", "evaluation_periods=5"),
        good=_RATIO_ALARM.format("100 * pinned / held", "evaluation_periods=7, datapoints_to_alarm=5"),
        find=_filled_alarm,
    ),
    Rule(
        id="AlarmTopic",
        severity="error",
        finds="a topic that alarms of the app notify, and whose policy does not allow CloudWatch to publish",
        why="a topic's own policy replaces SNS's default, which allows the account's alarms to publish, and a policy "
        "that only denies, as enforce_ssl creates, allows nothing: the alarm goes off and nobody is notified",
        instead="allow sns:Publish to the service cloudwatch.amazonaws.com in the topic's policy, with the condition "
        "aws:SourceAccount",
        evidence=Evidence.DOCUMENTED,
        bad=f"topic = sns.Topic(stack, 'Topic', enforce_ssl=True)\n{_NOTIFY}",
        good=f"topic = sns.Topic(stack, 'Topic', enforce_ssl=True)\n{_NOTIFY}\n"
        "topic.add_to_resource_policy(iam.PolicyStatement(actions=['sns:Publish'], resources=[topic.topic_arn], "
        "principals=[iam.ServicePrincipal('cloudwatch.amazonaws.com')], "
        "conditions={'StringEquals': {'aws:SourceAccount': stack.account}}))",
        find=_alarm_topic,
    ),
    Rule(
        id="AlarmTopicKey",
        severity="error",
        finds="a topic that alarms of the app notify, and whose key CloudWatch cannot use",
        why="CloudWatch encrypts what it publishes with the topic's key: no other service can use alias/aws/sns, and "
        "your own key can be used only by those that its policy names; the alarm goes off and nobody is notified",
        instead="encrypt the topic with a key of your own, and allow kms:Decrypt and kms:GenerateDataKey* to the "
        "service cloudwatch.amazonaws.com in its policy",
        evidence=Evidence.DOCUMENTED,
        bad=f"topic = sns.Topic(stack, 'Topic', master_key=kms.Key(stack, 'Key'))\n{_NOTIFY}",
        good=f"key = kms.Key(stack, 'Key')\ntopic = sns.Topic(stack, 'Topic', master_key=key)\n{_NOTIFY}\n"
        "key.add_to_resource_policy(iam.PolicyStatement(actions=['kms:Decrypt', 'kms:GenerateDataKey*'], "
        "resources=['*'], principals=[iam.ServicePrincipal('cloudwatch.amazonaws.com')]))",
        find=_alarm_topic_key,
    ),
    Rule(
        id="DebugLogging",
        severity="warning",
        finds="a proxy with DebugLogging that nothing renews",
        why="AWS switches it off 24 hours after activation, while the template still has it on",
        instead="add an EnhancedLoggingRenewal for the proxy, as PinSafeProxy does by default; or leave "
        "DebugLogging out, and let an EnhancedLoggingOnAlarm switch it on when pins set an alarm off",
        evidence=Evidence.DOCUMENTED,
        bad=_DEBUG_LOGGING,
        good=f"{_DEBUG_LOGGING}\nEnhancedLoggingRenewal(stack, 'Logging', proxy=proxy)",
        find=_debug_logging,
    ),
    Rule(
        id="RequireTls",
        severity="error",
        finds="a proxy that does not require TLS",
        why="clients may send passwords and rows unencrypted; CloudFormation's default is not to require TLS",
        instead="set RequireTLS, as PinSafeProxy and CDK's rds.DatabaseProxy do by default",
        evidence=Evidence.DOCUMENTED,
        bad="safe.proxy.node.default_child.add_property_override('RequireTLS', False)",
        good="safe.proxy.node.default_child.add_property_override('RequireTLS', True)",
        find=_require_tls,
    ),
    Rule(
        id="LogGroup",
        severity="warning",
        finds="a proxy without a log group in the app that has its name and an expiry and is created before it",
        why="otherwise RDS creates the group, without an expiry or tags",
        instead="use PinSafeProxy; or define the log group /aws/rds/proxy/<name> with a retention, and let the proxy "
        "depend on it. Write the name as a literal: with a reference to the proxy, the dependency would be a cycle. "
        "For a proxy that is deployed, RDS has created the group: import it with cdk import, delete it first, or use "
        "CDK's logs.LogRetention, which works in all of these cases",
        evidence=Evidence.DOCUMENTED,
        bad=_PLAIN_PROXY,
        good=f"{_PLAIN_PROXY}\n"
        "proxy.node.add_dependency(logs.LogGroup(stack, 'LogGroup', log_group_name='/aws/rds/proxy/plain'))",
        find=_log_group,
    ),
    Rule(
        id="BorrowTimeout",
        severity="warning",
        finds="a proxy with a borrow timeout of 0",
        why="a client fails at once if no connection is free, instead of waiting for a moment",
        instead="leave it at RDS's default of 120 seconds, or give it a few seconds",
        evidence=Evidence.DOCUMENTED,
        bad="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'connectionBorrowTimeout': 0})",
        good="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'connectionBorrowTimeout': 5})",
        find=_borrow_timeout,
    ),
    Rule(
        id="IdleOverMax",
        severity="error",
        finds="a proxy with MaxIdleConnectionsPercent over, or without, MaxConnectionsPercent",
        why="RDS refuses it at deployment",
        instead="give both, with the idle ones as the smaller share",
        evidence=Evidence.DOCUMENTED,
        bad="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'maxConnectionsPercent': 10, 'maxIdleConnectionsPercent': 90})",
        good="rds.CfnDBProxyTargetGroup(stack, 'Group', db_proxy_name=safe.db_proxy_name, target_group_name='default', "
        "connection_pool_configuration_info={'maxConnectionsPercent': 90, 'maxIdleConnectionsPercent': 10})",
        find=_idle_over_max,
    ),
    Rule(
        id="PrivateDnsConflict",
        severity="error",
        finds="two interface endpoints of one service with private DNS in one VPC",
        why="AWS refuses the second, since the service's domain exists in that VPC, and the deployment fails",
        instead="keep one of them, or give the others private_dns_enabled=False",
        evidence=Evidence.MEASURED,
        bad="for name in ('One', 'Two'):\n"
        "    vpc.add_interface_endpoint(name, service=ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER)",
        good="service = ec2.InterfaceVpcEndpointAwsService.SECRETS_MANAGER\n"
        "vpc.add_interface_endpoint('One', service=service)\n"
        "vpc.add_interface_endpoint('Two', service=service, private_dns_enabled=False)",
        find=_private_dns,
    ),
)
