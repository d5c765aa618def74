//! Converts hours and minutes of a plan to working days.

/// The length of a plan's days and weeks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Days {
    /// The minutes of a working day, by which durations are divided.
    pub(super) minutes_per_day: f64,
    /// The working days of a week, for durations that include nights and weekends.
    pub(super) days_per_week: f64,
}

/// A number of whole working days, and whether it is exactly the duration in the file.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Whole {
    pub(super) days: i64,
    pub(super) exact: bool,
}

impl Days {
    /// The working days of minutes in a format of MSPDI. Half a day or more is rounded up.
    pub(super) fn of(self, minutes: f64, format: i64) -> Whole {
        let days = match elapsed(format) {
            true => minutes / 1_440.0 * self.days_per_week / 7.0,
            false => minutes / self.minutes_per_day,
        };
        let whole = days.round();
        // Minutes are whole in these files, so a smaller difference is a rounding error.
        Whole { days: whole as i64, exact: !elapsed(format) && (days - whole).abs() * self.minutes_per_day < 0.5 }
    }
}

/// Whether a format counts nights and weekends.
pub(super) fn elapsed(format: i64) -> bool {
    matches!(format, 4 | 6 | 8 | 10 | 12 | 36 | 38 | 40 | 42 | 44)
}

/// Whether a format is a percentage of a duration.
pub(super) fn percent(format: i64) -> bool {
    matches!(format, 19 | 20 | 51 | 52)
}

/// The minutes of a duration such as PT40H0M0S.
pub(super) fn minutes(text: &str) -> Option<f64> {
    let (sign, text) = text.strip_prefix('-').map_or((1.0, text), |text| (-1.0, text));
    let (days, time) = text.strip_prefix('P')?.split_once('T').unwrap_or((&text[1..], ""));
    let mut total = match days {
        "" => 0.0,
        days => days.strip_suffix('D')?.parse::<f64>().ok()? * 1_440.0,
    };
    let mut number = String::new();
    for unit in time.chars() {
        let minutes = match unit {
            '0'..='9' | '.' => {
                number.push(unit);
                continue;
            }
            'H' => 60.0,
            'M' => 1.0,
            'S' => 1.0 / 60.0,
            _ => return None,
        };
        total += std::mem::take(&mut number).parse::<f64>().ok()? * minutes;
    }
    (number.is_empty() && !(days.is_empty() && time.is_empty())).then_some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_days_of_the_plan() {
        let plan = Days { minutes_per_day: 450.0, days_per_week: 5.0 };
        let of = |text: &str, format| plan.of(minutes(text).expect("a duration"), format);
        assert_eq!(of("PT37H30M0S", 7), Whole { days: 5, exact: true });
        assert_eq!(of("PT0H0M0S", 7), Whole { days: 0, exact: true });
        assert_eq!(of("PT4H0M0S", 7), Whole { days: 1, exact: false });
        assert_eq!(of("PT168H0M0S", 10), Whole { days: 5, exact: false }, "a week of nights and days");
        assert_eq!(minutes("P1DT2H"), Some(1_560.0));
        for bad in ["", "40", "P", "PT", "PT4", "PT4X", "P1Y", "PTH"] {
            assert_eq!(minutes(bad), None, "{bad}");
        }
    }
}
