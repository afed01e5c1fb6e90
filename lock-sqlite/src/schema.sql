-- Version 1. Times are nanoseconds of CLOCK_BOOTTIME unless they say otherwise; they mean nothing in another boot.

CREATE TABLE lock_meta (
    one     INTEGER PRIMARY KEY CHECK (one = 1),
    version INTEGER NOT NULL,
    boot    TEXT    NOT NULL,           -- the kernel's boot id, in which all expiries count
    last    INTEGER NOT NULL            -- the last arrival number, which is the last token
) STRICT;

CREATE TABLE lock_claims (
    owner   BLOB    PRIMARY KEY,        -- secret, 16 bytes; a cooldown's is random
    number  INTEGER NOT NULL,           -- arrival, position and token in one
    mode    INTEGER NOT NULL,           -- 0 exclusive, -1 shared, n one of n permits
    expires INTEGER NOT NULL,
    keys    TEXT    NOT NULL,           -- joined by line feeds, which no key contains
    tag     INTEGER NOT NULL,           -- what a ring carries
    bell    TEXT    NOT NULL,           -- the client to ring; none for what a cooldown keeps
    label   TEXT    NOT NULL,
    arrived INTEGER NOT NULL            -- microseconds since 1970, for people
) STRICT, WITHOUT ROWID;

CREATE TABLE lock_queue (
    key     TEXT    NOT NULL,
    number  INTEGER NOT NULL,
    mode    INTEGER NOT NULL,
    owner   BLOB    NOT NULL,
    PRIMARY KEY (key, number)
) STRICT, WITHOUT ROWID;

INSERT INTO lock_meta VALUES (1, 1, '', 0);
