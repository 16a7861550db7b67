"""The account and region of each stack in the local cloud, and the runs of the CDK CLI that deploy them.

A stack with an explicit environment is deployed there, as on AWS: the CLI assumes a role of that account. The others
are deployed with the CLI's own credentials, so Stages without an environment share an account. If their stacks have the
same names, the second deployment would update the first one's stack. Such an app is deployed with other credentials for
each Stage, on AWS and in a rehearsal.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from botocore.exceptions import ClientError

from ..errors import RehearsalError
from ..localcloud.client import Account, LocalCloud
from .assembly import UNKNOWN_ACCOUNT, UNKNOWN_REGION, StackArtifact
from .cdk_cli import ALL_STACKS

__all__ = ["Deployment", "Environments", "check_deployed"]

_DEPLOYED = ("CREATE_COMPLETE", "UPDATE_COMPLETE")


@dataclass(frozen=True)
class Deployment:
    """One run of the CDK CLI.

    Attributes:
        account: the account of its credentials, and its default region.
        stacks: a pattern of hierarchical ids.
    """

    account: Account
    stacks: str


@dataclass(frozen=True)
class Environments:
    """The accounts and regions of an app.

    Attributes:
        deployments: the runs of the CLI, in order.
        by_stack: the account and region of each stack, in the order of the assembly.
    """

    deployments: tuple[Deployment, ...]
    by_stack: Mapping[StackArtifact, Account]

    @classmethod
    def from_stacks(cls, stacks: Sequence[StackArtifact]) -> "Environments":
        """Choose accounts and regions for the stacks of an app.

        Raises:
            RehearsalError: two stacks of the same name are in one account and region.
        """
        default = _only_account(stacks) or Account()
        shared = cls((Deployment(default, ALL_STACKS),), {stack: _environment(stack, default) for stack in stacks})
        if not shared._same_names():
            return shared
        taken = {stack.account for stack in stacks}
        numbers = (number for number in (f"{count:012}" for count in range(1, 10**6)) if number not in taken)
        accounts = {stage: Account(next(numbers), default.region) if stage else default for stage in _stages(stacks)}
        separate = cls(
            # An asterisk does not match a slash, so it selects the app's own stacks only.
            tuple(Deployment(account, f"{stage}/**" if stage else "*") for stage, account in accounts.items()),
            {stack: _environment(stack, accounts[stack.stage]) for stack in stacks},
        )
        if same := separate._same_names():
            name, account = same[0]
            paths = [stack.path for stack, account in separate.by_stack.items() if (stack.name, account) == same[0]]
            raise RehearsalError(
                f"the stacks {' and '.join(paths)} are both named {name} in {account.number}/{account.region}, where "
                "the second deployment would update the first: give them different names or environments"
            )
        return separate

    @property
    def accounts(self) -> tuple[Account, ...]:
        """All accounts and regions, without duplicates."""
        return tuple(dict.fromkeys(self.by_stack.values()))

    def _same_names(self) -> list[tuple[str, Account]]:
        counts = Counter((stack.name, account) for stack, account in self.by_stack.items())
        return [key for key, count in counts.items() if count > 1]


def check_deployed(cloud: LocalCloud, environments: Environments) -> list[str]:
    """Check that CloudFormation has all stacks; return their labels, in the order of the assembly.

    The list does not contain stacks without resources, which the CDK CLI does not deploy.

    Raises:
        RehearsalError: a stack does not exist, or its last deployment failed.
    """
    deployed = []
    for stack, account in environments.by_stack.items():
        status = _status(cloud, stack, account)
        if status in _DEPLOYED:
            several = len(environments.accounts) > 1
            deployed.append(f"{label(stack)} in {account.number}/{account.region}" if several else label(stack))
        elif stack.has_resources:
            raise RehearsalError(
                f"the CDK CLI reported no error, but stack {label(stack)} is {status or 'not deployed'} in "
                f"{account.number}/{account.region}"
            )
    return deployed


def label(stack: StackArtifact) -> str:
    """A stack's name in the output of the CDK CLI."""
    return stack.path if stack.path == stack.name else f"{stack.path} ({stack.name})"


def _status(cloud: LocalCloud, stack: StackArtifact, account: Account) -> str | None:
    try:
        (found,) = cloud.client("cloudformation", account).describe_stacks(StackName=stack.name)["Stacks"]
    except ClientError:
        return None
    return found["StackStatus"]


def _only_account(stacks: Sequence[StackArtifact]) -> Account | None:
    """The account that all stacks name, also used by stacks whose synthesizer assumes no role; None if they differ."""
    if len({stack.account for stack in stacks}) != 1 or stacks[0].account == UNKNOWN_ACCOUNT:
        return None
    return _environment(stacks[0], Account())


def _environment(stack: StackArtifact, default: Account) -> Account:
    return Account(
        default.number if stack.account == UNKNOWN_ACCOUNT else stack.account,
        default.region if stack.region == UNKNOWN_REGION else stack.region,
    )


def _stages(stacks: Iterable[StackArtifact]) -> list[str]:
    return list(dict.fromkeys(stack.stage for stack in stacks))
