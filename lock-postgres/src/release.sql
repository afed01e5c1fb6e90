-- Removes what is left of a claim that has lapsed or lacks a row; false, and nothing, if a transaction has pinned some of it.
-- One that is whole and alive was pinned a moment ago: it is no more than that, and stays.
CREATE FUNCTION {remove}(own bytea) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    rows_ bigint;
BEGIN
    -- Whoever renews or removes them has them for a moment. A pin is not waited for: it does not exclude this lock.
    PERFORM FROM {claims} WHERE owner = own FOR NO KEY UPDATE;
    GET DIAGNOSTICS rows_ = ROW_COUNT;
    WITH locked AS MATERIALIZED (
        SELECT ctid AS at, parts, expires > clock_timestamp() AS live FROM {claims} WHERE owner = own FOR UPDATE SKIP LOCKED
    )
    DELETE FROM {claims} WHERE ctid = ANY (ARRAY(SELECT at FROM locked)) AND rows_ = (SELECT count(*) FROM locked)
        AND NOT (SELECT count(*) = max(parts) AND bool_and(live) FROM locked);
    RETURN FOUND OR rows_ = 0;
END $$;

-- Rings every waiting claim that has room on all its keys without the claims that are leaving, and not with them.
CREATE FUNCTION {ring}(keys bytea[], leaving bigint[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    queue bytea; other record;
    -- Whether what an earlier release kept counts, and whether there is any: it is decided as they stand, and as if
    -- they were gone.
    counts boolean; met boolean := false;
    -- The room so far with those who are leaving, and without.
    n bigint; shared bigint; permits bigint; smallest integer;
    n_ bigint; shared_ bigint; permits_ bigint; smallest_ integer;
    elsewhere boolean; met_elsewhere boolean; alone boolean;
BEGIN
    FOREACH counts IN ARRAY ARRAY[true, false] LOOP
        EXIT WHEN NOT counts AND NOT met;
        FOR queue IN SELECT DISTINCT key FROM {claims} WHERE key = ANY (keys) AND number = ANY (leaving) LOOP
            n := 0; shared := 0; permits := 0; smallest := NULL;
            n_ := 0; shared_ := 0; permits_ := 0; smallest_ := NULL;
            FOR other IN
                SELECT number, owner, mode, parts, remnant, bell, tag, number = ANY (leaving) AS leaves
                FROM {claims} WHERE key = queue AND (expires > clock_timestamp() OR number = ANY (leaving)) ORDER BY number
            LOOP
                met := met OR other.remnant;
                CONTINUE WHEN other.remnant AND NOT counts;
                IF NOT other.leaves THEN
                    -- Behind one that has no room nobody has any.
                    EXIT WHEN NOT {fits}(other.mode, n_, shared_, permits_, smallest_);
                    IF NOT other.remnant AND other.bell <> '' AND NOT {fits}(other.mode, n, shared, permits, smallest) THEN
                        elsewhere := true;
                        alone := false;
                        IF other.parts > 1 THEN
                            -- Who is leaving another of its keys at this moment does not see that it gets this one, and
                            -- is not seen here: each would leave it to the other to ring. So where somebody is at work
                            -- it is rung, and where nobody is, nobody begins before this is over. Trying never waits.
                            SELECT bool_and(pg_try_advisory_xact_lock({table}(), bucket)) INTO alone
                            FROM (SELECT DISTINCT {bucket}(key) AS bucket FROM {claims} WHERE owner = other.owner) AS b;
                        END IF;
                        IF alone THEN
                            SELECT coalesce(bool_and({fits}(other.mode, ahead.n, ahead.shared, ahead.permits, ahead.smallest)), true),
                                coalesce(bool_or(ahead.remnant), false)
                            INTO elsewhere, met_elsewhere
                            FROM (
                                SELECT count(*) FILTER (WHERE c) AS n, count(*) FILTER (WHERE c AND mode = -1) AS shared,
                                    count(*) FILTER (WHERE c AND mode > 0) AS permits, min(mode) FILTER (WHERE c) AS smallest,
                                    bool_or(remnant) AS remnant
                                FROM (
                                    SELECT a.key, a.mode, a.remnant, counts OR NOT a.remnant AS c
                                    FROM {claims} AS its, LATERAL (
                                        SELECT * FROM {claims} AS a WHERE a.key = its.key AND a.number < its.number OFFSET 0
                                    ) AS a
                                    WHERE its.owner = other.owner AND its.key <> queue
                                        AND a.expires > clock_timestamp() AND a.number <> ALL (leaving)
                                ) AS a
                                GROUP BY key
                            ) AS ahead;
                            met := met OR met_elsewhere;
                        END IF;
                        IF elsewhere THEN
                            PERFORM pg_notify(other.bell, other.tag::text);
                        END IF;
                    END IF;
                    n_ := n_ + 1;
                    IF other.mode = -1 THEN shared_ := shared_ + 1; END IF;
                    IF other.mode > 0 THEN permits_ := permits_ + 1; smallest_ := least(smallest_, other.mode); END IF;
                END IF;
                n := n + 1;
                IF other.mode = -1 THEN shared := shared + 1; END IF;
                IF other.mode > 0 THEN permits := permits + 1; smallest := least(smallest, other.mode); END IF;
            END LOOP;
        END LOOP;
    END LOOP;
END $$;

-- Removes some claims, or leaves each as a remnant for `keep` milliseconds under the owner that `remnants` has for it, and
-- rings whoever has the turn. Answers 1 for each that was there, 0 for one that was not, and -1 for one that is still
-- there because a transaction has pinned it, or had a moment ago.
CREATE FUNCTION {release}(owners bytea[], keeps bigint[], remnants bytea[], keys bytea[])
RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    durable text; entered boolean;
    answers integer[];
    -- For each claim: its number, nothing if it was not found whole; and whether it had not lapsed.
    moment timestamptz; numbers bigint[]; lives boolean[]; going bytea[]; leaving bigint[];
    -- Who is told that it has its turn.
    bells text[]; rings text[]; heard integer;
BEGIN
    -- A release that a crash undoes costs no more than a ttl. What it keeps was promised.
    durable := CASE WHEN 0 = ALL (keeps) THEN set_config('synchronous_commit', 'off', true) END;
    entered := {enter}(keys);

    -- Mostly nobody waits, or somebody who wants no other key and wants this one alone: nobody behind that one has room. With
    -- its number it holds the key as soon as it hears of it, and asks no more.
    SELECT array_agg(owner), array_agg(bell), array_agg(ring), count(bell) INTO going, bells, rings, heard
    FROM (
        SELECT c.owner, next.bell, next.tag || ' ' || next.number AS ring
        FROM {claims} AS c LEFT JOIN LATERAL (
            SELECT * FROM {claims} AS b WHERE b.key = c.key AND b.number > c.number ORDER BY number LIMIT 1
        ) AS next ON true
        WHERE c.owner = ANY (owners) AND c.parts = 1 AND c.expires > clock_timestamp()
            AND (next.number IS NULL OR next.mode = 0 AND next.parts = 1 AND NOT next.remnant AND next.owner <> ALL (owners)
                AND next.expires > clock_timestamp()
                AND NOT EXISTS (SELECT FROM {claims} AS a WHERE a.key = c.key AND a.number < c.number))
        FOR UPDATE OF c SKIP LOCKED
    ) AS locked;
    IF 0 = ALL (keeps) AND cardinality(going) = cardinality(owners) THEN
        IF heard > 0 THEN
            PERFORM pg_notify(bell, ring) FROM unnest(bells, rings) AS next (bell, ring) WHERE bell <> '';
        END IF;
        DELETE FROM {claims} WHERE owner = ANY (going);
        RETURN array_fill(1, ARRAY[cardinality(owners)]);
    END IF;

    FOR attempt IN 1 .. 2 LOOP
        WITH locked AS MATERIALIZED (
            SELECT asked.i, c.number, c.parts, c.live
            FROM unnest(owners) WITH ORDINALITY AS asked (owner, i) LEFT JOIN LATERAL (
                SELECT number, parts, expires > clock_timestamp() AS live FROM {claims} WHERE owner = asked.owner
                FOR UPDATE SKIP LOCKED
            ) AS c ON true
        )
        SELECT array_agg(CASE WHEN whole THEN number END ORDER BY i), array_agg(whole AND live ORDER BY i)
        INTO numbers, lives
        FROM (
            SELECT i, max(number) AS number, bool_and(live) AS live, count(number) = max(parts) AS whole
            FROM locked GROUP BY i
        ) AS found;
        EXIT WHEN array_position(numbers, NULL) IS NULL;
        -- Whoever renews them has them for a moment. A pin is not waited for: it does not exclude this lock.
        PERFORM FROM {claims} WHERE owner = ANY (owners) FOR NO KEY UPDATE;
        EXIT WHEN NOT FOUND;
    END LOOP;

    SELECT array_agg(number) FILTER (WHERE live), array_agg(owner) FILTER (WHERE NOT live OR keep = 0)
    INTO leaving, going
    FROM unnest(owners, keeps, numbers, lives) AS found (owner, keep, number, live) WHERE number IS NOT NULL;
    PERFORM FROM {claims} WHERE key = ANY (keys) AND number > ANY (leaving) AND number <> ALL (leaving) LIMIT 1;
    IF FOUND THEN
        PERFORM {ring}(keys, leaving);
    END IF;
    DELETE FROM {claims} WHERE owner = ANY (going);
    IF NOT 0 = ALL (keeps) THEN
        -- The same for all rows of a claim.
        moment := clock_timestamp();
        UPDATE {claims} AS c
        SET owner = kept.remnant, expires = moment + kept.keep * interval '1 millisecond',
            ttl = kept.keep * interval '1 millisecond', remnant = true
        FROM unnest(owners, keeps, remnants, lives) AS kept (owner, keep, remnant, live)
        WHERE c.owner = kept.owner AND c.owner = ANY (owners) AND kept.keep > 0 AND kept.live;
    END IF;

    answers := array_fill(1, ARRAY[cardinality(owners)]);
    FOR i IN 1 .. cardinality(owners) LOOP
        IF numbers[i] IS NULL THEN
            answers[i] := CASE WHEN {remove}(owners[i]) THEN 0 ELSE -1 END;
        ELSIF NOT lives[i] OR array_position(owners, owners[i]) < i THEN
            answers[i] := 0;
        END IF;
    END LOOP;
    RETURN answers;
END $$;
