-- Looks once for each of some claims, in order. Each has a stretch of `keys`, from its `first` to the next one's.
-- Answers two numbers for each: its token and its lease, or 0 and when to look again, or -1 and 0 if it cannot be told
-- because rows of an earlier grant of the same claim are pinned by a transaction. Times are microseconds.
CREATE FUNCTION {acquire}(
    owners bytea[], modes integer[], ttls bigint[], waits boolean[], tags bigint[], labels text[],
    firsts integer[], keys bytea[], client text
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    entered boolean;
    answers bigint[];
    settled boolean[];
    -- The claim that is looked at.
    own bytea; its_mode integer; its_ttl interval; its_keys bytea[]; its_number bigint;
    occupied boolean; stands boolean; looked integer;
    -- Whether it lacks room behind all that is there, and behind what has not lapsed.
    full_ boolean; full_of_live boolean; from_the_future boolean;
    first_lapse timestamptz; expiry timestamptz;
BEGIN
    IF cardinality(keys) = 1 THEN
        -- Most ask alone, for one key that nobody else wants.
        PERFORM FROM {claims} WHERE key = keys[1] LIMIT 1;
        IF NOT FOUND THEN
            entered := {enter}(keys);
            INSERT INTO {claims} (key, number, owner, mode, parts, expires, ttl, bell, tag, label)
            SELECT keys[1], {next}(), owners[1], modes[1], 1, clock_timestamp() + ttls[1] * interval '1 millisecond',
                ttls[1] * interval '1 millisecond', client, tags[1], labels[1]
            -- Somebody may have come while it waited to enter.
            WHERE NOT EXISTS (SELECT FROM {claims} WHERE key = keys[1])
            RETURNING number INTO its_number;
            IF FOUND THEN
                RETURN ARRAY[its_number, ttls[1] * 1000];
            END IF;
        END IF;
    END IF;
    answers := array_fill(0::bigint, ARRAY[2 * cardinality(owners)]);
    settled := array_fill(false, ARRAY[cardinality(owners)]);
    PERFORM FROM {claims} WHERE owner = ANY (owners) LIMIT 1;
    -- Whoever has a place looks first without keeping others out: those ahead were all there when it came, and can only
    -- go. So a hand-over does not wait for the disk on behalf of somebody who comes.
    FOR enters IN CASE WHEN FOUND THEN 0 ELSE 1 END .. 1 LOOP
        EXIT WHEN true = ALL (settled);
        entered := CASE enters WHEN 1 THEN {enter}(keys) END;
        FOR i IN 1 .. cardinality(owners) LOOP
            CONTINUE WHEN settled[i];
            own := owners[i];
            its_mode := modes[i];
            its_ttl := ttls[i] * interval '1 millisecond';
            its_keys := keys[firsts[i] : coalesce(firsts[i + 1] - 1, cardinality(keys))];

            its_number := NULL;
            full_ := false;
            -- Most come to keys that nobody else wants.
            PERFORM FROM {claims} WHERE key = ANY (its_keys) LIMIT 1;
            occupied := FOUND;
            IF occupied THEN
                SELECT max(number), min(expires), coalesce(count(*) = max(parts) AND bool_and(expires > clock_timestamp()), false)
                INTO its_number, expiry, stands
                FROM {claims} WHERE owner = own;
                CONTINUE WHEN enters = 0 AND NOT stands;
                IF its_number IS NOT NULL AND NOT stands THEN
                    -- It lapsed: what is left goes.
                    IF NOT {remove}(own) THEN
                        answers[2 * i - 1] := -1;
                        CONTINUE;
                    END IF;
                    its_number := NULL;
                END IF;

                -- The room rule. Rows that have lapsed count until they are gone, which one that a transaction has pinned
                -- is not.
                looked := 0;
                LOOP
                    SELECT coalesce(bool_or(NOT fits), false), coalesce(bool_or(NOT fits_live), false), coalesce(bool_or(ahead), false),
                        min(lapse) FILTER (WHERE NOT fits_live)
                    INTO full_, full_of_live, from_the_future, first_lapse
                    FROM (
                        SELECT {fits}(its_mode, count(*), count(*) FILTER (WHERE mode = -1), count(*) FILTER (WHERE mode > 0), min(mode)) AS fits,
                            {fits}(its_mode, count(*) FILTER (WHERE live), count(*) FILTER (WHERE live AND mode = -1),
                                count(*) FILTER (WHERE live AND mode > 0), min(mode) FILTER (WHERE live)) AS fits_live,
                            bool_or(ahead) AS ahead,
                            min(expires) FILTER (WHERE live) AS lapse
                        FROM (
                            SELECT key, mode, expires, expires > clock_timestamp() AS live, expires > clock_timestamp() + ttl AS ahead
                            FROM {claims}
                            WHERE key = ANY (its_keys) AND (its_number IS NULL OR number < its_number)
                        ) AS ahead
                        GROUP BY key
                    ) AS queues;
                    looked := looked + 1;
                    EXIT WHEN looked = 3 OR enters = 0;
                    IF from_the_future THEN
                        -- The clock was set back. Or it would last as much longer.
                        UPDATE {claims} SET expires = clock_timestamp() + ttl
                        WHERE key = ANY (its_keys) AND (its_number IS NULL OR number < its_number) AND expires > clock_timestamp() + ttl;
                    ELSIF full_ AND NOT full_of_live THEN
                        DELETE FROM {claims} AS c USING (
                            SELECT key, number FROM {claims}
                            WHERE key = ANY (its_keys) AND (its_number IS NULL OR number < its_number) AND expires <= clock_timestamp()
                            FOR UPDATE SKIP LOCKED
                        ) AS lapsed
                        WHERE c.key = lapsed.key AND c.number = lapsed.number;
                        looked := 2;
                    ELSE
                        EXIT;
                    END IF;
                END LOOP;
            END IF;
            CONTINUE WHEN enters = 0 AND (full_ OR NOT occupied OR expiry <= clock_timestamp());

            IF its_number IS NULL AND (waits[i] OR NOT full_) THEN
                its_number := {next}();
                expiry := clock_timestamp() + its_ttl;
                INSERT INTO {claims} (key, number, owner, mode, parts, expires, ttl, bell, tag, label)
                SELECT key, its_number, own, its_mode, cardinality(its_keys), expiry, its_ttl, client, tags[i], labels[i]
                FROM unnest(its_keys) AS key;
            ELSIF its_number IS NOT NULL AND full_ THEN
                expiry := clock_timestamp() + its_ttl;
                UPDATE {claims} SET expires = expiry, bell = client WHERE owner = own;
            END IF;
            IF NOT full_ THEN
                -- One that waited was stored when it came, and last when it looked. It needs no write to be the holder.
                answers[2 * i - 1] := its_number;
            END IF;
            -- Nobody tells when a transaction lets go of what it has pinned. And should the clock have been set back, what
            -- lies further ahead than the ttl will be cut to it.
            expiry := CASE WHEN full_ THEN coalesce(first_lapse, clock_timestamp() + interval '50 milliseconds')
                ELSE least(expiry, clock_timestamp() + its_ttl) END;
            answers[2 * i] := greatest((extract(epoch FROM expiry - clock_timestamp()) * 1000000)::bigint, 0);
            settled[i] := true;
        END LOOP;
    END LOOP;
    RETURN answers;
END $$;
