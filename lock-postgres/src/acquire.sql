-- Looks once for each of some claims, in order. Each has a stretch of `keys`, from its `first` to the next one's.
-- Answers two numbers for each: its token and its lease; or when to look again, after 0, or less than that: minus the number
-- of the place that it has; or -1 and 0 if it cannot be told because rows of an earlier grant of the same claim are pinned by a
-- transaction. Times are microseconds.
CREATE FUNCTION {acquire}(
    owners bytea[], modes integer[], ttls bigint[], waits boolean[], tags bigint[], labels text[],
    firsts integer[], keys bytea[], client text
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    entered boolean;
    answers bigint[];
    settled boolean[];
    -- The claim that is looked at.
    own bytea; its_mode integer; its_ttl interval; its_keys bytea[]; its_number bigint; before bigint;
    occupied boolean; stands boolean; looked integer;
    -- Whether it lacks room behind all that is there, and behind what has not lapsed.
    full_ boolean; full_of_live boolean; from_the_future boolean;
    first_lapse timestamptz; expiry timestamptz;
BEGIN
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
                before := coalesce(its_number, 9223372036854775807);
                LOOP
                    SELECT coalesce(bool_or(NOT fits), false), coalesce(bool_or(NOT fits_live), false), coalesce(bool_or(ahead), false),
                        min(least(lapse, oldest)) FILTER (WHERE NOT fits_live)
                    INTO full_, full_of_live, from_the_future, first_lapse
                    -- Who comes to a long queue must not cost more than one who comes to a short one. As many permits as there are
                    -- fill the key.
                    FROM unnest(its_keys) AS its_key, LATERAL (
                        SELECT {fits}(its_mode, count(*), count(*) FILTER (WHERE mode = -1), count(*) FILTER (WHERE mode > 0), min(mode)) AS fits,
                            bool_or(ahead) AS ahead
                        FROM (
                            SELECT mode, expires > clock_timestamp() + ttl AS ahead FROM {claims}
                            WHERE key = its_key AND number < before AND (mode <> -1 OR its_mode <> -1)
                            ORDER BY number DESC LIMIT greatest(its_mode, 16)
                        ) AS nearest
                    ) AS queue, LATERAL (
                        SELECT {fits}(its_mode, count(*), count(*) FILTER (WHERE mode = -1), count(*) FILTER (WHERE mode > 0), min(mode)) AS fits_live,
                            min(expires) AS lapse
                        FROM (
                            SELECT mode, expires FROM {claims}
                            WHERE key = its_key AND number < before AND (mode <> -1 OR its_mode <> -1) AND expires > clock_timestamp()
                            ORDER BY number DESC LIMIT greatest(its_mode, 16)
                        ) AS nearest
                    ) AS living, LATERAL (
                        -- More than the one just ahead count, and the oldest, too: those between may leave, which rings nobody
                        -- while a dead one has not lapsed.
                        SELECT min(expires) AS oldest FROM (
                            SELECT expires FROM {claims}
                            WHERE key = its_key AND number < before AND (mode <> -1 OR its_mode <> -1) AND expires > clock_timestamp()
                            ORDER BY number LIMIT 1
                        ) AS oldest
                    ) AS oldest;
                    looked := looked + 1;
                    EXIT WHEN looked = 3 OR enters = 0;
                    IF from_the_future THEN
                        -- The clock was set back. Or it would last as much longer.
                        UPDATE {claims} SET expires = clock_timestamp() + ttl
                        WHERE key = ANY (its_keys) AND number < before AND expires > clock_timestamp() + ttl;
                    ELSIF full_ AND NOT full_of_live THEN
                        DELETE FROM {claims} WHERE ctid = ANY (ARRAY(
                            SELECT ctid FROM {claims}
                            WHERE key = ANY (its_keys) AND number < before AND expires <= clock_timestamp()
                            FOR UPDATE SKIP LOCKED
                        ));
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
            -- One that waited was stored when it came, and last when it looked. It needs no write to be the holder.
            answers[2 * i - 1] := CASE WHEN full_ THEN coalesce(-its_number, 0) ELSE its_number END;
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
