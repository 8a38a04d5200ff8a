"""Every metric, declared once: ``docs/metrics.md`` is made from this file. Labels never carry a student."""

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.005, 0.01, 0.02, 0.035, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

source_records = Counter(
    "leap_source_records",
    "Source records that intake has dealt with; a growing share of dead_letter means that a source changed its format",
    ["source", "outcome"],
)
source_ignored = Counter(
    "leap_source_ignored",
    "Source records that are no activity of a student, by the adapter's reason; nothing of them is kept",
    ["source", "reason"],
)
source_paused = Gauge(
    "leap_source_paused",
    "1 while intake holds a source because too many of its last records were unusable, or an operator said so; alert "
    "on it (docs/breaker.md)",
    ["source"],
)
dead_letters = Counter(
    "leap_dead_letters", "Records put into the dead letters, by the stage that could not use them", ["stage"]
)
identities = Gauge("leap_identities", "Claims on sources' own keys that a process holds")
identity_records = Counter(
    "leap_identity_records",
    "Records of leap.identities: taken, refused (an older claim of another student has the key), unusable",
    ["outcome"],
)
unmatched = Gauge(
    "leap_unmatched",
    "Source records that wait for a student, of the partitions that a process has; sum over processes",
    ["source"],
)
unmatched_since = Gauge(
    "leap_unmatched_oldest_timestamp_seconds", "Since when the oldest of them waits; 0 when none does", ["source"]
)
unmatched_records = Counter(
    "leap_unmatched_records",
    "Waiting source records that have left: sent (the student is known now), dead_letter (none was found in time), "
    "ignored (not for us, or there twice)",
    ["source", "outcome"],
)
unmatched_swept = Gauge(
    "leap_unmatched_last_sweep_timestamp_seconds",
    "When waiting records were last looked at; minutes ago means that they are not tried again",
)
timetable_events = Gauge("leap_timetable_events", "Teaching events that a process knows")
timetable_records = Counter(
    "leap_timetable_records", "Records of leap.timetable: taken, or unusable (in the dead letters)", ["outcome"]
)
roster_records = Counter("leap_roster_records", "Roster records dealt with", ["outcome"])
activities = Counter(
    "leap_activities",
    "Activities that engagement has dealt with: counted (late ones too), repeated (same once-key, or more evidence of "
    "the same attendance), fenced (already in the state), "
    "late (a closed day was restated), late_beyond (before the window), retracted (taken back by their source)",
    ["outcome"],
)
rating_changes = Counter("leap_rating_changes", "Rating changes sent")
alerts = Counter("leap_alerts", "Alert records sent")
days_closed = Counter("leap_days_closed", "Days closed, a partition each")
last_closed_day = Gauge(
    "leap_last_closed_day_timestamp_seconds",
    "End of the last closed day of a partition; more than 27 h ago means that days do not close",
    ["partition"],
)
students = Gauge("leap_students", "Students on the roster of a partition", ["partition"])
once_keys = Gauge("leap_once_keys", "Keys held to tell repeats, of a partition", ["partition"])
evidence = Gauge("leap_evidence", "Pieces of evidence of attendance held, of a partition", ["partition"])
batch_seconds = Histogram(
    "leap_batch_seconds", "Time a batch takes, by stage of the work", ["role", "stage"], buckets=_LATENCY
)
recovery_seconds = Histogram(
    "leap_recovery_seconds", "Time to read a partition's state back", buckets=(0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
)
lag_records = Gauge(
    "leap_lag_records",
    "Records not yet committed, of each partition that a process has; a partition that no process tells of is read by "
    "nobody",
    ["role", "topic", "partition"],
)
stuck_seconds = Gauge(
    "leap_stuck_seconds", "How long the process has been behind without committing; 0 when caught up", ["role"]
)
ready = Gauge("leap_ready", "1 when the process has its partitions and their state", ["role"])
redis_up = Gauge("leap_redis_up", "1 when the last command to Redis worked")
redis_writes = Counter(
    "leap_redis_writes", "Writes to the read model: applied, or stale (Redis had a higher version)", ["outcome"]
)
redis_rewinds = Counter(
    "leap_redis_rewinds", "Times the read model went back in Kafka because Redis had lost progress (flush, older copy)"
)
event_to_redis_seconds = Histogram(
    "leap_event_to_redis_seconds",
    "From the broker's append of a source record to the student's view in Redis",
    buckets=_LATENCY,
)
feed_last_record = Gauge(
    "leap_feed_last_record_timestamp_seconds", "When a source's topic was last seen to grow", ["source"]
)
feed_stale = Gauge("leap_feed_stale", "1 while a feed is silent for longer than its policy allows", ["source"])
gateway_requests = Counter(
    "leap_gateway_requests",
    "HTTP requests to the gateway, by status: 503 means that Kafka did not take records, 401 that a sender has a wrong "
    "secret, 400 and 422 that it changed its format",
    ["endpoint", "status"],
)
gateway_records = Counter("leap_gateway_records", "Records that the gateway wrote and Kafka has", ["source"])
gateway_seconds = Histogram(
    "leap_gateway_seconds", "From a request's first byte to its answer", ["endpoint"], buckets=_LATENCY
)
build_info = Gauge("leap_build_info", "The release that runs", ["version"])
