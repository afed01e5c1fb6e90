//! What an address says, and what it leaves open.

use std::net::IpAddr;

use lock_core::{Error, ErrorKind, Result};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

/// Reads an address. Where it says nothing of encryption and leads to another machine, there is to be one: the driver's
/// default would do without if whoever answers says that it cannot.
pub(crate) fn parse(url: &str) -> Result<PgConnectOptions> {
    let invalid = "not the address of a PostgreSQL: \
        postgres://[user[:password]@]host[:port][/database][?sslmode=verify-full], or without sslmode";
    let ours = ["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme));
    let options = url.parse::<PgConnectOptions>().ok().filter(|_| ours);
    let options = options.ok_or_else(|| Error::new(ErrorKind::Invalid, invalid))?;
    let open = matches!(options.get_ssl_mode(), PgSslMode::Prefer) && !said(url);
    Ok(if open && !near(&options) { options.ssl_mode(PgSslMode::Require) } else { options })
}

fn said(url: &str) -> bool {
    let query = url.split_once('?').map_or("", |(_, query)| query);
    query.split('&').any(|pair| pair.starts_with("sslmode=") || pair.starts_with("ssl-mode="))
        || std::env::var_os("PGSSLMODE").is_some()
}

/// A socket of this machine, or its loopback.
fn near(options: &PgConnectOptions) -> bool {
    let host = options.get_host();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    options.get_socket().is_some()
        || host.starts_with('/')
        || host == "localhost"
        || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use sqlx::postgres::PgSslMode;

    #[rstest]
    #[case::loopback("postgres://u@127.0.0.1/d", PgSslMode::Prefer)]
    #[case::loopback_six("postgres://u@[::1]/d", PgSslMode::Prefer)]
    #[case::by_name("postgres://u@localhost/d", PgSslMode::Prefer)]
    #[case::elsewhere("postgres://u@db.example/d", PgSslMode::Require)]
    #[case::elsewhere_by_number("postgresql://u@10.0.0.1:5433/d?application_name=a", PgSslMode::Require)]
    #[case::as_it_says("postgres://u@db.example/d?sslmode=prefer", PgSslMode::Prefer)]
    #[case::as_it_says_too("postgres://u@db.example/d?a=b&sslmode=verify-full", PgSslMode::VerifyFull)]
    fn nothing_goes_in_the_clear_unasked(#[case] url: &str, #[case] mode: PgSslMode) {
        let options = super::parse(url).expect("an address");
        assert_eq!(format!("{:?}", options.get_ssl_mode()), format!("{mode:?}"));
    }

    #[rstest]
    #[case::another_store("redis://user:canary@127.0.0.1")]
    #[case::no_port("postgres://user:canary@127.0.0.1:port/d")]
    #[case::no_mode("postgres://user:canary@127.0.0.1/d?sslmode=some")]
    #[case::no_address("canary")]
    fn a_bad_address_is_not_repeated(#[case] url: &str) {
        let error = super::parse(url).expect_err("no address");
        assert!(!format!("{error} {error:?}").contains("canary"));
    }
}
