//! When a device must have a system version at the latest, from an update policy's schedule.
//!
//! Apple wants one local time and no offset; Graph says at which hours updates may run. The time is the
//! first one that the schedule allows after the day on which the policy was saved: the same for the same
//! policy, whenever it is asked.

use jiff::{
    ToSpan,
    civil::{Date, DateTime, Time, Weekday},
};
use serde_json::{Map, Value};

/// The local time, `2026-05-02T17:00:00`. `None` where the document does not say when it was saved.
pub(super) fn local_time(policy: &Map<String, Value>) -> Option<String> {
    let saved: jiff::Timestamp = policy.get("lastModifiedDateTime")?.as_str()?.parse().ok()?;
    let next = saved.to_zoned(jiff::tz::TimeZone::UTC).date().checked_add(1.day()).ok()?;
    let due = match text(policy, "updateScheduleType") {
        Some("updateOutsideOfActiveHours") => {
            next.to_datetime(time(policy, "activeHoursEnd").unwrap_or(Time::midnight()))
        }
        Some("updateDuringTimeWindows") => window(policy, next, "startDay", "startTime"),
        Some("updateOutsideOfTimeWindows") => window(policy, next, "endDay", "endTime"),
        _ => next.to_datetime(Time::midnight()),
    };
    Some(due.strftime("%Y-%m-%dT%H:%M:%S").to_string())
}

fn text<'a>(of: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

fn time(of: &Map<String, Value>, name: &str) -> Option<Time> {
    text(of, name)?.parse().ok()
}

/// The first day and hour of this side of the windows, on that day or later.
fn window(policy: &Map<String, Value>, from: Date, day: &str, hour: &str) -> DateTime {
    let windows = policy.get("customUpdateTimeWindows").and_then(Value::as_array);
    let windows = windows.into_iter().flatten().filter_map(Value::as_object);
    let times = windows.filter_map(|window| {
        let wanted = weekday(text(window, day)?)?;
        let days = (wanted.to_monday_zero_offset() - from.weekday().to_monday_zero_offset()).rem_euclid(7);
        Some(from.checked_add(i64::from(days).days()).ok()?.to_datetime(time(window, hour)?))
    });
    times.min().unwrap_or_else(|| from.to_datetime(Time::midnight()))
}

fn weekday(word: &str) -> Option<Weekday> {
    Some(match word {
        "monday" => Weekday::Monday,
        "tuesday" => Weekday::Tuesday,
        "wednesday" => Weekday::Wednesday,
        "thursday" => Weekday::Thursday,
        "friday" => Weekday::Friday,
        "saturday" => Weekday::Saturday,
        "sunday" => Weekday::Sunday,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_time_is_the_first_that_the_schedule_allows() {
        // The first of May 2026 is a Friday.
        let due = |mut policy: Value| {
            policy["lastModifiedDateTime"] = json!("2026-05-01T09:30:00Z");
            local_time(policy.as_object().unwrap()).unwrap()
        };
        assert_eq!(due(json!({})), "2026-05-02T00:00:00");
        let hours = json!({ "updateScheduleType": "updateOutsideOfActiveHours", "activeHoursEnd": "17:30:00.0000000" });
        assert_eq!(due(hours), "2026-05-02T17:30:00");
        let windows = json!([
            { "startDay": "friday", "startTime": "01:00:00", "endDay": "friday", "endTime": "05:00:00" },
            { "startDay": "sunday", "startTime": "22:00:00", "endDay": "monday", "endTime": "04:00:00" },
        ]);
        let during = json!({ "updateScheduleType": "updateDuringTimeWindows", "customUpdateTimeWindows": windows });
        assert_eq!(due(during), "2026-05-03T22:00:00");
        let outside = json!({ "updateScheduleType": "updateOutsideOfTimeWindows", "customUpdateTimeWindows": windows });
        assert_eq!(due(outside), "2026-05-04T04:00:00");
        assert_eq!(local_time(&Map::new()), None);
    }
}
