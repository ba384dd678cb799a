"""The boundary where exceptions become errors, with methods and ports made for the test."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

import orjson
import pytest

from pmcp_common.contracts.closing import CloseCode
from pmcp_common.contracts.errors import SessionExpired, SessionRefused, SessionReplaced, Unavailable
from pmcp_common.contracts.jobs import Accepted, Delta, End, Submission
from pmcp_common.contracts.methods import METHODS, ChatParams
from pmcp_gateway.dispatch import HANDLERS, Dispatcher
from pmcp_gateway.methods.call import Call, Connection, Handler, Services
from pmcp_gateway.methods.chat import chat
from pmcp_gateway.methods.reply_frames import Chunks, StreamedReply, answers, notifications
from pmcp_gateway.outbox import Outbox
from pmcp_gateway.recording import Recording
from pmcp_gateway.stores import Replacement, Session
from pmcp_gateway.timestamps import Stamps

from .conftest import SteppedClock


class Sessions:
    """Keeps nothing; counts, and can be away."""

    def __init__(self) -> None:
        self.saved = 0
        self.away = False

    async def save(self, session: Session) -> None:
        if self.away:
            raise Unavailable("The message broker is away", retry_after=1.0)
        self.saved += 1

    async def get(self, tenant: str, session_id: str) -> Session | None:
        return None

    async def set_persona(self, session: Session, persona_id: str, persona_name: str) -> None:
        raise AssertionError

    async def leave_persona(self, session: Session, *, anew: bool = False) -> None:
        raise AssertionError

    async def open(self, session: Session, token_hash: str, gateway_id: str) -> Session:
        raise AssertionError

    async def resume(
        self, session: Session, leaving: Session, shown: str, next_token: str, gateway_id: str, holder: str
    ) -> Session:
        raise AssertionError

    async def confirm(self, session: Session) -> int | None:
        raise AssertionError

    async def generation(self, tenant: str, session_id: str) -> int | None:
        raise AssertionError

    def replacements(self, gateway_id: str) -> AsyncIterator[Replacement]:
        raise AssertionError


class Box(Outbox):
    """Shows what would be sent."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []

    def put(self, frame: bytes) -> None:
        self.frames.append(orjson.loads(frame))

    def put_chunk(self, renderer: Any, delta: Delta) -> None:
        self.put(renderer.render([delta], "now"))


class Scene:
    def __init__(self, handler: Handler) -> None:
        self.sessions = Sessions()
        nothing: Any = None
        self.services = Services(
            gateway_id="gw",
            queue=nothing,
            bus=nothing,
            relay=nothing,
            personas=nothing,
            memories=nothing,
            sessions=self.sessions,
            reports=nothing,
            names=nothing,
            conversations=nothing,
            keeping=nothing,
            tending=nothing,
            saves=nothing,
            underway=nothing,
            talks=nothing,
            sights=nothing,
            clock=SteppedClock(),
            stamps=Stamps(SteppedClock()),
            recording=Recording(nothing, nothing),
            new_id=lambda: "fresh-id",
        )
        self.box = Box()
        self.connection = Connection(Session("local", "s1", "local", "then"), self.box)
        self.dispatcher = Dispatcher(self.services, dict.fromkeys(METHODS, handler))

    def call(self, method: str = "persona.list", *, answered: bool = True) -> Call:
        return Call(self.connection, 1, method, "r1", answered)

    async def run(self, method: str = "persona.list", params: dict[str, Any] | None = None, **options: bool) -> Any:
        await self.dispatcher.run(self.call(method, **options), params or {})
        return self.box.frames


def answering(result: dict[str, Any] | None) -> Callable[..., Awaitable[dict[str, Any] | None]]:
    async def handler(_services: Services, _call: Call, _params: Any) -> dict[str, Any] | None:
        return result

    return handler


def failing(error: BaseException) -> Callable[..., Awaitable[dict[str, Any] | None]]:
    async def handler(_services: Services, _call: Call, _params: Any) -> dict[str, Any] | None:
        raise error

    return handler


def test_every_method_of_the_table_is_carried_out_and_no_other() -> None:
    assert HANDLERS.keys() == METHODS.keys()


async def test_a_result_is_one_frame() -> None:
    assert await Scene(answering({"a": 1})).run() == [{"jsonrpc": "2.0", "id": 1, "result": {"a": 1}}]


async def test_an_unknown_method_is_named() -> None:
    (frame,) = await Scene(answering({})).run("persona.lust")
    assert (frame["error"]["code"], frame["error"]["message"]) == (-32601, "Method not found: persona.lust")


async def test_a_fault_of_ours_tells_nothing_and_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    (frame,) = await Scene(failing(ValueError("password=hunter2"))).run()
    assert (frame["error"]["code"], frame["error"]["message"]) == (-32603, "Internal error")
    assert "hunter2" not in orjson.dumps(frame).decode()
    assert [record.levelno for record in caplog.records].count(logging.ERROR) == 1


