"""A bad policy file is refused with the file, the place and the reason."""

import re
from pathlib import Path

import pytest

from schemas.policy import PolicyError, PolicySet, read_policies, read_policy

ROOT = Path(__file__).parents[2]
GOOD = (ROOT / "policy" / "2026.1.toml").read_text()


def write(folder: Path, text: str, name: str = "p.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_the_default_policy_says_that_the_real_weights_are_not_public_and_weighs_no_reading_lists() -> None:
    default = read_policies(ROOT / "policy").policies[0]
    assert "not public" in default.policy.statement
    assert default.activities["reading_list"].weight is None
    assert default.policy.window_days == 7


@pytest.mark.parametrize(
    ("change", "place", "reason"),
    [
        (("weight = 3.0\ntarget = 2", "weight = -1.0\ntarget = 2"), "activities.tap_in.weight", "greater than 0"),
        (("target = 10", "target = 0"), "activities.moodle_course.target", "greater than or equal to 1"),
        (("[activities.tap_in]", "[activities.tapin]"), "activities.tapin", "tap_in"),
        (("good = 20.0", "good = 50.0"), "bands", "bands must fall"),
        (('zone = "Europe/London"', 'zone = "Europe/Colchester"'), "policy.zone", "unknown time zone"),
        (("window_days = 7", "window_days = 0"), "policy.window_days", "greater than or equal to 1"),
        (("window_days = 7", "window_day = 7"), "policy.window_day", "Extra inputs"),
        (("days = [7, 14, 21, 60]", "days = [7, 7]"), "alerts.no_activity.days", "must rise"),
        (("last = 2026-12-18", "last = 2026-09-01"), "terms.0", "ends"),
        (('at_or_below = "low"', 'at_or_below = "bad"'), "alerts.low_engagement.at_or_below", "very_low"),
        (("effective_from = 2026-09-01", ""), "policy.effective_from", "required"),
        (("[bands]", "[bands"), "not TOML", "line"),
    ],
)
def test_a_bad_file_names_the_place_and_the_reason(
    tmp_path: Path, change: tuple[str, str], place: str, reason: str
) -> None:
    assert change[0] in GOOD
    path = write(tmp_path, GOOD.replace(*change))
    with pytest.raises(PolicyError) as caught:
        read_policy(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert place in message
    assert reason in message


def test_an_empty_folder_and_policies_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match="no policy found"):
        read_policies(tmp_path)
    write(tmp_path, GOOD, "a.toml")
    write(tmp_path, GOOD.replace("2026.1", "2026.2"), "b.toml")
    with pytest.raises(PolicyError, match=r"share 2026-09-01"):
        read_policies(tmp_path)
    write(
        tmp_path, GOOD.replace("2026.1", "2026.2").replace("2026-09-01", "2027-09-01").replace("= 7", "= 5"), "b.toml"
    )
    with pytest.raises(PolicyError, match="must share window_days"):
        read_policies(tmp_path)


def test_comments_do_not_change_the_checksum_and_values_do(tmp_path: Path) -> None:
    one = read_policy(write(tmp_path, GOOD, "one.toml"))
    commented = read_policy(write(tmp_path, "# a word\n" + GOOD, "two.toml"))
    changed = read_policy(write(tmp_path, GOOD.replace("target = 10", "target = 11"), "three.toml"))
    assert one.checksum == commented.checksum != changed.checksum


def test_no_policy_in_force_on_a_day_says_when_the_first_begins() -> None:
    policies = PolicySet(read_policies(ROOT / "policy").policies)
    first = policies.policies[0].policy.effective_from
    with pytest.raises(PolicyError, match=f"begins on {first}"):
        policies.on(first.replace(year=first.year - 1))


@pytest.mark.parametrize(
    "broken",
    [
        "x = " + "[" * 5_000,
        "x = " + "9" * 5_000,
        GOOD.replace("effective_from = 2026-09-01", "effective_from = 1960-01-01"),
    ],
    ids=["lists in lists", "a number of 5,000 digits", "before all days"],
)
def test_a_file_that_broke_its_reader_is_refused_with_its_name(tmp_path: Path, broken: str) -> None:
    assert broken != GOOD
    path = tmp_path / "p.toml"
    path.write_text(broken)

    with pytest.raises(PolicyError, match=re.escape(str(path))):
        read_policy(path)
