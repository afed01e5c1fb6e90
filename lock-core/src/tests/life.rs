//! A grant's deadline.

use std::sync::Arc;

use rstest::rstest;
use tokio::time::{sleep, sleep_until};

use super::renewal::USABLE;
use super::*;
use crate::clock::Moment;
use crate::keeper::Keeper;
use crate::life::Life;
use crate::{Grant, Token};

#[rstest]
#[case(secs(30), millis(600))]
#[case(secs(1), millis(20))]
#[case(millis(101), Duration::from_micros(2020))]
#[case(millis(100), millis(2))]
#[case(millis(50), millis(2))]
#[case(secs(86_400), secs(1728))]
#[tokio::test(start_paused = true)]
async fn a_deadline_is_the_lease_counted_from_the_request_less_a_margin(
    #[case] lease: Duration,
    #[case] margin: Duration,
) {
    let (store, locks) = gated();
    store.set(Method::Acquire, Gate::Late(lease / 10));
    let guard = locks.lock("a").ttl(lease).acquire().await.unwrap();
    let sent = store.calls(Method::Acquire)[0].at;
    assert!(sent.elapsed() >= lease / 10);
    assert_eq!(guard.remaining(), lease - margin - sent.elapsed());

    store.set(Method::Renew, Gate::Late(lease / 10));
    sleep_until(sent + lease / 2).await;
    let sent = store.calls(Method::Renew)[0].at;
    assert_eq!(guard.remaining(), lease - margin - sent.elapsed());
}

#[tokio::test(start_paused = true)]
async fn once_it_has_lapsed_no_renewal_extends_it() {
    let keeper = Keeper::new(Arc::new(Memory::new()));
    let claim = Arc::new(Claim::new("a", Mode::Exclusive, TTL).unwrap());
    let grant = Grant::new(Token::new(1), TTL);
    let life = Life::begin(&keeper, &claim, grant, Moment::now(), true).unwrap();
    assert!(life.extend(Moment::now(), TTL));
    tokio::time::advance(USABLE - millis(1)).await;
    assert!(!life.lapsed());
    tokio::time::advance(millis(1)).await;
    assert!(!life.extend(Moment::now(), TTL));
    assert!(life.lapsed());
    assert!(Life::begin(&keeper, &claim, grant, Moment::from_nanos(0), true).is_none());
}

#[tokio::test(start_paused = true)]
async fn a_short_answer_does_not_take_back_a_longer_one() {
    let (store, locks) = gated();
    let guard = locks.lock("a").acquire().await.unwrap();
    sleep(secs(9)).await;
    store.renew_for(secs(2));
    sleep(secs(2)).await;
    assert!(store.count(Method::Renew) > 0);
    assert!(guard.remaining() > secs(18));
    store.set(Method::Renew, Gate::Never);
    sleep(secs(18)).await;
    assert!(guard.is_held());
}

/// The clock stands still while it is paused, also on a runtime that is older than the clock's first reading.
#[tokio::test(start_paused = true)]
async fn a_paused_clock_tells_moments_to_the_nanosecond() {
    let (instant, moment) = (Instant::now(), Moment::now());
    tokio::time::advance(Duration::from_nanos(1_000_001)).await;
    assert_eq!(moment.elapsed(), instant.elapsed());
    assert_eq!(Moment::now().since(moment), Duration::from_nanos(1_000_001));
    assert_eq!(moment.since(Moment::now()), Duration::ZERO);
}
