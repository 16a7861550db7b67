"""What a stand-in counts adds up."""

from cdk_pinsafe.emulator import RunningStandIn
from cdk_pinsafe.rehearsal.proxies import over_a_minute

from .test_multiplexing import Connect, serve
from .wire import SYNC, bind, execute, parse


def test_an_average_over_a_minute_is_of_that_minutes_answers(proxy: RunningStandIn) -> None:
    """However many requests were answered together before, a minute's latency is that of the answers in it."""

    async def story(connect: Connect) -> None:
        client = await connect()
        await client.ask(parse("SELECT pg_sleep(0.001)"), *[bind() + execute()] * 200, SYNC)
        before = proxy.metrics()
        await client.run("SELECT pg_sleep(0.1)")
        minute = over_a_minute(before, proxy.metrics())
        assert minute["QueryRequests"] == 1
        for name in ("QueryResponseLatency", "QueryDatabaseResponseLatency"):
            assert minute[name] >= 100_000
        assert minute["QueryDatabaseResponseLatency"] <= minute["QueryResponseLatency"]
        silent = over_a_minute(proxy.metrics(), proxy.metrics())
        assert "QueryResponseLatency" not in silent

    serve(proxy, story)
