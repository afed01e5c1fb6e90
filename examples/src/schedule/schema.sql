-- The rota of the schedule example. Times are milliseconds since 1970. SQLite and PostgreSQL both understand it, once
-- {number} and {now} are filled in.
CREATE TABLE rota (
    name text NOT NULL            -- with which the keys of its locks begin
);

CREATE TABLE people (
    seq   bigint PRIMARY KEY,
    name  text   NOT NULL UNIQUE,
    hours bigint NOT NULL         -- of the contract, in a block
);

CREATE TABLE blocks (
    seq          bigint PRIMARY KEY,
    id           text   NOT NULL UNIQUE,
    generated_at bigint,          -- none: it has not been
    worker       text,
    token        bigint           -- the fencing token it was generated under
);

CREATE TABLE shifts (
    seq    bigint PRIMARY KEY,
    id     text   NOT NULL UNIQUE,
    block  text   NOT NULL,
    starts bigint NOT NULL,
    ends   bigint NOT NULL
);

-- Who has a shift. There once its block is generated.
CREATE TABLE assignments (
    id      text   PRIMARY KEY,   -- the shift
    person  text   NOT NULL,
    room    text   NOT NULL DEFAULT '',
    note    text   NOT NULL DEFAULT '',
    turn    bigint NOT NULL DEFAULT 1,  -- grows when it goes to somebody else
    version bigint NOT NULL DEFAULT 1   -- grows with every change
);

CREATE TABLE swaps (
    id           {number},
    requested_at bigint NOT NULL DEFAULT {now},
    person       text   NOT NULL, -- who asks
    gives        text   NOT NULL, -- a shift of his
    gives_turn   bigint NOT NULL, -- as it was when he asked
    takes        text   NOT NULL, -- a shift of somebody else
    takes_turn   bigint NOT NULL,
    state        text   NOT NULL DEFAULT 'pending',
    why          text,            -- it was refused
    settled_at   bigint,
    worker       text,
    token        bigint
);

-- What became of assignments, written with it: who got a shift, and what was edited.
CREATE TABLE handovers (
    id     {number},
    shift  text   NOT NULL,
    turn   bigint NOT NULL,
    person text   NOT NULL,
    swap   bigint,                -- none: it was generated so
    moment bigint                 -- the first of what happened at once, if it is not that itself
);

CREATE INDEX handovers_by_shift ON handovers (shift, turn);

CREATE TABLE edits (
    id     {number},
    shift  text NOT NULL,
    worker text NOT NULL,
    room   text,                  -- what it became, if it was changed
    note   text                   -- what was added
);

-- What was read of a day, shift by shift.
CREATE TABLE boards (
    id     {number},
    worker text NOT NULL
);

CREATE TABLE lines (
    board  bigint NOT NULL,
    shift  text   NOT NULL,
    turn   bigint NOT NULL,
    person text   NOT NULL
);

-- What this database itself had to refuse.
CREATE TABLE refusals (
    id     {number},
    at     bigint NOT NULL DEFAULT {now},
    worker text   NOT NULL,
    what   text   NOT NULL
);

CREATE VIEW clock AS SELECT {now} AS now;
