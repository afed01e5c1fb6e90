-- Removes what has lapsed and nobody asked for since, and says what stands in the way of what is removed: whether this
-- user should vacuum the table, and if that would not help because of an old snapshot, whose it is.
CREATE FUNCTION {sweep}(OUT vacuum boolean, OUT snapshot text) LANGUAGE plpgsql AS $$
DECLARE
    live bigint := pg_stat_get_live_tuples({'claims'}::regclass);
    dead bigint := pg_stat_get_dead_tuples({'claims'}::regclass);
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    DELETE FROM {claims} WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {claims} WHERE expires <= clock_timestamp() LIMIT 10000 FOR UPDATE SKIP LOCKED
    ));

    IF dead > 1000 + live / 5 THEN
        -- Not everybody may see since when another user's transaction lasts.
        SELECT format('process %s (%s), for %s transactions%s', pid, application_name, age(backend_xmin),
            ', since ' || date_trunc('second', xact_start))
        INTO snapshot
        FROM pg_stat_activity
        WHERE backend_xmin IS NOT NULL AND pid <> pg_backend_pid()
            AND coalesce(xact_start < clock_timestamp() - interval '20 seconds', age(backend_xmin) > 1000)
        ORDER BY age(backend_xmin) DESC
        LIMIT 1;
        vacuum := snapshot IS NULL AND (SELECT pg_has_role(relowner, 'USAGE') FROM pg_class WHERE oid = {'claims'}::regclass);
    END IF;
    vacuum := coalesce(vacuum, false);
END $$;
