//! Schedules and windows: the plan's grammars of time. All of them are UTC, as AWS has it.

use super::values::text_value;

const DAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAY_MINUTES: u32 = 24 * 60;

text_value! {
    /// When something is repeated: `cron(minute hour day month weekday year)`, in UTC. AWS Backup takes no `rate(1 day)`.
    Schedule, example = "cron(0 5 * * ? *)", check = |text| {
        match text.strip_prefix("cron(").and_then(|rest| rest.strip_suffix(')')) {
            Some(fields) => check_cron(fields),
            None => Err(format!("{text:?} is not a schedule; write a cron expression, such as \"cron(0 5 * * ? *)\"")),
        }
    }
}

impl Schedule {
    /// Tells whether it happens at one minute of the hour, and so at most once an hour.
    pub fn is_hourly(&self) -> bool {
        let minute = self.as_str().trim_start_matches("cron(").split_whitespace().next().unwrap_or_default();
        minute.bytes().all(|b| b.is_ascii_digit())
    }
}

/// One field of a cron expression: its name, the numbers it takes, names for them, and the extra characters.
struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    names: &'static [&'static str],
}

fn check_cron(text: &str) -> Result<(), String> {
    let fields: Vec<&str> = text.split_whitespace().collect();
    let [minute, hour, day, month, weekday, year] = fields[..] else {
        return Err(format!(
            "a cron expression of AWS has six fields (minute hour day month weekday year), \"{text}\" has {}",
            fields.len()
        ));
    };
    Field { name: "minute", from: 0, to: 59, names: &[] }.check(minute)?;
    Field { name: "hour", from: 0, to: 23, names: &[] }.check(hour)?;
    Field { name: "day", from: 1, to: 31, names: &[] }.check(day)?;
    Field { name: "month", from: 1, to: 12, names: &MONTHS }.check(month)?;
    Field { name: "weekday", from: 1, to: 7, names: &DAYS }.check(weekday)?;
    Field { name: "year", from: 1970, to: 2199, names: &[] }.check(year)?;
    if (day == "?") == (weekday == "?") {
        return Err("exactly one of the fields day and weekday of a cron expression must be ?".to_owned());
    }
    Ok(())
}

impl Field {
    fn check(&self, text: &str) -> Result<(), String> {
        let is_day = matches!(self.name, "day" | "weekday");
        if text == "?" && is_day {
            return Ok(());
        }
        text.split(',').try_for_each(|item| self.check_item(item))
    }

    fn check_item(&self, item: &str) -> Result<(), String> {
        let wrong = || {
            format!(
                "{item:?} does not fit the field {} of a cron expression; a number from {} to {}, *, a-b, a,b or a/b",
                self.name, self.from, self.to
            )
        };
        match self.name {
            "day" if item == "L" => return Ok(()),
            "day" if item.strip_suffix('W').is_some_and(|day| self.number(day).is_some()) => return Ok(()),
            "weekday" if item == "L" || item.strip_suffix('L').is_some_and(|day| self.number(day).is_some()) => {
                return Ok(());
            }
            "weekday" => {
                if let Some((day, nth)) = item.split_once('#') {
                    let nth_ok = matches!(nth, "1" | "2" | "3" | "4" | "5");
                    return if nth_ok && self.number(day).is_some() { Ok(()) } else { Err(wrong()) };
                }
            }
            _ => {}
        }
        let (range, step) = item.split_once('/').map_or((item, None), |(range, step)| (range, Some(step)));
        if step.is_some_and(|step| step.parse::<u32>().map_or(true, |step| step == 0 || step > self.to)) {
            return Err(wrong());
        }
        let range_ok = match range.split_once('-') {
            _ if range == "*" => true,
            Some((from, to)) => matches!((self.number(from), self.number(to)), (Some(from), Some(to)) if from <= to),
            None => self.number(range).is_some(),
        };
        if range_ok { Ok(()) } else { Err(wrong()) }
    }

    fn number(&self, text: &str) -> Option<u32> {
        let lower = text.to_ascii_lowercase();
        if let Some(at) = self.names.iter().position(|name| **name == lower) {
            return u32::try_from(at).ok().map(|at| at + self.from);
        }
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        text.parse().ok().filter(|number| digits && (self.from..=self.to).contains(number))
    }
}

/// Reads `hh:mm` as minutes since midnight.
fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let two_digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !two_digits(hours) || !two_digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

text_value! {
    /// A window of every day in UTC, at least 30 minutes: `07:00-09:00`.
    DailyWindow, example = "07:00-09:00", check = |text| {
        let (from, to) = daily(text).ok_or_else(|| format!("{text:?} is not a daily window; write hh:mm-hh:mm in UTC, such as \"07:00-09:00\""))?;
        at_least_half_an_hour(text, (to + DAY_MINUTES - from) % DAY_MINUTES)
    }
}

fn daily(text: &str) -> Option<(u32, u32)> {
    let (from, to) = text.split_once('-')?;
    Some((clock(from)?, clock(to)?))
}

text_value! {
    /// A window of every week in UTC, from 30 minutes to 24 hours: `sun:09:30-sun:10:30`.
    WeeklyWindow, example = "sun:09:30-sun:10:30", check = |text| {
        let (from, to) = weekly(text).ok_or_else(|| {
            format!("{text:?} is not a weekly window; write ddd:hh:mm-ddd:hh:mm in UTC, such as \"sun:09:30-sun:10:30\"")
        })?;
        let length = (to + 7 * DAY_MINUTES - from) % (7 * DAY_MINUTES);
        if length > DAY_MINUTES {
            return Err(format!("{text:?} is longer than a day"));
        }
        at_least_half_an_hour(text, length)
    }
}

