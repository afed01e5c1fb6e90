//! The caller's own rows.

use lock_core::ErrorKind;
use lock_postgres::{RowWait, Rows, lock_rows};
use rstest::rstest;
use sqlx::PgPool;

use crate::help::{blocked, database, number, process, run, within};

/// Three orders, with the first locked by an open transaction.
async fn orders(pool: &PgPool) -> sqlx::Transaction<'static, sqlx::Postgres> {
    run(pool, "CREATE TABLE orders (id bigint PRIMARY KEY); INSERT INTO orders VALUES (1), (2), (3)").await;
    let mut tx = pool.begin().await.expect("the server is there");
    let locked = lock_rows(&mut tx, &Rows::of("orders"), &[1_i64], RowWait::Block).await;
    assert_eq!(locked.expect("good SQL"), [1]);
    tx
}

#[tokio::test(flavor = "multi_thread")]
async fn who_blocks_waits_for_the_end_of_the_other_transaction() {
    let (pool, _) = database().await;
    let first = orders(&pool).await;
    let mut second = pool.begin().await.unwrap();
    let waiting = process(&mut second).await;
    let second = tokio::spawn(async move {
        lock_rows(&mut second, &Rows::of("orders"), &[3_i64, 1, 2], RowWait::Block).await
    });
    blocked(&pool, waiting).await;
    assert!(!second.is_finished());
    first.commit().await.unwrap();
    assert_eq!(within(second).await.unwrap().unwrap(), [1, 2, 3]);
}

#[tokio::test]
async fn who_does_not_wait_fails_at_once() {
    let (pool, _) = database().await;
    let _first = orders(&pool).await;
    let mut second = pool.begin().await.unwrap();
    let error =
        within(lock_rows(&mut second, &Rows::of("orders"), &[1_i64], RowWait::NoWait)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert_eq!(error.to_string(), "lock rows on postgres: another transaction has locked one of the rows");
}

#[tokio::test]
async fn who_skips_gets_the_others() {
    let (pool, _) = database().await;
    let _first = orders(&pool).await;
    let mut second = pool.begin().await.unwrap();
    let got =
        within(lock_rows(&mut second, &Rows::of("orders"), &[3_i64, 1, 2, 9], RowWait::Skip)).await.unwrap();
    assert_eq!(got, [2, 3]);
}

#[tokio::test]
async fn no_id_is_no_row() {
    let (pool, _) = database().await;
    let mut tx = orders(&pool).await;
    let none: [i64; 0] = [];
    assert_eq!(lock_rows(&mut tx, &Rows::of("orders"), &none, RowWait::Block).await.unwrap(), none);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_two_against_two_one_never_deadlocks() {
    let (pool, _) = database().await;
    orders(&pool).await.rollback().await.unwrap();
    run(&pool, "ALTER TABLE orders ADD n bigint NOT NULL DEFAULT 0").await;
    let all = (0..8).map(|n| {
        let pool = pool.clone();
        tokio::spawn(async move {
            for _ in 0..25 {
                let mut tx = pool.begin().await.unwrap();
                let ids: [i64; 2] = if n % 2 == 0 { [1, 2] } else { [2, 1] };
                assert_eq!(
                    lock_rows(&mut tx, &Rows::of("orders"), &ids, RowWait::Block).await.unwrap(),
                    [1, 2]
                );
                sqlx::query("UPDATE orders SET n = n + 1 WHERE id < 3").execute(&mut *tx).await.unwrap();
                tx.commit().await.unwrap();
            }
        })
    });
    for one in all.collect::<Vec<_>>() {
        within(one).await.unwrap();
    }
    assert_eq!(number(&pool, "SELECT sum(n)::bigint FROM orders").await, 2 * 8 * 25);
}

#[rstest]
#[case::plain("public", "orders", "id")]
#[case::capitals("Shop", "Orders", "Id")]
#[case::spaces("the shop", "all orders", "order id")]
#[case::quotes(r#"sh"op"#, "o'rders", r#""id""#)]
#[case::injection("public", r#"orders"; DROP TABLE victims; --"#, r#"id" = id OR "x"#)]
#[tokio::test]
async fn names_are_taken_as_they_are(#[case] schema: &str, #[case] table: &str, #[case] column: &str) {
    let (pool, _) = database().await;
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let (s, t, c) = (quote(schema), quote(table), quote(column));
    run(&pool, "CREATE TABLE victims ()").await;
    run(&pool, &format!("CREATE SCHEMA IF NOT EXISTS {s}; CREATE TABLE {s}.{t} ({c} integer)")).await;
    run(&pool, &format!("INSERT INTO {s}.{t} VALUES (1), (2)")).await;
    let mut tx = pool.begin().await.unwrap();
    let rows = Rows::of(table).in_schema(schema).by(column);
    // Ids of another width than the column's, too.
    assert_eq!(lock_rows(&mut tx, &rows, &[2_i64, 1], RowWait::Block).await.unwrap(), [1, 2]);
    assert_eq!(number(&pool, "SELECT count(*) FROM victims").await, 0);
}

#[tokio::test]
async fn ids_may_be_text() {
    let (pool, _) = database().await;
    run(&pool, "CREATE TABLE seats (id text); INSERT INTO seats VALUES ('a'), ('b''--')").await;
    let mut tx = pool.begin().await.unwrap();
    let ids = ["b'--".to_owned(), "a".to_owned()];
    assert_eq!(lock_rows(&mut tx, &Rows::of("seats"), &ids, RowWait::Block).await.unwrap(), ["a", "b'--"]);
}

#[tokio::test]
async fn a_table_that_is_not_there_is_a_clear_error() {
    let (pool, _) = database().await;
    let mut tx = pool.begin().await.unwrap();
    let error = lock_rows(&mut tx, &Rows::of("nothing"), &[1_i64], RowWait::Block).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Backend);
    assert!(error.to_string().contains(r#"relation "nothing" does not exist"#), "{error}");
}
