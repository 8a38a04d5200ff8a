"""The demo's board: a picture drawn for the width and height there is (80 x 24 and up)."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from leap.demo.picture import Picture
from leap.terminal import BAND_NAMES, BAND_STYLES, bar, sparkline

_TALLEST = 40
_LATELY = 4
_ROOM_FOR_CAUSE = 52
_RULES = {"low_engagement": "Low engagement"}


class Board:
    """Draws a :class:`Picture`; rich asks for it again and again."""

    def __init__(self, picture: Picture, zone: str, alert_days: Iterable[int] = ()) -> None:
        """Take what to draw; ``alert_days`` are the steps of the no-activity rule."""
        self._picture = picture
        self._zone = ZoneInfo(zone)
        self._rules = {
            f"no_activity_{step}": f"No activity, {days} days" for step, days in enumerate(alert_days, 1)
        } | _RULES

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw it as wide as the terminal and as high, but for one line."""
        width = options.max_width
        height = min((options.height or console.height) - 1, _TALLEST)
        left = max(38, width * 2 // 5)
        layout = Layout()
        layout.split_column(Layout(self._header(width), size=3), Layout(name="body"), Layout(self._footer(), size=1))
        layout["body"].split_row(Layout(name="left", size=left), Layout(name="right"))
        layout["left"].split_column(
            Layout(_panel(self._ratings(left - 4), f"{self._picture.students} students"), size=8),
            Layout(_panel(self._alerts(height), "Alerts for a person to review"), minimum_size=4),
            Layout(_panel(self._stream(left - 4), "Stream"), size=6),
        )
        layout["right"].update(_panel(self._changes(height, width - left), "Rating changes"))
        yield from console.render(layout, options.update(width=width, height=height))

    def _header(self, width: int) -> Group:
        picture = self._picture
        title = Table.grid(expand=True)
        title.add_column()
        title.add_column(justify="right")
        when = datetime.fromtimestamp(picture.now, UTC).astimezone(self._zone)
        clock = f"{when:%a} {when.day} {when:%b %Y  %H:%M}" if picture.now else ""
        title.add_row(Text("LEAP engagement stream", "bold"), Text(clock, "bold"))
        progress = f"day {picture.day} of {picture.days}   {picture.sent:,} of {picture.rows:,} activities"
        cells = max(10, width - len(progress) - 3)
        share = picture.sent / picture.rows if picture.rows else 0.0
        line = Text.assemble((bar(share, cells), "cyan on grey15"), "   ", progress)
        return Group(title, line, Text(picture.phase, "dim", no_wrap=True, overflow="ellipsis"))

    def _footer(self) -> Text:
        return Text("A rating decides nothing: it tells a person where to look.", "dim", no_wrap=True)

    def _ratings(self, width: int) -> Table:
        bands, students = self._picture.bands, self._picture.students
        cells = width - 9 - 4 - 2
        top = max(1, *bands.values(), students // 3)
        table = Table.grid(padding=(0, 1))
        for band, name in BAND_NAMES.items():
            style = BAND_STYLES[band]
            table.add_row(Text(name, style), Text(bar(bands[band] / top, cells), style), Text(f"{bands[band]:>4}"))
        return table

    def _alerts(self, height: int) -> Group:
        standing = self._picture.open_by_rule
        counts = Table.grid(expand=True)
        counts.add_column()
        counts.add_column(justify="right")
        for rule, name in self._rules.items():
            if standing[rule] or rule in {"low_engagement", "no_activity_1"}:
                counts.add_row(name, Text.assemble((f"{standing[rule]}", "bold"), (" open", "dim")))
        latest = Table.grid(padding=(0, 1))
        for _ in range(3):
            latest.add_column(no_wrap=True)
        for notice in list(self._picture.notices)[:height]:
            latest.add_row(notice.student, self._rules.get(notice.rule, notice.rule), Text(_day(notice.day), "dim"))
        return Group(counts, "", latest)

    def _stream(self, width: int) -> Table:
        picture = self._picture
        table = Table.grid(padding=(0, 1))
        rates = list(picture.rates)[-(width - 22) :]
        lately = rates[-_LATELY:]
        now = sum(lately) / len(lately) if lately else 0.0
        latency = "-" if picture.latency is None else f"p50 {_ms(picture.latency[0])}  p99 {_ms(picture.latency[1])}"
        table.add_row("Activities/s", Text.assemble((sparkline(rates), "cyan"), f" {now:,.0f}"))
        table.add_row("To Redis", latency)
        table.add_row("Lag", f"{picture.lag:,} records")
        letters = Text(f"{picture.dead_letters}", "red" if picture.dead_letters else "")
        table.add_row("Dead letters", Text.assemble(letters, f"   restarts {picture.restarts}"))
        return table

    def _changes(self, height: int, width: int) -> Table:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=7)
        table.add_column(width=9)
        table.add_column()
        table.add_column(width=9)
        table.add_column(width=3, justify="right")
        for change in list(self._picture.changes)[:height]:
            score = "" if change.score is None else f"{change.score:.0f}"
            cause = [Text(change.cause.replace("_", " "), "dim", no_wrap=True)] if width >= _ROOM_FOR_CAUSE else []
            table.add_row(change.student, _band(change.before), "→", _band(change.after), score, *cause)
        return table


def _panel(content: RenderableType, title: str) -> Panel:
    return Panel(content, title=title, title_align="left", border_style="grey42", padding=(0, 1))


def _band(name: str) -> Text:
    return Text(BAND_NAMES[name], BAND_STYLES[name], no_wrap=True)


def _day(day: str) -> str:
    on = date.fromisoformat(day)
    return f"{on.day} {on:%b}"


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.1f} s"
