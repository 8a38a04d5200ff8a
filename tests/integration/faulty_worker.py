"""Runs one role, as `leap worker ROLE` does, and lets one fault happen at a named point of its work.

    python faulty_worker.py engagement      with FAULT={"point": "after-outputs", "action": "kill", "nth": 3, ...}
    python faulty_worker.py gateway         as `leap gateway`
    python faulty_worker.py ingest FILE ... as `leap ingest FILE ...`

The product knows nothing of this: the points are wrapped around its functions from here. At the nth pass of the point the
process writes `mark` (a file, so that a test knows) and kills itself (SIGKILL), stops itself (SIGSTOP) or does what the
point is about. With `wait`, passes count once that file is there. With `orders`, point, action, mark and the rest come from
that file, once it is there: so a process that runs can be told what is to happen to it. Points:

* of engagement, in the order of a batch: `before-outputs` (after the core), `in-outputs` (half of what it says is
  delivered), `after-outputs`, `in-changelog` (a part of the changelog's messages is delivered first), `after-changelog`,
  `before-ack`; with `only: close` passes count only for batches that close a day
* `in-recovery`: the changelog is read, nothing else done; `in-rebalance`: partitions are assigned, nothing else done
* `after-send` of intake or roster: everything is delivered, nothing acknowledged; `in-send`: one partition's part is;
  `in-sweep` of intake: a part of what waited and can move is delivered; `after-sweep`: all of it, nothing committed
* of the gateway: `before-put` (a request is understood, nothing sent to Kafka), `after-put` (Kafka has it, no answer given)
* of ingest, which sends its file in small batches then: `in-file` (one partition's part of a batch is delivered)
* of the read model: `before-write` (a batch is read), `in-write` (it is in Redis, the progress is not)
* `core`: the core raises for every activity whose count is 6666; `hang`: a batch never ends; `block`: the event loop is
  held for good

`SKEW` in the environment puts the process's clock wrong by so many seconds. `DEFECT` takes one of the product's
protections away (`tests/chaos/defects.py`). `RECORDED` names a file with the simulated time (seconds since 1970) at which what
gateway and ingest send is recorded: they leave that to the broker, whose clock is none of a test's.
"""

import asyncio
import contextvars
import ctypes
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
POISONOUS_COUNT = 6666
LINGER = 0.6
FILE_BATCH = 8
"""Rows that ingest sends at once, where it may be killed between them."""


class Fault:
    """What is to happen, where, and at which pass."""

    def __init__(
        self,
        mark: str,
        point: str = "",
        action: str = "kill",
        nth: int = 1,
        only: str = "",
        part: float = 0.5,
        wait: str = "",
        armed: bool = True,
        orders: str = "",
        seconds: float = 0.0,
    ) -> None:
        self.point, self.mark, self.action = point, Path(mark), action
        self.nth, self.only, self.part = nth, only, part
        self.wait = Path(wait) if wait else None
        self.orders = Path(orders) if orders else None
        self.seconds = seconds
        self.passes = 0

    def due(self, point: str, *, closes: bool = False) -> bool:
        """Count a pass of a point; say whether it is the one."""
        if self.orders and self.orders.exists():
            told = json.loads(self.orders.read_text())
            self.orders.unlink()
            self.point, self.action, self.nth = told["point"], told.get("action", "kill"), told.get("nth", 1)
            self.only, self.part, self.passes = told.get("only", ""), told.get("part", 0.5), 0
            self.seconds, self.mark = told.get("seconds", 0.0), Path(told["mark"])
        if point != self.point or (self.only == "close" and not closes) or (self.wait and not self.wait.exists()):
            return False
        self.passes += 1
        return self.passes == self.nth

    async def strikes(self, **what: Any) -> None:
        """Wait first, so that whatever was acknowledged too early gets committed, too."""
        await asyncio.sleep(LINGER)
        self.strike(**what)

    def strike(self, **what: Any) -> None:
        """Leave the mark, then do it. A stopped process goes on from here when it is continued: after `seconds`, if any."""
        written = self.mark.with_suffix(".new")
        written.write_text(json.dumps({"pass": self.passes, **what}))
        written.rename(self.mark)
        if self.action == "stop" and self.seconds:
            subprocess.Popen(["sh", "-c", f"sleep {self.seconds}; kill -CONT {os.getpid()}"])
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[self.action])


