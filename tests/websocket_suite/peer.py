"""The client that runs cases, one connection for each: Autobahn's, which the cases steer."""

import time
from collections.abc import Iterable, Iterator
from typing import Any

import txaio
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol, connectWS
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet import reactor as _reactor

from tests.websocket_suite.cases import Case, number
from tests.websocket_suite.octets import octets
from tests.websocket_suite.verdict import Verdict

__all__ = ["run"]

txaio.use_twisted()
reactor: Any = _reactor

#: The cases whose own strings are bytes.
_BYTES = ("12.", "13.")


class _Peer(WebSocketClientProtocol):  # type: ignore[misc]  # the module has no types
    """One connection; the case knows it by the names of the suite's own base class."""

    createWirelog = False
    connectionWasOpen = False
    trafficStats = None

    def __init__(self, factory: "_Factory", case: type[Case]) -> None:
        super().__init__()
        self.factory = factory
        self.txFrameStats: dict[int, int] = {}
        self.rxFrameStats: dict[int, int] = {}
        self.began = time.monotonic()
        self.number = number(case)
        self._is_bytes = self.number.startswith(_BYTES)
        self.case: Case = case(self)

    def _own(self, data: bytes) -> str | bytes:
        return data if self._is_bytes else data.decode("latin-1")

    # What the connection sees

    def onOpen(self) -> None:  # noqa: N802
        self.connectionWasOpen = True
        self.case.onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:  # noqa: N802, N803
        self.case.onMessage(self._own(payload), isBinary)

    def onPing(self, payload: bytes) -> None:  # noqa: N802
        self.case.onPing(self._own(payload))

    def onPong(self, payload: bytes) -> None:  # noqa: N802
        self.case.onPong(self._own(payload))

    def onClose(self, *closing: Any) -> None:  # noqa: N802
        self.case.onClose(*closing)

    def connectionLost(self, reason: Any) -> None:  # noqa: N802
        super().connectionLost(reason)
        case = self.case
        try:
            case.onConnectionLost(self.failedByMe)
        except Exception as error:
            case.behavior, case.result = "ERROR", repr(error)
        seconds = time.monotonic() - self.began
        verdict = Verdict(case.behavior, case.behaviorClose, case.result, seconds)
        self.factory.finished(self.number, verdict)

    # What the case has it do

    def sendFrame(self, opcode: int, payload: Any = b"", **options: Any) -> None:  # noqa: N802
        super().sendFrame(opcode, octets(payload), **options)

    def sendMessage(self, payload: Any, isBinary: bool = False, **options: Any) -> None:  # noqa: N802, N803
        super().sendMessage(octets(payload), isBinary, **options)

    def sendMessageFrameData(self, payload: Any, sync: bool = False) -> Any:  # noqa: N802
        return super().sendMessageFrameData(octets(payload), sync)

    def sendCloseFrame(  # noqa: N802
        self,
        code: int | None = None,
        reasonUtf8: Any = None,
        isReply: bool = False,  # noqa: N803
    ) -> None:
        super().sendCloseFrame(code, octets(reasonUtf8), isReply)

    def continueLater(self, delay: float, action: Any, tag: Any = None) -> None:  # noqa: N802
        def act() -> None:
            if self.state != WebSocketProtocol.STATE_CLOSED:
                action()

        reactor.callLater(delay, act)

    def closeAfter(self, delay: float) -> None:  # noqa: N802
        self.continueLater(delay, self.sendClose)

    def killAfter(self, delay: float) -> None:  # noqa: N802
        self.continueLater(delay, lambda: self._fail_connection())

    # Statistics

    def logTxFrame(self, header: Any, *rest: Any) -> None:  # noqa: N802
        count = self.txFrameStats.get(header.opcode, 0)
        self.txFrameStats[header.opcode] = count + 1

    def logRxFrame(self, *arguments: Any) -> None: ...  # noqa: N802

    def logRxOctets(self, *arguments: Any) -> None: ...  # noqa: N802

    def logTxOctets(self, *arguments: Any) -> None: ...  # noqa: N802

    def enableWirelog(self, enable: bool) -> None: ...  # noqa: N802


class _Factory(WebSocketClientFactory):  # type: ignore[misc]  # the module has no types
    """Makes the connections of some cases, one after the other."""

    def __init__(self, url: str, cases: Iterator[type[Case]], done: Any) -> None:
        super().__init__(url)
        self.setProtocolOptions(failByDrop=False)
        self.logFrames = True  # a case counts them
        self.verdicts: dict[str, Verdict] = {}
        self._cases = cases
        self._done = done

    def begin(self) -> None:
        """Run the next case."""
        case = next(self._cases, None)
        if case is None:
            self._done()
            return
        self._case = case
        connectWS(self)

    def buildProtocol(self, address: Any) -> _Peer:  # noqa: N802
        return _Peer(self, self._case)

    def clientConnectionFailed(self, connector: Any, reason: Any) -> None:  # noqa: N802
        self.finished(number(self._case), Verdict("ERROR", "FAILED", str(reason.value), 0.0))

    def finished(self, case: str, verdict: Verdict) -> None:
        """Keep the verdict, and go on."""
        self.verdicts[case] = verdict
        reactor.callLater(0, self.begin)


def run(url: str, cases: Iterable[type[Case]]) -> dict[str, Verdict]:
    """Run cases against the server at ``url``; verdicts by number."""
    factory = _Factory(url, iter(cases), reactor.stop)
    reactor.callWhenRunning(factory.begin)
    reactor.run()
    return factory.verdicts
