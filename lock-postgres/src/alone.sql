-- What is asked most: one claim that comes for the first time, or leaves for good, with one key that nobody else wants. Each says
-- what the step for many would say, and leaves to that whatever is not so simple.

CREATE FUNCTION {take}(
    own bytea, its_mode integer, its_ttl bigint, waits boolean, its_tag bigint, its_label text, its_key bytea, client text
) RETURNS bigint[] LANGUAGE plpgsql AS $$
DECLARE
    entered boolean := {enter}(ARRAY[its_key]);
    its_number bigint;
BEGIN
    INSERT INTO {claims} (key, number, owner, mode, parts, expires, ttl, bell, tag, label)
    SELECT its_key, {next}(), own, its_mode, 1, clock_timestamp() + its_ttl * interval '1 millisecond',
        its_ttl * interval '1 millisecond', client, its_tag, its_label
    WHERE NOT EXISTS (SELECT FROM {claims} WHERE key = its_key)
    RETURNING number INTO its_number;
    IF FOUND THEN
        RETURN ARRAY[its_number, its_ttl * 1000];
    END IF;
    RETURN {acquire}(ARRAY[own], ARRAY[its_mode], ARRAY[its_ttl], ARRAY[waits], ARRAY[its_tag], ARRAY[its_label], ARRAY[1],
        ARRAY[its_key], client);
END $$;

CREATE FUNCTION {leave}(own bytea, its_key bytea) RETURNS integer[] LANGUAGE plpgsql AS $$
DECLARE
    -- A release that a crash undoes costs no more than a ttl.
    durable text := set_config('synchronous_commit', 'off', true);
    entered boolean := {enter}(ARRAY[its_key]);
BEGIN
    DELETE FROM {claims} WHERE ctid = (
        SELECT ctid FROM {claims}
        WHERE key = its_key AND owner = own AND expires > clock_timestamp()
            AND number = (SELECT number FROM {claims} WHERE key = its_key ORDER BY number DESC LIMIT 1)
        FOR UPDATE SKIP LOCKED
    );
    IF FOUND THEN
        RETURN ARRAY[1];
    END IF;
    RETURN {release}(ARRAY[own], ARRAY[0::bigint], ARRAY[''::bytea], ARRAY[its_key]);
END $$;
