//! Amounts of money and of goods, in whole numbers.

use std::fmt;
use std::str::FromStr;

/// A decimal number with eight places, kept as a count of hundred-millionths: it adds up, as floats do not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal(i64);

impl Decimal {
    /// How many digits it keeps after the point.
    pub const PLACES: usize = 8;
    /// Nothing.
    pub const ZERO: Self = Self(0);

    const ONE: i64 = 100_000_000;

    /// Takes a count of hundred-millionths, as it is stored.
    pub const fn from_units(units: i64) -> Self {
        Self(units)
    }

    /// The count of hundred-millionths.
    pub const fn units(self) -> i64 {
        self.0
    }

    /// The difference, or the least number where it would be less.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl FromStr for Decimal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (sign, digits) = text.strip_prefix('-').map_or((1, text), |rest| (-1, rest));
        let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
        let all_digits = |s: &str| !s.is_empty() && s.bytes().all(|byte| byte.is_ascii_digit());
        if !all_digits(whole) || !all_digits(part) {
            return Err(format!("{text:?} is not a decimal number"));
        }
        if part.len() > Self::PLACES {
            return Err(format!("{text:?} has more than {} digits after the point", Self::PLACES));
        }
        let part: i64 = format!("{part:0<8}").parse().expect("eight digits are a number");
        let units = whole.parse().ok().and_then(|whole: i64| whole.checked_mul(Self::ONE)?.checked_add(part));
        units.map(|units| Self(sign * units)).ok_or_else(|| format!("{text:?} is too large"))
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, units) = (if self.0 < 0 { "-" } else { "" }, self.0.unsigned_abs());
        let (whole, part) = (units / Self::ONE.unsigned_abs(), units % Self::ONE.unsigned_abs());
        let text = format!("{sign}{whole}.{part:08}");
        f.pad(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

/// Reads an amount, which is above zero.
///
/// # Errors
///
/// It is none.
pub fn amount(text: &str) -> Result<Decimal, String> {
    match text.parse::<Decimal>()? {
        amount if amount > Decimal::ZERO => Ok(amount),
        _ => Err(format!("{text:?} is not above zero")),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0", 0)]
    #[case("1", 100_000_000)]
    #[case("0.00000001", 1)]
    #[case("-2.5", -250_000_000)]
    #[case("64000.01", 6_400_001_000_000)]
    #[case("92233720368.54775807", i64::MAX)]
    fn a_number_is_read_and_printed(#[case] text: &str, #[case] units: i64) {
        assert_eq!(text.parse(), Ok(Decimal::from_units(units)));
        assert_eq!(Decimal::from_units(units).to_string(), text);
    }

    #[rstest]
    #[case("", "not a decimal number")]
    #[case("abc", "not a decimal number")]
    #[case("1e5", "not a decimal number")]
    #[case(".5", "not a decimal number")]
    #[case("1.", "not a decimal number")]
    #[case("+1", "not a decimal number")]
    #[case("1.2.3", "not a decimal number")]
    #[case("NaN", "not a decimal number")]
    #[case("0.123456789", "more than 8 digits")]
    #[case("92233720368.54775808", "too large")]
    #[case("99999999999999999999", "too large")]
    fn what_is_no_number_is_refused(#[case] text: &str, #[case] why: &str) {
        let error = text.parse::<Decimal>().expect_err("not a number");
        assert!(error.contains(why), "{error}");
    }
}
