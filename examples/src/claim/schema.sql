-- The ledger of the claim example. Amounts are counts of hundred-millionths; days and times are texts that sort as they
-- should. SQLite and PostgreSQL both understand it, once {number} and {now} (milliseconds since 1970) are filled in.
CREATE TABLE ledger (
    name text NOT NULL            -- with which the keys of its locks begin
);

CREATE TABLE policies (
    id         text   PRIMARY KEY,
    region     text   NOT NULL,
    cover      bigint NOT NULL,
    most       bigint NOT NULL,   -- what it pays over all its days
    first_day  text   NOT NULL,
    last_day   text   NOT NULL
);

CREATE TABLE events (
    id     text   PRIMARY KEY,
    region text   NOT NULL,
    tier   bigint NOT NULL,
    at     text   NOT NULL,
    day    text   NOT NULL
);

CREATE INDEX events_by_region ON events (region, day);

-- Nothing here keeps a tier from being paid twice for a day: only the lock does, and one can see that it does. (Not called
-- claims: lock-postgres has a table of that name, and may have it in the same schema.)
CREATE TABLE policy_claims (
    id        {number},
    policy_id text   NOT NULL,
    day       text   NOT NULL,
    tier      bigint NOT NULL,
    event_id  text   NOT NULL,
    amount    bigint NOT NULL
);

CREATE INDEX policy_claims_by_policy ON policy_claims (policy_id, day);

-- That a day was calculated, also where it paid nothing.
CREATE TABLE calculations (
    id        {number},
    at        bigint NOT NULL DEFAULT {now},
    policy_id text   NOT NULL,
    day       text   NOT NULL,
    worker    text   NOT NULL,
    token     bigint              -- the fencing token it was calculated under
);

CREATE INDEX calculations_by_policy ON calculations (policy_id, day);

-- What this database itself had to refuse.
CREATE TABLE refusals (
    id        {number},
    at        bigint NOT NULL DEFAULT {now},
    policy_id text   NOT NULL,
    day       text   NOT NULL,
    worker    text   NOT NULL
);
