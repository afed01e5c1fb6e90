-- The books of the trade example. Quantities and prices are counts of hundred-millionths, times are
-- milliseconds since 1970. SQLite and PostgreSQL both understand it, once {number} and {now} are filled in.
CREATE TABLE books (
    name text NOT NULL            -- with which the keys of their locks begin
);

CREATE TABLE orders (
    seq      bigint PRIMARY KEY,
    id       text   NOT NULL UNIQUE,
    exchange text   NOT NULL,
    symbol   text   NOT NULL,
    side     text   NOT NULL,
    quantity bigint NOT NULL,
    price    bigint NOT NULL,
    bot      text
);

CREATE TABLE trades (
    id        {number},
    order_id  text   NOT NULL UNIQUE,
    account   text   NOT NULL,
    exchange  text   NOT NULL,
    symbol    text   NOT NULL,
    side      text   NOT NULL,
    quantity  bigint NOT NULL,
    price     bigint NOT NULL,
    filled_at bigint NOT NULL DEFAULT {now},
    worker    text   NOT NULL,
    token     bigint               -- the fencing token it was recorded under
);

CREATE INDEX trades_by_account ON trades (account, filled_at);

-- There from the beginning: a row that is not there cannot be locked.
CREATE TABLE positions (
    id            text   PRIMARY KEY,
    account       text   NOT NULL,
    exchange      text   NOT NULL,
    symbol        text   NOT NULL,
    quantity      bigint NOT NULL DEFAULT 0,
    average_price bigint NOT NULL DEFAULT 0,
    fills         bigint NOT NULL DEFAULT 0
);

CREATE TABLE bots (
    id           text   PRIMARY KEY,
    cooldown     bigint NOT NULL,
    created_at   bigint NOT NULL DEFAULT {now},
    last_fill_at bigint
);

-- What this database itself had to refuse.
CREATE TABLE refusals (
    id       {number},
    at       bigint NOT NULL DEFAULT {now},
    worker   text   NOT NULL,
    order_id text   NOT NULL,
    why      text   NOT NULL
);

CREATE VIEW clock AS SELECT {now} AS now;
