//! What is refused before anything runs: in one clear line, or a line for each bad one.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rstest::rstest;

use conformance_tests::{Server, Software};

use crate::scene::{Scene, program};
use crate::support::{Database, Ended as _, Store, run};

#[rstest]
#[case::no_number(
    "A-1,aurora,BTC-USD,buy,1,abc,",
    r#"orders.csv:3: column "price": "abc" is not a decimal number"#
)]
#[case::a_float(
    "A-1,aurora,BTC-USD,buy,1e3,1,",
    r#"orders.csv:3: column "quantity": "1e3" is not a decimal number"#
)]
#[case::too_fine(
    "A-1,aurora,BTC-USD,buy,0.000000001,1,",
    r#"column "quantity": "0.000000001" has more than 8 digits"#
)]
#[case::too_large(
    "A-1,aurora,BTC-USD,buy,1,99999999999999999999,",
    r#"column "price": "99999999999999999999" is too large"#
)]
#[case::nothing("A-1,aurora,BTC-USD,buy,0,1,", r#"orders.csv:3: column "quantity": "0" is not above zero"#)]
#[case::below_zero("A-1,aurora,BTC-USD,buy,1,-5,", r#"orders.csv:3: column "price": "-5" is not above zero"#)]
#[case::no_side(
    "A-1,aurora,BTC-USD,hold,1,1,",
    r#"orders.csv:3: column "side": "hold" is neither "buy" nor "sell""#
)]
#[case::no_id(",aurora,BTC-USD,buy,1,1,", r#"orders.csv:3: column "id": is empty"#)]
#[case::no_exchange("A-1,,BTC-USD,buy,1,1,", r#"orders.csv:3: column "exchange": is empty"#)]
#[case::a_slash(
    "A-1,aurora,BTC/USD,buy,1,1,",
    r#"orders.csv:3: column "symbol": "BTC/USD" may have letters"#
)]
#[case::a_bad_bot(
    "A-1,aurora,BTC-USD,buy,1,1,bot 1",
    r#"orders.csv:3: column "bot": "bot 1" may have letters"#
)]
#[case::twice("OK-1,aurora,BTC-USD,buy,1,1,", r#"orders.csv:3: column "id": "OK-1" is on line 2 already"#)]
#[case::too_few("A-1,aurora,BTC-USD,buy,1", "orders.csv:3: 5 columns where there should be 7")]
#[case::too_many("A-1,aurora,BTC-USD,buy,1,1,,", "orders.csv:3: 8 columns where there should be 7")]
#[case::after_an_empty_line("\nA-1,aurora,BTC-USD,buy,1,abc,", r#"orders.csv:4: column "price""#)]
#[case::an_open_quote("\"A-1,aurora,BTC-USD,buy,1,1,", "orders.csv:3: 1 columns where there should be 7")]
fn a_bad_line_is_named(#[case] line: &str, #[case] error: &str) {
    let scene = Scene::new(["OK-1,aurora,BTC-USD,buy,1,1,", line]);
    let ran = scene.run("");
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(error), "{}", ran.err);
    assert_eq!(ran.out, "");
    assert!(!Path::new(&scene.data()).exists(), "nothing was begun");
}

#[test]
fn all_bad_lines_are_named_and_all_bad_columns_of_a_line() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,hold,x,1,", "A-2,aurora,BTC-USD,buy,1,1,", "A-3,aurora"]);
    let ran = scene.run("");
    let named: Vec<_> =
        ran.err.lines().map(|line| line.rsplit("orders.csv:").next().unwrap_or(line)).collect();
    assert_eq!(
        named,
        [
            r#"2: column "side": "hold" is neither "buy" nor "sell""#,
            r#"2: column "quantity": "x" is not a decimal number"#,
            "4: 2 columns where there should be 7",
        ]
    );
}

#[test]
fn after_twenty_bad_lines_the_rest_is_counted() {
    let scene = Scene::new((0..33).map(|n| format!("A-{n},aurora,BTC-USD,buy,1,,")));
    let ran = scene.run("");
    assert_eq!(ran.err.lines().count(), 21);
    assert!(ran.err.ends_with("… and 13 more\n"), "{}", ran.err);
}

