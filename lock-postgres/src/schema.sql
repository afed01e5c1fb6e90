-- The first version of what locks are kept in. A word in braces stands for a quoted name.
-- ASCII alone: a database need not know more.
--
-- Statistics may say that the table is empty long after it has filled, and then a plan that reads all of it looks as cheap as one
-- that looks up a row. So no step joins it in an order that is left to the planner: it is looked up by a parameter, row by row
-- (LATERAL with a lock or an OFFSET, a sublink that is one value), or by ctid.

-- One row for each claim and key; a key's rows in the order of their numbers are its queue.
CREATE TABLE {claims} (
    key bytea NOT NULL,
    -- Arrival, place in every queue, and token: the same in all rows of a claim.
    number bigint NOT NULL,
    -- Whoever knows it can renew and release the claim.
    owner bytea NOT NULL,
    -- 0 exclusive, -1 shared, n one of n permits.
    mode integer NOT NULL,
    -- How many rows the claim has. With fewer, it has lapsed.
    parts integer NOT NULL,
    -- The same in all rows of a claim. In no index, so that renewing touches none.
    expires timestamptz NOT NULL,
    ttl interval NOT NULL,
    -- What a release kept: nobody's claim any more.
    remnant boolean NOT NULL DEFAULT false,
    -- The channel of its client, and what is said there when it is its turn, with its number if that is certain.
    bell text NOT NULL,
    tag bigint NOT NULL,
    -- For people who look.
    label text NOT NULL,
    arrived timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (key, number)
) WITH (
    -- A renewed row stays on its page.
    fillfactor = 70,
    -- Rows come and go; what they leave behind is small and has to go soon.
    autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_cost_delay = 0,
    -- Giving pages back takes a lock that everybody waits for, and they are needed again at once.
    vacuum_truncate = false
);
CREATE INDEX {index} ON {claims} (owner);

CREATE SEQUENCE {number} MAXVALUE 9007199254740991;

-- The next number. At least the clock, in microseconds since 1970, but for a second: so that numbers outgrow what a restored dump
-- or a promoted standby has forgotten.
CREATE FUNCTION {next}() RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    n bigint := nextval({'number'});
    micros bigint := date_part('epoch', clock_timestamp()) * 1000000;
BEGIN
    IF n >= micros - 1000000 THEN RETURN n; END IF;
    -- One at a time, or it might be set back. Whoever comes second finds that it is done, and waits for no more than that:
    -- the counter knows of no transaction, and other keys are not to wait for the end of this one.
    BEGIN
        PERFORM pg_advisory_lock({table}(), -1);
        n := nextval({'number'});
        IF n < micros - 1000000 THEN n := setval({'number'}, micros); END IF;
        PERFORM pg_advisory_unlock({table}(), -1);
    EXCEPTION WHEN OTHERS OR query_canceled THEN
        -- Or the connection would keep it.
        PERFORM pg_advisory_unlock({table}(), -1);
        RAISE;
    END;
    RETURN n;
END $$;

-- What the locks of this table have in common.
CREATE FUNCTION {table}() RETURNS integer LANGUAGE sql STABLE AS $$
    SELECT {'claims'}::regclass::oid::bigint::bit(32)::integer
$$;

CREATE FUNCTION {bucket}(key bytea) RETURNS integer LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtext(encode(key, 'hex') COLLATE "C") & 1023
$$;

-- Lets nobody else into the queues of some keys until the end of the transaction. Keys share a fixed number of locks,
-- which are always taken in the same order.
CREATE FUNCTION {enterall}(keys bytea[]) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    -- A statement must see what was committed while an earlier one waited for these locks.
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE 'the transaction is %; it must be read committed', current_setting('transaction_isolation');
    END IF;
    PERFORM pg_advisory_xact_lock({table}(), bucket)
    FROM (SELECT DISTINCT {bucket}(key) AS bucket FROM unnest(keys) AS key ORDER BY bucket) AS buckets;
    RETURN true;
END $$;

-- The same. For one key it becomes a part of whoever calls it, which costs a tenth of a statement.
CREATE FUNCTION {enter}(keys bytea[]) RETURNS boolean LANGUAGE sql AS $$
    SELECT CASE WHEN cardinality(keys) = 1 AND current_setting('transaction_isolation') = 'read committed'
        THEN pg_advisory_xact_lock({table}(), {bucket}(keys[1])) IS NOT NULL
        ELSE {enterall}(keys) END
$$;

-- The room rule: whether a claim of a mode has room behind `n` others, so many of them shared, so many of them permits,
-- the smallest of these one of `smallest`.
CREATE FUNCTION {fits}(mode integer, n bigint, shared bigint, permits bigint, smallest integer) RETURNS boolean
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE mode
        WHEN 0 THEN n = 0
        WHEN -1 THEN n = shared
        ELSE n = permits AND n < least(mode, smallest)
    END
$$;
