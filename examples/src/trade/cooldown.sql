-- Trades of a bot that came too soon after its last one, or after its creation.
SELECT bot, earlier, later, apart, cooldown
FROM (
    SELECT bots.id AS bot,
           bots.cooldown AS cooldown,
           lag(trades.order_id) OVER turns AS earlier,
           trades.order_id AS later,
           trades.filled_at - coalesce(lag(trades.filled_at) OVER turns, bots.created_at) AS apart
    FROM trades JOIN bots ON bots.id = trades.account
    WINDOW turns AS (PARTITION BY bots.id ORDER BY trades.filled_at, trades.id)
) AS gaps
WHERE apart < cooldown
ORDER BY bot, later
