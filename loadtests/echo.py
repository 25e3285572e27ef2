"""The yardstick: the hub's own codec, connection and session, and nothing behind them.

``python -m loadtests.echo PORT`` accepts any bind and answers each submit_sm as soon as it was decoded. What the hub
adds to this (route, journal, dispatch, the way out) is what the ratio in ``loadtests.bench`` shows.
"""

from __future__ import annotations

import gc
import sys

import trio

from smpp.pdu import PDU, SubmitSm, SubmitSmResp
from smpp.server import BindRequest, Grant, serve
from smpp.session import Options, Session, SessionEnded


async def _answer(session: Session, _: Grant) -> None:
    at = 0
    try:
        while True:
            responses: list[PDU] = []
            for request in await session.receive_requests():
                if isinstance(request, SubmitSm):
                    at += 1
                    responses.append(SubmitSmResp(sequence_number=request.sequence_number, message_id=str(at)))
            session.respond(responses)
    except SessionEnded:
        return


async def _admit(request: BindRequest) -> Grant:
    return Grant(account=request.system_id, options=Options(inbox=10_000))


def main() -> None:
    gc.freeze()
    trio.run(lambda: serve(_answer, _admit, port=int(sys.argv[1]), host="127.0.0.1"))


if __name__ == "__main__":
    main()
