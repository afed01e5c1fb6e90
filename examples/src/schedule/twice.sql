-- Who has two shifts at one time.
SELECT one.person, a.id, b.id
FROM assignments AS one
JOIN shifts AS a ON a.id = one.id
JOIN assignments AS other ON other.person = one.person
JOIN shifts AS b ON b.id = other.id
WHERE a.seq < b.seq AND a.starts < b.ends AND b.starts < a.ends
ORDER BY one.person, a.seq, b.seq
