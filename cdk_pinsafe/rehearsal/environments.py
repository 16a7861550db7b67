"""Which account and region of the local cloud each stack is deployed to, and by which runs of the CDK CLI.

A stack with an explicit environment is deployed there, as on AWS: the CLI assumes a role of that account. The others
are deployed with the credentials that the CLI runs with, so Stages without an environment share an account, unless
their stacks have the same names: there CloudFormation would take the second deployment for an update of the first.
People who write such an app deploy each Stage with other credentials, and so does a rehearsal.
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
        account: whose credentials it has, and its default region.
        stacks: the pattern of the hierarchical ids that it selects.
    """

    account: Account
    stacks: str


@dataclass(frozen=True)
class Environments:
    """Where the stacks of an app are deployed.

    Attributes:
        deployments: the runs of the CLI, in order.
        by_stack: account and region of each stack, in the order of the assembly.
    """

    deployments: tuple[Deployment, ...]
    by_stack: Mapping[StackArtifact, Account]

    @classmethod
    def of(cls, stacks: Sequence[StackArtifact]) -> "Environments":
        """Decide for the stacks of an app.

        Raises:
            RehearsalError: two stacks of the same name are in one account and region.
        """
        default = _only_account(stacks) or Account()
        together = cls((Deployment(default, ALL_STACKS),), {stack: _place(stack, default) for stack in stacks})
        if not together._same_names():
            return together
        taken = {stack.account for stack in stacks}
        numbers = (number for number in (f"{count:012}" for count in range(1, 10**6)) if number not in taken)
        accounts = {stage: Account(next(numbers), default.region) if stage else default for stage in _stages(stacks)}
        apart = cls(
            # An asterisk does not match a slash: it selects the stacks of the app itself.
            tuple(Deployment(account, f"{stage}/**" if stage else "*") for stage, account in accounts.items()),
            {stack: _place(stack, accounts[stack.stage]) for stack in stacks},
        )
        if same := apart._same_names():
            name, account = same[0]
            paths = [stack.path for stack, place in apart.by_stack.items() if (stack.name, place) == same[0]]
            raise RehearsalError(
                f"the stacks {' and '.join(paths)} are both named {name} in {account.number}/{account.region}, where "
                "the second deployment would be an update of the first: give them different names or environments"
            )
        return apart

    @property
    def accounts(self) -> tuple[Account, ...]:
        """Every account and region that a stack is deployed to, once."""
        return tuple(dict.fromkeys(self.by_stack.values()))

    def _same_names(self) -> list[tuple[str, Account]]:
        counts = Counter((stack.name, place) for stack, place in self.by_stack.items())
        return [key for key, count in counts.items() if count > 1]


def check_deployed(cloud: LocalCloud, environments: Environments) -> list[str]:
    """Compare with what CloudFormation has; return the labels of the deployed stacks, in the order of the assembly.

    A stack without resources is not deployed by the CDK CLI, and not in the list.

    Raises:
        RehearsalError: a stack is not there, or its last deployment did not succeed.
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
    """A stack as the CDK CLI names it."""
    return stack.path if stack.path == stack.name else f"{stack.path} ({stack.name})"


def _status(cloud: LocalCloud, stack: StackArtifact, account: Account) -> str | None:
    try:
        (found,) = cloud.client("cloudformation", account).describe_stacks(StackName=stack.name)["Stacks"]
    except ClientError:
        return None
    return found["StackStatus"]


def _only_account(stacks: Sequence[StackArtifact]) -> Account | None:
    """The one account that all stacks name, which also serves where the CLI assumes no role (`CliCredentials…`)."""
    if len({stack.account for stack in stacks}) != 1 or stacks[0].account == UNKNOWN_ACCOUNT:
        return None
    return _place(stacks[0], Account())


def _place(stack: StackArtifact, default: Account) -> Account:
    return Account(
        default.number if stack.account == UNKNOWN_ACCOUNT else stack.account,
        default.region if stack.region == UNKNOWN_REGION else stack.region,
    )


def _stages(stacks: Iterable[StackArtifact]) -> list[str]:
    return list(dict.fromkeys(stack.stage for stack in stacks))
