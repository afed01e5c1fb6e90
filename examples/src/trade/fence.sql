-- Reads a position and raises its fence, unless it has seen a higher token.
INSERT INTO positions (account, exchange, symbol, quantity, average_price, fills, token)
VALUES (?1, ?2, ?3, 0, 0, 0, ?4)
ON CONFLICT (account, exchange, symbol) DO UPDATE SET token = excluded.token WHERE token <= excluded.token
RETURNING quantity, average_price, fills