def engagement(fault: Fault) -> None:
    """Wrap the points of the engagement role."""
    from agents import engagement as module  # noqa: PLC0415
    from agents.draft import Draft  # noqa: PLC0415
    from agents.engagement import Engagement  # noqa: PLC0415
    from streams.column_table import Changelog  # noqa: PLC0415

    in_hand: contextvars.ContextVar[Any] = contextvars.ContextVar("in_hand", default=None)
    deliver, handle = Engagement._deliver, Engagement.handle
    write, recover, commit = Changelog.write, Changelog.recover, Draft.commit
    delivered = module.delivered

    def due(point: str) -> bool:
        effects = in_hand.get()
        return effects is not None and fault.due(point, closes=bool(effects.closed))

    async def delivered_with_faults(sent: Any) -> Any:
        if sent and due("in-outputs"):
            await delivered(sent[: (len(sent) + 1) // 2])
            await fault.strikes()
        return await delivered(sent)

    async def deliver_with_faults(self: Any, owned: Any, draft: Any, *rest: Any) -> None:
        in_hand.set(draft.effects)
        if due("before-outputs"):
            await fault.strikes(partition=owned.partition.number)
        await deliver(self, owned, draft, *rest)

    async def write_with_faults(self: Any, messages: Any) -> None:
        if due("after-outputs"):
            await fault.strikes(partition=self._partition, messages=len(messages))
        elif len(messages) > 1 and due("in-changelog"):  # of one there is no part
            first = min(max(1, int(len(messages) * fault.part)), len(messages) - 1)
            await write(self, messages[:first])
            await fault.strikes(partition=self._partition, messages=len(messages), written=first)
            messages = messages[first:]
        await write(self, messages)

    def commit_with_faults(self: Any) -> None:
        if due("after-changelog"):
            fault.strike(partition=self.partition.number)
        commit(self)

    async def handle_with_faults(self: Any, topic: str, number: int, records: Any) -> None:
        await handle(self, topic, number, records)
        if due("before-ack"):
            await fault.strikes(partition=number)

    async def recover_with_faults(self: Any) -> Any:
        latest = await recover(self)
        if fault.due("in-recovery"):
            await fault.strikes(partition=self._partition, records=latest.records)
        return latest

    module.delivered = delivered_with_faults  # type: ignore[assignment]
    Engagement._deliver = deliver_with_faults  # type: ignore[method-assign]
    Engagement.handle = handle_with_faults  # type: ignore[method-assign]
    Changelog.write = write_with_faults  # type: ignore[method-assign]
    Changelog.recover = recover_with_faults  # type: ignore[method-assign]
    Draft.commit = commit_with_faults  # type: ignore[method-assign]


def rebalancing(fault: Fault) -> None:
    """Wrap the point of a rebalance."""
    from streams.role import Streaming  # noqa: PLC0415

    on_assigned = Streaming._on_assigned

    async def on_assigned_with_faults(self: Any, *args: Any, **kwargs: Any) -> None:
        if fault.due("in-rebalance"):
            await fault.strikes()
        await on_assigned(self, *args, **kwargs)

    Streaming._on_assigned = on_assigned_with_faults  # type: ignore[method-assign]


def core(_fault: Fault) -> None:
    """Let the core raise for activities of one count."""
    from agents import counting  # noqa: PLC0415

    count = counting.count

    def raising(draft: Any, run: slice) -> None:
        if any(record.count == POISONOUS_COUNT for record in draft.records[run]):
            raise ArithmeticError("a fault that a test put here")
        count(draft, run)

    counting.count = raising


def sending(fault: Fault, role: str) -> None:
    """Wrap the points of intake or roster."""
    from agents.roster import Roster  # noqa: PLC0415
    from streams import producer  # noqa: PLC0415
    from streams.intake import Intake  # noqa: PLC0415
    from streams.waiting_room import WaitingRoom  # noqa: PLC0415

    handler: Any = Intake if role == "intake" else Roster
    handle, send, commit, move = handler.handle, producer.Producer.send, WaitingRoom._commit, WaitingRoom._move
    sweeping: contextvars.ContextVar[bool] = contextvars.ContextVar("sweeping", default=False)

    async def handle_with_faults(self: Any, topic: str, number: int, records: Any) -> None:
        await handle(self, topic, number, records)
        if fault.due("after-send"):
            await fault.strikes(partition=number, records=len(records))

    async def send_with_faults(self: Any, topic: str, partition: int, messages: Any) -> Any:
        sent = await send(self, topic, partition, messages)
        if topic.endswith(".student-log") and (fault.due("in-send") or (sweeping.get() and fault.due("in-sweep"))):
            await producer.delivered(sent)
            await fault.strikes(partition=partition)
        return sent

    async def commit_with_faults(self: Any, tp: Any, offset: int, **note: Any) -> None:
        if tp.topic.endswith(".unmatched") and not note and fault.due("after-sweep"):
            await fault.strikes(partition=tp.partition)
        await commit(self, tp, offset, **note)

    async def move_with_faults(self: Any, *where: Any) -> None:
        token = sweeping.set(True)
        try:
            await move(self, *where)
        finally:
            sweeping.reset(token)

    handler.handle = handle_with_faults
    producer.Producer.send = send_with_faults  # type: ignore[method-assign]
    WaitingRoom._commit = commit_with_faults  # type: ignore[method-assign]
    WaitingRoom._move = move_with_faults  # type: ignore[method-assign]


def writing(fault: Fault) -> None:
    """Wrap the point of the read model."""
    from sinks.store import Store  # noqa: PLC0415

    write, claim = Store.write, Store.claim

    async def write_with_faults(self: Any, *args: Any) -> Any:
        if fault.due("before-write"):
            await fault.strikes()
        return await write(self, *args)

    async def claim_with_faults(self: Any, attempt: str, steps: Any) -> Any:
        if fault.due("in-write"):
            await fault.strikes()
        return await claim(self, attempt, steps)

    Store.write = write_with_faults  # type: ignore[method-assign]
    Store.claim = claim_with_faults  # type: ignore[method-assign]


def answering(fault: Fault) -> None:
    """Wrap the points of the gateway."""
    from streams.producer import Producer  # noqa: PLC0415

    put = Producer.put

    async def put_with_faults(self: Any, topic: str, messages: Any) -> None:
        if fault.due("before-put"):
            await fault.strikes()
        await put(self, topic, messages)
        if fault.due("after-put"):
            await fault.strikes()

    Producer.put = put_with_faults  # type: ignore[method-assign]


def loading(fault: Fault) -> None:
    """Wrap the point of ingest."""
    from leap import sending  # noqa: PLC0415

    delivered = sending.delivered

    async def delivered_with_faults(sent: Any) -> Any:
        if sent and fault.due("in-file"):
            await delivered(sent[:1])
            await fault.strikes()
        return await delivered(sent)

    sending._BATCH = FILE_BATCH
    sending.delivered = delivered_with_faults  # type: ignore[attr-defined]


def recorded(clock: Path) -> None:
    """Let whatever this process sends be recorded when a file says."""
    from schemas.cloudevents import recorded_at  # noqa: PLC0415
    from streams.producer import Producer  # noqa: PLC0415

    put, send = Producer.put, Producer.send

    def stamped(messages: Any) -> Any:
        header = recorded_at(float(clock.read_text()))
        return [(key, value, [*headers, header]) for key, value, headers in messages]

    async def put_stamped(self: Any, topic: str, messages: Any) -> None:
        await put(self, topic, stamped(messages))

    async def send_stamped(self: Any, topic: str, partition: int, messages: Any) -> Any:
        return await send(self, topic, partition, stamped(messages))

    Producer.put = put_stamped  # type: ignore[method-assign]
    Producer.send = send_stamped  # type: ignore[method-assign]


def skew(seconds: float) -> None:
    """Put the clock of this process wrong. The monotonic one goes on as it did."""
    true = time.time
    time.time = lambda: true() + seconds


def held(fault: Fault, role: str) -> None:
    """Let a batch never end, or hold the event loop."""
    from agents.engagement import Engagement  # noqa: PLC0415
    from streams.intake import Intake  # noqa: PLC0415

    handler: Any = Intake if role == "intake" else Engagement
    handle = handler.handle

    async def never_ends(self: Any, topic: str, number: int, records: Any) -> None:
        if fault.due(fault.point):
            fault.mark.write_text(json.dumps({"partition": number}))
            if fault.point == "hang":
                await asyncio.get_running_loop().create_future()
            time.sleep(3600)  # noqa: ASYNC251 - that is the fault
        await handle(self, topic, number, records)

    handler.handle = never_ends


def wrap(fault: Fault, role: str) -> None:
    """Wrap the points of a role, or what the fault is about."""
    if fault.point in {"hang", "block"}:
        held(fault, role)
    elif fault.point == "core":
        core(fault)
    elif role in {"intake", "roster"}:
        sending(fault, role)
    elif role == "readmodel":
        writing(fault)
    elif role == "gateway":
        answering(fault)
    elif role == "ingest":
        loading(fault)
    else:
        engagement(fault)
        rebalancing(fault)


def main(role: str) -> int:
    """Run the role of the command line, with the fault of the environment, if any."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # die with the test that started us
    sys.path.insert(0, str(ROOT))
    if seconds := os.environ.get("SKEW"):
        skew(float(seconds))
    if defect := os.environ.get("DEFECT"):
        from tests.chaos import defects  # noqa: PLC0415

        defects.plant(defect)
    if text := os.environ.get("FAULT"):
        wrap(Fault(**json.loads(text)), role)
    if (clock := os.environ.get("RECORDED")) and role in {"gateway", "ingest"}:
        recorded(Path(clock))
    if role in {"gateway", "ingest"}:
        from leap import main as commands  # noqa: PLC0415

        return commands.run(sys.argv[1:])
    from leap.logs import set_up  # noqa: PLC0415
    from leap.worker import run  # noqa: PLC0415
    from streams.settings import Settings  # noqa: PLC0415

    set_up()
    return run(role, Settings())  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
