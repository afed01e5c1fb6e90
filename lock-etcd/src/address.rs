//! Where a store is, by its address.

use lock_core::{Error, ErrorKind, Result};

pub(crate) const EXPECTED: &str = "not the address of an etcd: etcd://[user:password@]host[:port][,host[:port]…][/prefix], etcds:// for TLS, \
     or http[s]://host[:port][,http[s]://host[:port]…]";

/// The port where etcd listens, if none is given.
const PORT: u16 = 2379;

#[derive(PartialEq, Eq)]
#[cfg_attr(test, derive(Debug))]
pub(crate) struct Address {
    /// As `http://host:port`.
    pub(crate) endpoints: Vec<String>,
    /// Name and password.
    pub(crate) user: Option<(String, String)>,
    pub(crate) prefix: Option<String>,
}

impl Address {
    /// The message does not repeat the address: it may have a password.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        Self::read(url).ok_or_else(|| Error::new(ErrorKind::Invalid, EXPECTED))
    }

    fn read(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once("://")?;
        let scheme = match scheme {
            "etcd" => "http",
            "etcds" => "https",
            "http" | "https" => return Self::list(url),
            _ => return None,
        };
        let (authority, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, hosts) = match authority.rsplit_once('@') {
            Some((user, hosts)) => (Some(user.split_once(':')?), hosts),
            None => (None, authority),
        };
        let user = user.map(|(name, password)| Some((decoded(name)?, decoded(password)?)));
        let endpoints: Option<Vec<_>> = hosts.split(',').map(|host| endpoint(scheme, host)).collect();
        let prefix = prefix.trim_end_matches('/');
        Some(Self {
            endpoints: endpoints?,
            user: match user {
                Some(user) => Some(user?),
                None => None,
            },
            prefix: (!prefix.is_empty()).then(|| prefix.to_owned()),
        })
    }

    /// Endpoints as etcd's own tools have them.
    fn list(urls: &str) -> Option<Self> {
        let one = |url: &str| {
            let (scheme, host) = url.split_once("://")?;
            let known = scheme == "http" || scheme == "https";
            endpoint(scheme, host.trim_end_matches('/')).filter(|_| known)
        };
        let endpoints: Option<Vec<_>> = urls.split(',').map(one).collect();
        let tls = |endpoint: &String| endpoint.starts_with("https:");
        // One connection is as safe as the other, or somebody did not mean it.
        let endpoints = endpoints.filter(|all| all.iter().all(tls) || !all.iter().any(tls));
        Some(Self { endpoints: endpoints?, user: None, prefix: None })
    }
}

fn endpoint(scheme: &str, host: &str) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:[]".contains(c);
    if host.is_empty() || !host.chars().all(plain) {
        return None;
    }
    let port = match host.rsplit_once(']') {
        Some((_, port)) => port.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    match port {
        Some(port) => port.parse::<u16>().ok().map(|_| format!("{scheme}://{host}")),
        None => Some(format!("{scheme}://{host}:{PORT}")),
    }
}

/// A text in which `%` and two hexadecimal digits stand for a byte.
fn decoded(text: &str) -> Option<String> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::one("etcd://a", &["http://a:2379"], None, None)]
    #[case::a_port("etcd://a:1", &["http://a:1"], None, None)]
    #[case::several("etcd://a:1,b,c:3/locks", &["http://a:1", "http://b:2379", "http://c:3"], None, Some("locks"))]
    #[case::tls("etcds://a/", &["https://a:2379"], None, None)]
    #[case::a_user("etcd://me:p%40ss%2F@a/x", &["http://a:2379"], Some(("me", "p@ss/")), Some("x"))]
    #[case::six("etcd://[::1],[::2]:7", &["http://[::1]:2379", "http://[::2]:7"], None, None)]
    #[case::a_list("https://a:1,https://b", &["https://a:1", "https://b:2379"], None, None)]
    fn an_address_is_read(
        #[case] url: &str,
        #[case] endpoints: &[&str],
        #[case] user: Option<(&str, &str)>,
        #[case] prefix: Option<&str>,
    ) {
        let address = Address::parse(url).expect("an address");
        assert_eq!(address.endpoints, endpoints);
        assert_eq!(address.user, user.map(|(name, password)| (name.to_owned(), password.to_owned())));
        assert_eq!(address.prefix.as_deref(), prefix);
    }

    #[rstest]
    #[case::nothing("")]
    #[case::another_scheme("redis://secret")]
    #[case::no_host("etcd://")]
    #[case::an_empty_host("etcd://a,,secret")]
    #[case::no_port("etcd://secret:x")]
    #[case::a_user_without_password("etcd://secret@a")]
    #[case::a_bad_escape("etcd://me:secret%4@a")]
    #[case::a_user_in_a_list("http://me:secret@a")]
    #[case::a_path_in_a_list("http://a/secret")]
    #[case::tls_for_some("http://secret,https://b")]
    fn what_is_no_address_is_refused_without_repeating_it(#[case] url: &str) {
        let error = Address::parse(url).expect_err("no address");
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(
            !format!("{error:?}").contains("secret") && error.to_string().contains("etcd://"),
            "{error:?}"
        );
    }
}
