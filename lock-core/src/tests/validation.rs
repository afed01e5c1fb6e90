//! What is refused before anything is sent, and in which words.

use rstest::rstest;

use super::*;
use crate::{Error, Key};

/// What `acquire` and `try_acquire` say; nothing may have been sent.
async fn refused(request: impl Fn(&Locker) -> crate::Lock, profile: Profile) -> Error {
    let (store, locks) = gated_as(profile);
    let error = request(&locks).acquire().await.unwrap_err();
    let skip = request(&locks).try_acquire().await.unwrap_err();
    let run = request(&locks).run(async |_| Ok::<_, Error>(())).await.unwrap_err();
    assert_eq!(skip.kind(), error.kind());
    assert_eq!(skip.to_string(), format!("try_{error}"));
    assert_eq!(run.to_string(), error.to_string());
    assert_eq!(store.all_calls(), 0, "{error}");
    error
}

#[rstest]
#[case::empty("", "the key is empty; it must have 1 to 512 bytes")]
#[case::long("k".repeat(513), r#"the key "kkkkkkkkkkkkkkkkkkkkkkkk"… has 513 bytes; it must have 1 to 512"#)]
#[case::long_utf8("é".repeat(257), r#"the key "éééééééééééééééééééééééé"… has 514 bytes; it must have 1 to 512"#)]
#[case::nul("a\0b", r#"the key "a\0b" has the control character '\0'; keys have none"#)]
#[case::crlf("a\r\nb", r#"the key "a\r\nb" has the control character '\r'; keys have none"#)]
#[case::escape("a\u{1b}[2J", r#"the key "a\u{1b}[2J" has the control character '\u{1b}'; keys have none"#)]
#[case::delete("\u{7f}", r#"the key "\u{7f}" has the control character '\u{7f}'; keys have none"#)]
#[case::c1("\u{9f}", r#"the key "\u{9f}" has the control character '\u{9f}'; keys have none"#)]
#[tokio::test(start_paused = true)]
async fn a_bad_key_is_invalid(#[case] key: impl Into<String>, #[case] why: &str) {
    let key = key.into();
    let error = refused(|locks| locks.lock(&key), Profile::new("gated")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), format!("acquire on gated: {why}"));
    let among = refused(|locks| locks.lock(["good", &key]), Profile::new("gated")).await;
    assert_eq!(among.to_string(), error.to_string());
}

#[rstest]
#[case::longest("k".repeat(512))]
#[case::utf8("é".repeat(256))]
#[case::slash("a/b")]
#[case::braces("{a}")]
#[case::space(" ")]
#[case::quotes(r#"'";--\%_*"#)]
#[case::composed("\u{e9}")]
#[case::decomposed("e\u{301}")]
#[case::past_c1("\u{a0}")]
fn a_good_key_stays_as_it_is(#[case] key: impl Into<String>) {
    let key = key.into();
    assert_eq!(Key::new(&key).unwrap().as_str(), key);
}

#[rstest]
#[case::none(0, "0 keys; a claim has 1 to 32")]
#[case::too_many(33, "33 keys; a claim has 1 to 32")]
#[tokio::test(start_paused = true)]
async fn a_claim_has_1_to_32_keys(#[case] count: usize, #[case] why: &str) {
    let keys: Vec<_> = (0..count).map(|n| format!("key/{n}")).collect();
    let error = refused(|locks| locks.lock(&keys), Profile::new("gated")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), format!("acquire on gated: {why}"));
}

#[tokio::test(start_paused = true)]
async fn a_key_given_twice_counts_once() {
    let (store, locks) = gated();
    let keys: Vec<_> = (0..99).map(|n| format!("key/{:02}", n % 32)).collect();
    let guard = locks.lock(&keys).acquire().await.unwrap();
    assert_eq!(guard.keys().count(), 32);
    assert!(guard.keys().is_sorted_by(|one, two| one < two));
    assert_eq!(store.calls(Method::Acquire)[0].claims[0].keys().len(), 32);
}

