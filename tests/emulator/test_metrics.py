"""The counters of the emulator are consistent."""

from cdk_pinsafe.emulator import ThreadedEmulator
from cdk_pinsafe.localcloud.proxies import minute_metrics

from .test_multiplexing import Connect, run_clients
from .wire import SYNC, bind, execute, parse


def test_minute_average_covers_only_that_minute(proxy: ThreadedEmulator) -> None:
    """Earlier requests, however many, do not influence the latency of a minute."""

    async def scenario(connect: Connect) -> None:
        client = await connect()
        await client.request(parse("SELECT pg_sleep(0.001)"), *[bind() + execute()] * 200, SYNC)
        before = proxy.metrics()
        await client.run("SELECT pg_sleep(0.1)")
        minute = minute_metrics(before, proxy.metrics())
        assert minute["QueryRequests"] == 1
        for name in ("QueryResponseLatency", "QueryDatabaseResponseLatency"):
            assert minute[name] >= 100_000
        assert minute["QueryDatabaseResponseLatency"] <= minute["QueryResponseLatency"]
        silent = minute_metrics(proxy.metrics(), proxy.metrics())
        assert "QueryResponseLatency" not in silent

    run_clients(proxy, scenario)
