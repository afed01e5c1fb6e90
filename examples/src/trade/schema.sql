-- The books of the trade example. Quantities and prices are counts of hundred-millionths, times are
-- milliseconds since 1970.
CREATE TABLE books (
    name TEXT NOT NULL            -- with which the keys of their locks begin
) STRICT;

INSERT INTO books VALUES ('books-' || lower(hex(randomblob(4))));

CREATE TABLE orders (
    seq      INTEGER PRIMARY KEY,
    id       TEXT    NOT NULL UNIQUE,
    exchange TEXT    NOT NULL,
    symbol   TEXT    NOT NULL,
    side     TEXT    NOT NULL,
    quantity INTEGER NOT NULL,
    price    INTEGER NOT NULL,
    bot      TEXT
) STRICT;

CREATE TABLE trades (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    order_id  TEXT    NOT NULL UNIQUE,
    account   TEXT    NOT NULL,
    exchange  TEXT    NOT NULL,
    symbol    TEXT    NOT NULL,
    side      TEXT    NOT NULL,
    quantity  INTEGER NOT NULL,
    price     INTEGER NOT NULL,
    filled_at INTEGER NOT NULL,
    worker    TEXT    NOT NULL,
    token     INTEGER            -- the fencing token it was recorded under
) STRICT;

CREATE INDEX trades_by_account ON trades (account, filled_at);

CREATE TABLE positions (
    account       TEXT    NOT NULL,
    exchange      TEXT    NOT NULL,
    symbol        TEXT    NOT NULL,
    quantity      INTEGER NOT NULL,
    average_price INTEGER NOT NULL,
    fills         INTEGER NOT NULL,
    PRIMARY KEY (account, exchange, symbol)
) STRICT;

CREATE TABLE bots (
    id           TEXT    PRIMARY KEY,
    cooldown     INTEGER NOT NULL,
    created_at   INTEGER NOT NULL,
    last_fill_at INTEGER
) STRICT;

-- What this database itself had to refuse.
CREATE TABLE refusals (
    at       INTEGER NOT NULL,
    worker   TEXT    NOT NULL,
    order_id TEXT    NOT NULL,
    why      TEXT    NOT NULL
) STRICT;
