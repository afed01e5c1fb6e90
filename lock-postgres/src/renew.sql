-- Pushes the expiry of some claims to a full ttl from now. Answers 1 for each that was there and had not lapsed, 0 for
-- one that was not, and -1 for one that somebody else has locked and does not let go of. It has no place in the order of
-- those who enter queues, and so waits for a row no longer than a moment.
CREATE FUNCTION {renew}(owners bytea[], ttls bigint[]) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    answers integer[] := array_fill(NULL::integer, ARRAY[cardinality(owners)]);
    moment timestamptz;
    renewed integer[];
    n integer;
BEGIN
    FOR attempt IN 1 .. 2 LOOP
        -- The same for all rows of a claim.
        moment := clock_timestamp();
        -- Whoever finds a claim lapsed has to delete it before the key is free: so one that is locked here, and had not
        -- lapsed, still counts.
        WITH locked AS MATERIALIZED (
            SELECT asked.i, asked.ttl, c.at, c.parts
            FROM unnest(owners, ttls, answers) WITH ORDINALITY AS asked (owner, ttl, answer, i), LATERAL (
                SELECT ctid AS at, parts FROM {claims} WHERE owner = asked.owner AND expires > clock_timestamp()
                FOR NO KEY UPDATE SKIP LOCKED
            ) AS c
            WHERE asked.answer IS NULL
        ), renewed AS (
            -- A row that somebody has just written is at another place, where it is found the next time.
            UPDATE {claims} AS c SET expires = moment + its.ttl * interval '1 millisecond'
            FROM (SELECT i, ttl, at, count(*) OVER (PARTITION BY i) = parts AS whole FROM locked) AS its
            WHERE c.ctid = its.at AND its.whole
            RETURNING its.i, c.parts
        )
        SELECT coalesce(array_agg(i), '{}') INTO renewed
        FROM (SELECT i FROM renewed GROUP BY i HAVING count(*) = max(parts)) AS entirely;
        FOREACH n IN ARRAY renewed LOOP
            answers[n] := 1;
        END LOOP;
        FOR n IN
            SELECT i FROM unnest(owners, answers) WITH ORDINALITY AS asked (owner, answer, i)
            WHERE answer IS NULL
                AND (SELECT count(*) > 0 FROM {claims} WHERE owner = asked.owner AND expires > clock_timestamp())
        LOOP
            -- Locked by somebody else a moment ago.
            IF attempt = 2 THEN
                answers[n] := -1;
                CONTINUE;
            END IF;
            BEGIN
                PERFORM set_config('lock_timeout', '20ms', true);
                PERFORM FROM {claims} WHERE owner = owners[n] FOR NO KEY UPDATE;
            EXCEPTION WHEN lock_not_available THEN
                answers[n] := -1;
            END;
        END LOOP;
    END LOOP;
    RETURN array_replace(answers, NULL, 0);
END $$;