#[rstest]
#[case::bytes(b"id,exchange,symbol,side,quantity,price,bot\nA-1,\xff,BTC-USD,buy,1,1,\n".as_slice(),
    r#"orders.csv:2: column "exchange": is not UTF-8"#)]
#[case::other_columns(
    b"id,price\n1,2\n",
    r#"orders.csv:1: the columns are "id,price"; expected "id,exchange"#
)]
#[case::nothing(b"", r#"orders.csv:1: the columns are "" "#)]
#[case::no_orders(b"id,exchange,symbol,side,quantity,price,bot\n", "orders.csv: has no orders")]
fn a_bad_file_is_refused(#[case] content: &[u8], #[case] error: &str) {
    let scene = Scene::new::<&str>([]);
    std::fs::write(scene.file(), content).expect("it is written");
    let ran = scene.run("");
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(error.trim_end()), "{}", ran.err);
}

#[rstest]
#[case::no_such_file("--orders /nonexistent/orders.csv", "cannot read /nonexistent/orders.csv: No such file")]
#[case::a_directory("--orders /", "cannot read /: ")]
#[case::unknown_scheme(
    "--backend mysql://me:secret@host",
    "--backend mysql: is not a store known here; expected sqlite:PATH, redis://"
)]
#[case::no_scheme("--backend locks.db", "--backend has no scheme; expected sqlite:PATH, redis://")]
#[case::a_password_before_the_colon("--backend me@secret:6379", "--backend has no scheme")]
#[case::no_host("--backend redis:secret", "redis://: connect on redis: not the address of a Redis")]
#[case::nobody_listens("--backend redis://me:secret@127.0.0.1:1", "redis://127.0.0.1:1: connect on redis: ")]
#[case::no_such_host(
    "--backend rediss://me:secret@host.invalid",
    "rediss://host.invalid: connect on redis: "
)]
#[case::no_postgres("--backend postgres:secret", "connect on postgres: not the address of a PostgreSQL")]
#[case::no_server("--backend postgres://me:secret@127.0.0.1:1/d", "postgres://127.0.0.1:1#lock-examples-")]
#[case::no_server_to_be_had(
    "--backend postgres://me:secret@host.invalid/d",
    "postgres://host.invalid#lock-examples-"
)]
#[case::no_server_for_data(
    "--data postgres://me:secret@127.0.0.1:1/d#friday",
    "postgres://127.0.0.1:1#friday: no answer: "
)]
#[case::no_server_for_locks(
    "--data /nonexistent/data --backend postgres://me:secret@127.0.0.1:1/d",
    "postgres://127.0.0.1:1: connect on postgres: "
)]
#[case::no_schema(
    "--data postgres://me:secret@127.0.0.1:1/d",
    "--data postgres://127.0.0.1:1 names no schema; expected"
)]
#[case::no_place_for_data(
    "--data mysql://me:secret@127.0.0.1/d",
    "--data mysql: is no place for data; expected a directory, or postgres://"
)]
#[case::no_path("--backend sqlite:", "--backend sqlite: has no path")]
#[case::no_directory("--backend sqlite:/nonexistent/locks.db", "open on sqlite: the directory /nonexistent")]
#[case::nobody_there("--sockets 1 --schedulers 0", "--sockets and --schedulers must be 2 or more together")]
#[case::no_evaluator("--evaluators 0", "--evaluators must be 1 or more")]
#[case::nothing_at_once("--at-once 0", "--at-once must be one or more")]
#[case::a_short_ttl("--ttl 1ms", "ttl")]
fn what_cannot_run_is_said_in_one_line(#[case] args: &str, #[case] error: &str) {
    program().args(args.split_whitespace()).ended().assert_refused(error);
}