async def test_a_fault_in_a_stream_is_a_stream_error() -> None:
    (frame,) = await Scene(failing(ZeroDivisionError())).run("persona.chat_stream", {"message": "Hi"})
    assert frame["result"]["event_type"] == "stream_error"
    assert frame["error"]["message"] == "Streaming error: Internal error"


@pytest.mark.parametrize("handler", [answering({"a": 1}), failing(Unavailable("x")), failing(ValueError())])
async def test_a_notification_is_never_answered(handler: Handler) -> None:
    assert await Scene(handler).run(answered=False) == []


async def test_a_finished_request_is_logged_without_its_words(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    await Scene(answering({"response": "secret reply"})).run("persona.chat", {"message": "secret words"})
    (record,) = [record for record in caplog.records if record.getMessage() == "request"]
    assert (record.__dict__["method"], record.__dict__["outcome"]) == ("persona.chat", "ok")
    assert "secret" not in str(record.__dict__)


async def test_a_session_that_could_not_be_stored_is_stored_before_the_first_request_that_can() -> None:
    scene = Scene(answering({}))
    scene.sessions.away = True
    (refused,) = await scene.run()
    assert (refused["error"]["code"], refused["error"]["data"]["retry_after"]) == (-32007, 1.0)
    scene.sessions.away = False
    await scene.run()
    await scene.run()
    assert scene.sessions.saved == 1


ACCEPTED = Accepted("s1", "m1", "e1", "aria", "Aria")


def end(state: str, **fields: Any) -> End:
    return End("s1", 3, 1, state, "stop", "Well met", "hash", "m1", "u1", "aria", "Aria", **fields)


def known(*, recorded: bool | None) -> asyncio.Future[bool]:
    """Whether the message is in the record; None: nobody knows yet."""
    future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
    if recorded is not None:
        future.set_result(recorded)
    return future


@pytest.mark.parametrize(
    ("recorded", "durability"), [(True, "durable"), (False, "volatile"), (None, "volatile")], ids=str
)
async def test_a_reply_begins_with_a_frame_that_says_what_is_known_of_its_record(
    recorded: bool | None, durability: str
) -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "persona.chat_stream", answers(1))
    reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=recorded))
    assert scene.box.frames == []
    reply.take(Delta("s1", 1, 1, "Well "))
    reply.open()
    start, chunk = (frame["result"] for frame in scene.box.frames)
    assert (start["event_type"], start["durability"]) == ("stream_start", durability)
    assert chunk["event_type"] == "stream_chunk"


async def test_what_ends_a_held_reply_lets_its_first_frame_go_before() -> None:
    for what in ("restart", "give_up"):
        scene = Scene(answering({}))
        reply = StreamedReply(scene.services, scene.connection, "persona.chat_stream", answers(1))
        reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=None))
        reply.restart("e2") if what == "restart" else reply.give_up(Unavailable("gone"))
        first, second = (frame["result"] for frame in scene.box.frames)
        assert (first["event_type"], first["durability"]) == ("stream_start", "volatile")
        assert second.get("durability") == ("durable" if what == "restart" else None)


async def test_frames_of_a_reply_count_and_measure_its_chunks() -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "persona.chat_stream", answers(1))
    reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=True))
    reply.take(Delta("s1", 1, 1, "Well "))
    reply.take(Delta("s1", 2, 1, "met"))
    reply.take(end("done"))
    start, first, second, last = (frame["result"] for frame in scene.box.frames)
    assert (start["event_type"], start["epoch"]) == ("stream_start", "e1")
    assert (first["data"]["chunk_number"], first["data"]["total_length"]) == (1, 5)
    assert (second["data"]["chunk_number"], second["data"]["total_length"]) == (2, 8)
    assert "first_seq" not in second
    assert last["full_response"] == "Well met"
    assert reply.outcome.result() == "done"


async def test_a_merged_frame_names_its_first_position() -> None:
    chunks = Chunks(answers(1), "e1")
    merged = orjson.loads(chunks.render([Delta("s1", 4, 1, "a"), Delta("s1", 5, 1, "b")], "now"))["result"]
    assert (merged["first_seq"], merged["seq"], merged["chunk"]) == (4, 5, "ab")


async def test_a_reply_whose_data_was_lost_begins_anew_and_says_so() -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "persona.chat_stream", answers(1))
    reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=True))
    reply.take(Delta("s1", 1, 1, "Well "))
    reply.restart("e2")
    assert reply.head == 0
    reply.take(Delta("s1", 1, 1, "Hello"))
    start, _, again, chunk = (frame["result"] for frame in scene.box.frames)
    assert (again["event_type"], again["epoch"], again["seq"]) == ("stream_start", "e2", 0)
    assert (again["recovered"], again["reason"]) == (False, "epoch_changed")
    assert (again["stream_id"], again["message_id"], again["data"]) == ("s1", "m1", start["data"])
    assert (chunk["epoch"], chunk["data"]["chunk_number"], chunk["data"]["total_length"]) == ("e2", 1, 5)


