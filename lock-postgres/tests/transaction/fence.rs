//! The resource's side of a token.

use lock_core::{ErrorKind, Token};
use lock_postgres::{create_fences, fence};
use rstest::rstest;
use sqlx::PgPool;

use crate::help::{blocked, database, number, process, within};

async fn fenced() -> PgPool {
    let (pool, _) = database().await;
    create_fences(&mut pool.acquire().await.expect("a connection")).await.expect("a table is made");
    pool
}

/// Writes under a token in a transaction of its own.
async fn write(pool: &PgPool, resource: &str, token: u64) -> lock_core::Result<()> {
    let mut tx = pool.begin().await.expect("the server is there");
    fence(&mut tx, resource, Token::new(token)).await?;
    tx.commit().await.expect("it commits");
    Ok(())
}

#[rstest]
#[case::higher(8, true)]
#[case::the_same(7, true)]
#[case::lower(6, false)]
#[tokio::test]
async fn a_token_that_is_lower_than_one_seen_is_refused(#[case] second: u64, #[case] passes: bool) {
    let pool = fenced().await;
    write(&pool, "a", 7).await.unwrap();
    write(&pool, "another", 9).await.unwrap();
    let written = write(&pool, "a", second).await;
    match passes {
        true => written.unwrap(),
        false => {
            let error = written.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Lost);
            let message = r#"fence "a" on postgres: token 6 comes too late: 7 has been seen"#;
            assert_eq!(error.to_string(), message);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lower_token_waits_for_the_transaction_of_a_higher_one_and_is_refused() {
    let pool = fenced().await;
    let mut first = pool.begin().await.unwrap();
    fence(&mut first, "a", Token::new(7)).await.unwrap();
    let mut second = pool.begin().await.unwrap();
    let waiting = process(&mut second).await;
    let second = tokio::spawn(async move { fence(&mut second, "a", Token::new(6)).await });
    blocked(&pool, waiting).await;
    assert!(!second.is_finished());
    first.commit().await.unwrap();
    assert_eq!(within(second).await.unwrap().unwrap_err().kind(), ErrorKind::Lost);
}

#[tokio::test]
async fn a_token_whose_transaction_was_rolled_back_was_never_here() {
    let pool = fenced().await;
    let mut first = pool.begin().await.unwrap();
    fence(&mut first, "a", Token::new(7)).await.unwrap();
    first.rollback().await.unwrap();
    write(&pool, "a", 6).await.unwrap();
}

#[rstest]
#[case::quote("'; DROP TABLE lock_fences; --")]
#[case::capitals("A")]
#[case::unicode("größe/日本")]
#[tokio::test]
async fn a_resource_is_called_as_it_likes(#[case] resource: &str) {
    let pool = fenced().await;
    write(&pool, resource, 7).await.unwrap();
    write(&pool, "a", 1).await.unwrap();
    assert!(write(&pool, resource, 6).await.is_err());
    assert_eq!(number(&pool, "SELECT count(*) FROM lock_fences").await, 2);
}

#[tokio::test]
async fn without_the_table_the_error_says_what_makes_it() {
    let (pool, _) = database().await;
    let error = write(&pool, "a", 1).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains("create_fences makes it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_make_the_table_at_once() {
    let (pool, _) = database().await;
    let all = (0..8).map(|_| {
        let pool = pool.clone();
        tokio::spawn(async move { create_fences(&mut pool.acquire().await.unwrap()).await })
    });
    for one in all.collect::<Vec<_>>() {
        within(one).await.unwrap().unwrap();
    }
}