fn weekly(text: &str) -> Option<(u32, u32)> {
    let moment = |text: &str| {
        let (day, time) = text.split_once(':')?;
        let day = u32::try_from(DAYS.iter().position(|known| *known == day)?).ok()?;
        Some(day * DAY_MINUTES + clock(time)?)
    };
    let (from, to) = text.split_once('-')?;
    Some((moment(from)?, moment(to)?))
}

fn at_least_half_an_hour(text: &str, minutes: u32) -> Result<(), String> {
    if minutes >= 30 { Ok(()) } else { Err(format!("{text:?} is shorter than the 30 minutes that Aurora needs")) }
}

impl DailyWindow {
    /// Tells whether a weekly window touches this one on its day; Aurora refuses windows that do.
    pub fn overlaps(&self, weekly_window: &WeeklyWindow) -> bool {
        let (Some((from, to)), Some((week_from, week_to))) = (daily(self.as_str()), weekly(weekly_window.as_str()))
        else {
            return false;
        };
        let length = (to + DAY_MINUTES - from) % DAY_MINUTES;
        let week = 7 * DAY_MINUTES;
        let week_length = (week_to + week - week_from) % week;
        (0..7).any(|day| {
            let start = day * DAY_MINUTES + from;
            (start + week - week_from) % week < week_length || (week_from + week - start) % week < length
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::values::ValueError;
    use super::*;

    fn error<T: std::str::FromStr<Err = ValueError> + std::fmt::Debug>(text: &str) -> String {
        text.parse::<T>().expect_err(text).to_string()
    }

    #[test]
    fn schedules_of_aws_are_taken() {
        for text in [
            "cron(0 5 * * ? *)",
            "cron(15 10 ? * MON-FRI *)",
            "cron(0/15 8-18 1,15 * ? 2026-2030)",
            "cron(0 0 L * ? *)",
            "cron(0 0 3W * ? *)",
            "cron(0 0 ? jan,jul 6#3 *)",
            "cron(0 0 ? * 5L *)",
        ] {
            assert_eq!(text.parse::<Schedule>().map(|s| s.to_string()), Ok(text.to_owned()));
        }
    }

    #[test]
    fn wrong_schedules_say_what_is_wrong() {
        for (text, why) in [
            ("daily", "is not a schedule"),
            ("cron(0 5 * * *)", "has 5"),
            ("cron(0 5 * * * *)", "exactly one of the fields day and weekday"),
            ("cron(0 5 ? * ? *)", "exactly one of the fields day and weekday"),
            ("cron(60 5 * * ? *)", "\"60\" does not fit the field minute"),
            ("cron(0 24 * * ? *)", "\"24\" does not fit the field hour"),
            ("cron(0 5 32 * ? *)", "\"32\" does not fit the field day"),
            ("cron(0 5 * foo ? *)", "\"foo\" does not fit the field month"),
            ("cron(0 5 ? * 8 *)", "\"8\" does not fit the field weekday"),
            ("cron(0 5 ? * 2#6 *)", "\"2#6\" does not fit the field weekday"),
            ("cron(0 5 * * ? 1969)", "\"1969\" does not fit the field year"),
            ("cron(0/0 5 * * ? *)", "\"0/0\" does not fit the field minute"),
            ("cron(9-3 5 * * ? *)", "\"9-3\" does not fit the field minute"),
            ("rate(1 day)", "write a cron expression"),
        ] {
            let error = error::<Schedule>(text);
            assert!(error.contains(why), "{text}: {error}");
        }
    }

    #[test]
    fn windows_have_a_minimal_length_and_may_cross_midnight() {
        assert!("23:45-00:30".parse::<DailyWindow>().is_ok());
        assert!("sat:23:30-sun:00:30".parse::<WeeklyWindow>().is_ok());
        assert!(error::<DailyWindow>("07:00-07:29").contains("30 minutes"));
        assert!(error::<DailyWindow>("7:00-9:00").contains("hh:mm-hh:mm"));
        assert!(error::<WeeklyWindow>("sun:09:30-sun:09:45").contains("30 minutes"));
        assert!(error::<WeeklyWindow>("sun:09:30-tue:09:45").contains("longer than a day"));
        assert!(error::<WeeklyWindow>("sunday:09:30-sun:10:30").contains("ddd:hh:mm"));
    }

    #[test]
    fn overlapping_windows_are_found_across_midnight_and_week_end() {
        for (daily, weekly, overlap) in [
            ("07:00-09:00", "sun:09:30-sun:10:30", false),
            ("07:00-09:00", "sun:09:00-sun:10:00", false),
            ("07:00-09:00", "sun:08:30-sun:09:30", true),
            ("07:00-09:00", "sun:07:15-sun:07:45", true),
            ("23:30-00:30", "sun:00:00-sun:00:45", true),
            ("00:00-01:00", "sat:23:30-sun:00:15", true),
            ("02:00-03:00", "sat:23:30-sun:00:15", false),
        ] {
            let (daily, weekly): (DailyWindow, WeeklyWindow) = (daily.parse().unwrap(), weekly.parse().unwrap());
            assert_eq!(daily.overlaps(&weekly), overlap, "{daily} and {weekly}");
        }
    }
}