#[rstest]
#[case::one_slash("postgres:/me:secret@127.0.0.1:1/d#friday", "--data postgres: ")]
#[case::no_slash("postgresql:me:secret@127.0.0.1:1/d#friday", "--data postgresql: ")]
#[case::a_slip_of_the_pen("postgers:/me:secret@127.0.0.1:1/d#friday", "--data postgers: ")]
#[case::capitals("Postgres://me:secret@127.0.0.1:1/d#friday", "--data Postgres: ")]
#[case::no_scheme("me@secret://127.0.0.1:1/d#friday", "--data: ")]
#[case::redis("redis://me:secret@127.0.0.1:1", "--data redis: ")]
#[case::redis_with_one_slash("redis:/me:secret@127.0.0.1:1", "--data redis: ")]
#[case::etcd("etcds://me:secret@127.0.0.1:1/data", "--data etcds: ")]
#[case::sqlite("sqlite:secret/books.db", "--data sqlite: ")]
#[case::beside_locks("redis:/me:secret@127.0.0.1:1 --backend sqlite:locks.db --no-locks", "--data redis: ")]
fn what_is_no_place_for_data_is_never_made_a_directory(#[case] data: &str, #[case] error: &str) {
    let error = format!("error: {error}is no place for data; expected a directory, or postgres://");
    let dir = tempfile::tempdir().expect("a directory");
    let asked = |command: &[&str], data: &str| {
        let ran = program().args(command).arg("--data").args(data.split(' ')).current_dir(&dir).ended();
        assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
        assert!(ran.err.starts_with(&error) && ran.err.lines().count() == 1, "{}", ran.err);
        assert!(!ran.err.contains("secret"), "{}", ran.err);
    };
    asked(&[], data);
    asked(&["check"], data.split(' ').next().unwrap_or_default());
    assert_eq!(std::fs::read_dir(&dir).expect("the directory").count(), 0, "nothing was made");
}

#[test]
fn a_directory_may_have_a_colon_in_its_name() {
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,"]);
    let dir = tempfile::tempdir().expect("a directory");
    let mut command = program();
    command.arg("--orders").arg(scene.file()).args(["--data", "./a:b"]).current_dir(&dir);
    command.ended().assert_clean();
    assert!(dir.path().join("a:b/books.db").exists());
}

#[test]
fn a_password_of_the_store_is_in_no_output_and_with_a_wrong_one_nothing_is_begun() {
    let server = Server::with(Software::Redis, &["--user", "me", "on", ">right-secret", "~*", "&*", "+@all"]);
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,", "A-2,aurora,BTC-USD,buy,1,100,bot-1"]);
    let run = |password: &str| {
        let url = server.url().replace("://", &format!("://me:{password}@"));
        let ran = scene.command("").env("RUST_LOG", "trace").args(["--backend", &url]).ended();
        assert!(!ran.err.contains("secret") && !ran.out.contains("secret"), "{}{}", ran.out, ran.err);
        ran
    };
    let refused = run("wrong-secret");
    assert_eq!(refused.code, Some(2), "{}{}", refused.out, refused.err);
    let error = format!("error: {}: connect on redis: the user or the password is wrong", server.url());
    assert_eq!(refused.err.lines().last(), Some(&*error), "{}", refused.err);
    assert!(!Path::new(&scene.data()).exists(), "nothing was begun");

    let ran = run("right-secret");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(&format!("locks in {}", server.url())), "{}", ran.err);
}

/// One for the user `me` who has a password, and everything else for whoever comes as `postgres`.
fn with_a_password() -> (tempfile::TempDir, Server) {
    let dir =
        tempfile::Builder::new().permissions(Permissions::from_mode(0o755)).tempdir().expect("a directory");
    let rules = dir.path().join("pg_hba.conf");
    let text = "local all all trust\nhost all postgres all trust\nhost all all all scram-sha-256\n";
    std::fs::write(&rules, text).expect("it is written");
    let rules = format!("hba_file={}", rules.display());
    let server = Server::with(Software::Postgres, &["-c", &rules]);
    run(
        server.url(),
        "CREATE ROLE me LOGIN PASSWORD 'right-secret'; GRANT CREATE ON DATABASE postgres TO me",
    );
    (dir, server)
}