#[rstest]
#[case::zero(Duration::ZERO, "0ns")]
#[case::sub_milli(Duration::from_micros(999), "999µs")]
#[case::short(Duration::from_nanos(9_999_999), "9.999999ms")]
#[case::long(secs(86_400) + Duration::from_nanos(1), "86400.000000001s")]
#[case::longest(Duration::MAX, "18446744073709551615.999999999s")]
#[tokio::test(start_paused = true)]
async fn a_ttl_is_10_ms_to_24_h(#[case] ttl: Duration, #[case] said: &str) {
    // A store whose shortest ttl is longer does not make a senseless one good.
    for profile in [Profile::new("gated"), Profile::new("gated").min_ttl(secs(2)).one_by_one()] {
        let error = refused(|locks| locks.lock("a").ttl(ttl), profile).await;
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert_eq!(
            error.to_string(),
            format!(r#"acquire "a" on gated: ttl is {said}; it must be 10ms to 24h"#)
        );
        refused(|locks| locks.clone().with_ttl(ttl).lock("a"), profile).await;
    }
}

#[rstest]
#[case::shortest(millis(10), Duration::ZERO, millis(10))]
#[case::longest(secs(86_400), Duration::ZERO, secs(86_400))]
#[case::rounded_up_to_millis(Duration::from_nanos(10_000_001), Duration::ZERO, millis(11))]
#[case::rounded_up_to_the_stores(millis(10), secs(2), secs(2))]
#[case::longer_than_the_stores(secs(3), secs(2), secs(3))]
#[tokio::test(start_paused = true)]
async fn a_ttl_is_rounded_up_to_what_the_store_keeps(
    #[case] ttl: Duration,
    #[case] least: Duration,
    #[case] sent: Duration,
) {
    let (store, locks) = gated_as(Profile::new("gated").min_ttl(least));
    locks.lock("a").ttl(ttl).acquire().await.unwrap().release().await.unwrap();
    assert_eq!(store.calls(Method::Acquire)[0].claims[0].ttl(), sent);
}

#[rstest]
#[case::long("l".repeat(129), "the label has 129 bytes; it may have 128")]
#[case::control("two\nlines", r#"the label "two\nlines" has the control character '\n'"#)]
#[tokio::test(start_paused = true)]
async fn a_bad_label_is_invalid(#[case] label: impl Into<String>, #[case] why: &str) {
    let label = label.into();
    let error = refused(|locks| locks.lock("a").label(&label), Profile::new("gated")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), format!(r#"acquire "a" on gated: {why}"#));
    refused(|locks| locks.clone().with_label(&label).lock("a"), Profile::new("gated")).await;
}

#[tokio::test(start_paused = true)]
async fn a_good_label_goes_with_the_claim() {
    let (store, locks) = gated();
    let locks = locks.with_label("worker 3");
    let _one = locks.lock("a").acquire().await.unwrap();
    let _two = locks.lock("b").label("é".repeat(64)).acquire().await.unwrap();
    let labels: Vec<_> =
        store.calls(Method::Acquire).iter().map(|call| call.claims[0].label().to_owned()).collect();
    assert_eq!(labels, ["worker 3", &*"é".repeat(64)]);
}

#[tokio::test(start_paused = true)]
async fn a_permit_of_none_is_invalid() {
    let error = refused(|locks| locks.lock("a").permit_of(0), Profile::new("gated")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), r#"acquire "a" on gated: permit of 0: there must be at least one"#);
    let (_store, locks) = gated();
    assert!(locks.lock("a").permit_of(0).shared().acquire().await.is_ok(), "the last word counts");
}

#[tokio::test(start_paused = true)]
async fn a_cooldown_is_at_most_24_h() {
    let long = secs(86_400) + millis(1);
    let error = refused(|locks| locks.lock("a").hold_at_least(long), Profile::new("gated")).await;
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert_eq!(error.to_string(), r#"acquire "a" on gated: hold_at_least is 86400.001s; it may be 24h"#);
    let (store, locks) = gated();
    locks.lock("a").hold_at_least(secs(86_400)).acquire().await.unwrap().release().await.unwrap();
    assert_eq!(store.calls(Method::Release)[0].keep, secs(86_400));
}

#[rstest]
#[case::shared(Profile::new("gated").without_shared(), Mode::Shared, "shared")]
#[case::permits(Profile::new("gated").without_permits(), Mode::permit_of(4).unwrap(), "permit of 4")]
#[tokio::test(start_paused = true)]
async fn what_the_profile_rules_out_is_unsupported(
    #[case] profile: Profile,
    #[case] mode: Mode,
    #[case] name: &str,
) {
    let lock = |locks: &Locker| match mode {
        Mode::Permit { of } => locks.lock("a").permit_of(of.get()),
        _ => locks.lock("a").shared(),
    };
    let error = refused(lock, profile).await;
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert_eq!(error.to_string(), format!(r#"acquire "a" on gated: gated has no claims in mode {name}"#));
    let (_store, locks) = gated_as(profile);
    assert!(locks.lock("a").acquire().await.is_ok());
}

#[test]
fn an_error_names_four_keys_and_counts_the_rest() {
    let keys: Vec<_> = ["a", "b/\"c\"", "c", "d", "e", "f"].map(|key| Key::new(key).unwrap()).into();
    let error = |keys: &[Key]| {
        Error::new(ErrorKind::Timeout, "timed out after 5s")
            .in_operation("acquire", keys, "redis")
            .to_string()
    };
    assert_eq!(error(&[]), "acquire on redis: timed out after 5s");
    assert_eq!(error(&keys[..1]), r#"acquire "a" on redis: timed out after 5s"#);
    assert_eq!(error(&keys[..2]), r#"acquire "a", "b/\"c\"" on redis: timed out after 5s"#);
    assert_eq!(error(&keys[..4]), r#"acquire "a", "b/\"c\"", "c", "d" on redis: timed out after 5s"#);
    assert_eq!(error(&keys), r#"acquire "a", "b/\"c\"", "c", "d" and 2 more on redis: timed out after 5s"#);
}

#[test]
fn an_errors_first_context_stays_and_its_source_is_shown_to_programmers() {
    let key = [Key::new("a").unwrap()];
    let error = Error::new(ErrorKind::Unavailable, "no answer")
        .with_source(std::io::Error::other("reset"))
        .in_operation("release", &key, "redis")
        .in_operation("acquire", &[], "etcd");
    assert_eq!(error.to_string(), r#"release "a" on redis: no answer"#);
    assert_eq!(format!("{error:?}"), r#"Unavailable: release "a" on redis: no answer (caused by: reset)"#);
    assert_eq!(error.keys(), key);
}
