//! UTCTime and GeneralizedTime (RFC 5280 section 4.1.2.5) from and to unix milliseconds.

use super::{Element, tag, tlv};
use crate::{Error, Result};

const DAY: i64 = 86_400;

/// Days since 1970-01-01 of a proleptic Gregorian date.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let shifted = (month + 9) % 12;
    let day_of_year = (153 * shifted + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Year, month and day of a count of days since 1970-01-01.
fn date(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn digits(millis: i64) -> (i64, String) {
    let seconds = millis.div_euclid(1_000).clamp(days(1950, 1, 1) * DAY, days(9999, 12, 31) * DAY + DAY - 1);
    let (year, month, day) = date(seconds.div_euclid(DAY));
    let second = seconds.rem_euclid(DAY);
    let rest = format!("{month:02}{day:02}{:02}{:02}{:02}Z", second / 3_600, second / 60 % 60, second % 60);
    (year, rest)
}

/// `Time`: UTCTime until 2049, GeneralizedTime after. Milliseconds are cut off.
pub fn encode_time(millis: i64) -> Vec<u8> {
    let (year, rest) = digits(millis);
    if year < 2050 {
        tlv(tag::UTC_TIME, format!("{:02}{rest}", year % 100).as_bytes())
    } else {
        tlv(tag::GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
    }
}

/// GeneralizedTime whatever the year.
pub fn encode_generalized_time(millis: i64) -> Vec<u8> {
    let (year, rest) = digits(millis);
    tlv(tag::GENERALIZED_TIME, format!("{year:04}{rest}").as_bytes())
}

/// `Time` in RFC 5280's form (seconds present, `Z`), as unix milliseconds.
pub fn decode_time(element: &Element<'_>) -> Result<i64> {
    let malformed = Error::Malformed("time");
    let body = element.content.strip_suffix(b"Z").ok_or(malformed)?;
    if !body.iter().all(u8::is_ascii_digit) {
        return Err(malformed);
    }
    let number = |range: std::ops::Range<usize>| body[range].iter().fold(0i64, |n, &b| n * 10 + i64::from(b - b'0'));
    let (year, at) = match (element.tag, body.len()) {
        (tag::UTC_TIME, 12) => (if number(0..2) < 50 { 2000 } else { 1900 } + number(0..2), 2),
        (tag::GENERALIZED_TIME, 14) => (number(0..4), 4),
        _ => return Err(malformed),
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|offset| number(at + offset..at + offset + 2));
    let day_number = days(year, month, day);
    let valid = (1..=12).contains(&month) && hour < 24 && minute < 60 && second < 60;
    if !valid || date(day_number) != (year, month, day) {
        return Err(malformed);
    }
    Ok((day_number * DAY + hour * 3_600 + minute * 60 + second) * 1_000)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn years_from_2050_are_generalized() {
        let at = (days(2050, 1, 1) * DAY) * 1_000;
        assert_eq!(encode_time(at - 1_000), tlv(tag::UTC_TIME, b"491231235959Z"));
        assert_eq!(encode_time(at), tlv(tag::GENERALIZED_TIME, b"20500101000000Z"));
        assert_eq!(encode_time(0), tlv(tag::UTC_TIME, b"700101000000Z"));
    }

    #[test]
    fn impossible_dates_are_refused() {
        for text in ["230229000000Z", "231301000000Z", "230101240000Z", "2301010000Z", "230101000000+0100"] {
            let bytes = tlv(tag::UTC_TIME, text.as_bytes());
            assert!(decode_time(&Element::decode(&bytes).unwrap()).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_round_trip(seconds in -600_000_000i64..250_000_000_000) {
            let bytes = encode_time(seconds * 1_000);
            prop_assert_eq!(decode_time(&Element::decode(&bytes).unwrap()).unwrap(), seconds * 1_000);
        }
    }
}