#[rstest]
#[case::temporary(&[])]
#[case::kept(&["--data", "#friday"])]
fn a_password_of_a_postgres_is_in_no_output_and_with_a_wrong_one_nothing_is_begun(#[case] data: &[&str]) {
    let (_dir, server) = with_a_password();
    let scene = Scene::new(["A-1,aurora,BTC-USD,buy,1,100,", "A-2,aurora,BTC-USD,buy,1,100,bot-1"]);
    let host = format!("postgres://127.0.0.1:{}", server.port());
    let run = |password: &str| {
        let url = server.url().replace("postgres@", &format!("me:{password}@"));
        let data = data.iter().map(|word| word.replace('#', &format!("{url}#")));
        let mut command = program();
        command.arg("--orders").arg(scene.file()).args(["--backend", &url]).args(data);
        let ran = command.env("RUST_LOG", "trace").ended();
        assert!(!ran.err.contains("secret") && !ran.out.contains("secret"), "{}{}", ran.out, ran.err);
        ran
    };
    let refused = run("wrong-secret");
    assert_eq!(refused.code, Some(2), "{}{}", refused.out, refused.err);
    let error = refused.err.lines().last().unwrap_or_default();
    assert!(error.starts_with(&format!("error: {host}#")), "{error}");
    assert!(error.ends_with(r#"the server says: password authentication failed for user "me""#), "{error}");

    let ran = run("right-secret");
    assert_eq!(ran.code, Some(0), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains(&format!("locks in {host}#")), "{}", ran.err);
}

#[rstest]
#[case::temporary("")]
#[case::kept("#friday")]
fn a_run_that_does_not_begin_leaves_nothing_in_postgres(#[case] schema: &str) {
    let database = Database::new();
    let before = database.objects();
    let mut command = program();
    command.args(["--ttl", "1ms", "--backend", &database.0]);
    if !schema.is_empty() {
        command.args(["--data", &format!("{}{schema}", database.0)]);
    }
    let ran = command.ended();
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.starts_with("error: ") && ran.err.contains("ttl"), "{}", ran.err);
    assert_eq!(database.objects(), before);
}

#[test]
fn help_names_the_stores_that_are_known() {
    let ran = program().arg("--help").ended();
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words.contains(examples::backend::KNOWN), "{}", ran.out);
}

#[rstest]
#[case::sqlite(Store::Sqlite, "books.db is there already")]
#[case::postgres(Store::Postgres, " is there already: remove it, or choose another schema")]
fn books_are_never_overwritten(#[case] store: Store, #[case] error: &str) {
    let scene = Scene::on(store, ["A-1,aurora,BTC-USD,buy,1,100,"]);
    scene.run("").assert_clean();
    let again = program().arg("--orders").arg(scene.file()).arg("--data").arg(scene.data()).ended();
    assert_eq!(again.code, Some(2), "{}", again.out);
    assert!(again.err.contains(error), "{}", again.err);
    assert_eq!(scene.number("SELECT count(*) FROM trades"), 1);
}

#[test]
fn a_check_of_no_books_in_a_postgres_says_so() {
    let database = Database::new();
    let before = database.objects();
    let ran = program().args(["check", "--data", &format!("{}#friday", database.0)]).ended();
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.starts_with("error: cannot open the books in postgres://"), "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    assert_eq!(database.objects(), before, "a check makes nothing");
}

#[rstest]
#[case::nothing_there(None)]
#[case::no_database(Some("this is not a database, and long enough to be seen not to be one"))]
fn a_check_of_no_books_says_so(#[case] content: Option<&str>) {
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("books.db");
    if let Some(content) = content {
        std::fs::write(&file, content).expect("it is written");
    }
    let ran = program().arg("check").arg("--data").arg(dir.path()).ended();
    assert_eq!(ran.code, Some(2), "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("cannot open") && ran.err.lines().count() == 1, "{}", ran.err);
    assert_eq!(file.exists(), content.is_some(), "a check makes nothing");
}