async def test_text_that_waits_stays_of_the_epoch_it_was_made_in() -> None:
    scene = Scene(answering({}))
    sent: list[dict[str, Any]] = []

    async def send(text: str) -> None:
        sent.append(orjson.loads(text)["result"])

    connection = Connection(scene.connection.session, Outbox(send, lambda: None, scene.services.clock))
    reply = StreamedReply(scene.services, connection, "persona.chat_stream", answers(1))
    reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=True))
    reply.take(Delta("s1", 1, 1, "old"))
    reply.restart("e2")
    reply.take(Delta("s1", 1, 1, "new"))
    await connection.outbox._flush()
    assert [(frame["epoch"], frame.get("chunk")) for frame in sent] == [
        ("e1", None), ("e1", "old"), ("e2", None), ("e2", "new"),
    ]  # fmt: skip


async def test_a_reply_the_gateway_lost_ends_with_an_error_a_position_and_a_hash_of_what_was_shown() -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "persona.chat_stream", answers(1))
    reply.hold(ACCEPTED, ChatParams(message="Hi"), known(recorded=True))
    reply.take(Delta("s1", 1, 1, "Well "))
    reply.give_up(Unavailable("gone"))
    frame = scene.box.frames[-1]
    assert (frame["result"]["event_type"], frame["result"]["stream_id"]) == ("stream_error", "s1")
    assert (frame["result"]["seq"], frame["result"]["state"]) == (2, "failed")
    assert frame["result"]["sha256"] == hashlib.sha256(b"Well ").hexdigest()
    assert frame["error"]["message"] == "Chat streaming failed: gone"


async def test_a_resumed_reply_goes_on_after_what_was_shown_and_counts_it() -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "session.resume", notifications, shown_seq=1)
    reply.begin(ACCEPTED)
    reply.take(Delta("s1", 1, 1, "Well "))
    reply.take(Delta("s1", 2, 1, "met"))
    reply.take(end("failed", error_code=-32010, error_message="Too late"))
    chunk, last = scene.box.frames
    assert (chunk["method"], "id" in chunk) == ("stream.event", False)
    assert (chunk["params"]["seq"], chunk["params"]["data"]["total_length"]) == (2, 8)
    assert (last["params"]["event_type"], last["params"]["error"]["code"]) == ("stream_error", -32010)


async def test_a_lost_reply_of_which_the_gateway_has_not_read_all_claims_no_hash() -> None:
    scene = Scene(answering({}))
    reply = StreamedReply(scene.services, scene.connection, "session.resume", notifications, shown_seq=5)
    reply.begin(ACCEPTED)
    reply.give_up(Unavailable("gone"))
    (frame,) = scene.box.frames
    assert frame["params"]["seq"] == 6
    assert "sha256" not in frame["params"]


@pytest.mark.parametrize(
    ("error", "code"),
    [(SessionExpired(), 4009), (SessionRefused(), 4001), (SessionReplaced(), 4011), (Unavailable("away"), None)],
)
async def test_some_errors_close_the_socket_after_they_are_sent(error: Exception, code: int | None) -> None:
    scene = Scene(failing(error))
    closed: list[int] = []

    def leave(close: CloseCode) -> None:
        assert scene.box.frames
        closed.append(close.code)

    scene.connection.leave = leave
    await scene.run()
    assert closed == ([] if code is None else [code])


class OneReplyRelay:
    """Delivers one event as soon as somebody watches and starts."""

    def __init__(self, event: End) -> None:
        self._event = event

    def watch(self, _tenant: str, _principal: str, _stream_id: str, receiver: Any) -> Any:
        event = self._event

        class Watch:
            def start(self, _epoch: str, *, look_now: bool, deadline_seconds: float | None) -> None:
                receiver.take(event)

            def stop(self) -> None:
                pass

        return Watch()


class OneReplyQueue:
    async def submit(self, submission: Submission) -> Accepted:
        return ACCEPTED


@pytest.mark.parametrize(
    ("event", "code", "text"),
    [
        (end("cancelled"), -32003, "The reply was cancelled"),
        (end("failed", error_code=-32010, error_message="Too late"), -32010, "Too late"),
        (end("failed"), -32003, "The reply could not be finished"),
    ],
)
async def test_chat_turns_an_end_without_reply_into_an_error(event: End, code: int, text: str) -> None:
    scene = Scene(chat)
    services = scene.services
    object.__setattr__(services, "relay", cast(Any, OneReplyRelay(event)))
    object.__setattr__(services, "queue", cast(Any, OneReplyQueue()))
    (frame,) = await scene.run("persona.chat", {"message": "Hi"})
    assert (frame["error"]["code"], frame["error"]["message"]) == (code, text)
