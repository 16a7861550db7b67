"""`Environments`: the account and region of each stack."""

import pytest

from cdk_pinsafe.errors import RehearsalError
from cdk_pinsafe.localcloud.client import Account
from cdk_pinsafe.rehearsal.assembly import UNKNOWN_ACCOUNT, UNKNOWN_REGION, StackArtifact
from cdk_pinsafe.rehearsal.environments import Deployment, Environments

ANYWHERE = (UNKNOWN_ACCOUNT, UNKNOWN_REGION)
DEFAULT = Account()


def stack(path: str, name: str, account: str = UNKNOWN_ACCOUNT, region: str = UNKNOWN_REGION) -> StackArtifact:
    return StackArtifact(path, name, account, region, has_resources=True)


def places(environments: Environments) -> dict[str, tuple[str, str]]:
    return {stack.path: (place.number, place.region) for stack, place in environments.by_stack.items()}


def test_different_names_need_one_run() -> None:
    """Explicit accounts and regions are kept; missing ones are the CLI's."""
    stacks = [
        stack("Plain", "Plain"),
        stack("Dev/Chat", "Chat", "111111111111", "eu-west-1"),
        stack("Prod/Chat", "Chat", "222222222222", "eu-west-1"),
        stack("Prod/Far", "Far", UNKNOWN_ACCOUNT, "us-west-2"),
    ]
    environments = Environments.from_stacks(stacks)
    assert environments.deployments == (Deployment(DEFAULT, "**"),)
    assert places(environments) == {
        "Plain": ("000000000000", "us-east-1"),
        "Dev/Chat": ("111111111111", "eu-west-1"),
        "Prod/Chat": ("222222222222", "eu-west-1"),
        "Prod/Far": ("000000000000", "us-west-2"),
    }
    assert len(environments.accounts) == 4


def test_only_account_is_the_cli_account() -> None:
    stacks = [stack("One", "One", "111111111111", "eu-west-1"), stack("Two", "Two", "111111111111", "us-east-1")]
    environments = Environments.from_stacks(stacks)
    assert environments.deployments == (Deployment(Account("111111111111", "eu-west-1"), "**"),)
    assert environments.accounts == (Account("111111111111", "eu-west-1"), Account("111111111111", "us-east-1"))


def test_stages_with_same_names_get_own_accounts() -> None:
    """They are not accounts that the app names."""
    stacks = [
        stack("Plain", "Plain"),
        stack("Dev/Chat", "Chat"),
        stack("Prod/Chat", "Chat"),
        stack("Prod/Deep/Chat", "DeepChat"),
        stack("Prod/Fixed", "Fixed", "000000000001", "eu-west-1"),
    ]
    environments = Environments.from_stacks(stacks)
    assert environments.deployments == (
        Deployment(DEFAULT, "*"),
        Deployment(Account("000000000002"), "Dev/**"),
        Deployment(Account("000000000003"), "Prod/**"),
    )
    assert places(environments) == {
        "Plain": ("000000000000", "us-east-1"),
        "Dev/Chat": ("000000000002", "us-east-1"),
        "Prod/Chat": ("000000000003", "us-east-1"),
        "Prod/Deep/Chat": ("000000000003", "us-east-1"),
        "Prod/Fixed": ("000000000001", "eu-west-1"),
    }


@pytest.mark.parametrize(
    "stacks",
    [
        [
            stack("Dev/Chat", "Chat", "111111111111", "eu-west-1"),
            stack("Prod/Chat", "Chat", "111111111111", "eu-west-1"),
        ],
        [stack("One", "Chat"), stack("Two", "Chat")],
        [stack("Prod/One", "Chat"), stack("Prod/Inner/Two", "Chat")],
    ],
)
def test_same_name_in_one_environment_is_rejected(stacks: list[StackArtifact]) -> None:
    with pytest.raises(
        RehearsalError, match=rf"{stacks[0].path} and {stacks[1].path} are both named Chat in \d{{12}}/"
    ):
        Environments.from_stacks(stacks)
