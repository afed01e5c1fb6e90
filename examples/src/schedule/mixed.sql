-- Boards on which a line shows what came at a moment, and another what had ended by then: nobody can have seen both at once.
-- Where there was nothing yet, what had ended was the time before the block was generated.
SELECT boards.id, boards.worker, min(new.shift), min(old.shift)
FROM boards
JOIN lines AS new ON new.board = boards.id
JOIN handovers AS came ON came.shift = new.shift AND came.turn = new.turn
JOIN lines AS old ON old.board = boards.id
JOIN handovers AS ended ON ended.shift = old.shift AND ended.turn = old.turn + 1
WHERE coalesce(ended.moment, ended.id) <= coalesce(came.moment, came.id)
GROUP BY boards.id, boards.worker
ORDER BY boards.id
