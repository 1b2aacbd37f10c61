-- Append frames to a generation's log and publish them, in one atomic step; the fence is here (docs/protocol.md §1).
-- KEYS: the log (a stream with ids <attempt>-<sequence>), the channel.
-- ARGV: attempt; the sequence to append after, or -1 to open the attempt; expiry in ms; '1' if the last frame is terminal;
-- '1' if the frame to append after may be another attempt's; frames.
-- Answers {verdict, sequence, owner}: ok | superseded | closed | diverged, the log's last sequence and whose it is.
local attempt = tonumber(ARGV[1])
local after = tonumber(ARGV[2])
local terminal = ARGV[4] == '1'
local rewrites_opening = ARGV[5] == '1'
local frames = #ARGV - 5

-- The log's last entry is its whole state: who wrote it, its sequence, and whether it ended the log.
local last = redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1]
local owner, sequence, closed = 0, 0, false
if last then
    local a, s = string.match(last[1], '^(%d+)-(%d+)$')
    owner, sequence, closed = tonumber(a), tonumber(s), last[2][3] ~= nil
end

if owner > attempt then
    return { 'superseded', sequence, owner }
end
if owner == attempt and (after < 0 or sequence == after + frames) then
    return { 'ok', sequence, owner } -- the same append again: its answer was lost
end
if closed then
    return { 'closed', sequence, owner }
end
-- A server that lost its last second may have lost this attempt's opening, and an earlier one have written in its place:
-- the sequence alone does not tell.
if after > 0 and owner ~= attempt and not rewrites_opening or after >= 0 and after ~= sequence then
    return { 'diverged', sequence, owner }
end

for i = 6, #ARGV do
    sequence = sequence + 1
    local id = string.format('%d-%d', attempt, sequence)
    if terminal and i == #ARGV then
        -- The entry keeps whether the frame had a live subscriber: an answer that nobody read live is replayed when its chat
        -- is opened.
        local had_subscriber = redis.call('PUBLISH', KEYS[2], id .. ' 1\n' .. ARGV[i])
        redis.call('XADD', KEYS[1], id, 'frame', ARGV[i], 'terminal', had_subscriber)
    else
        redis.call('XADD', KEYS[1], id, 'frame', ARGV[i])
        redis.call('PUBLISH', KEYS[2], id .. ' 0\n' .. ARGV[i])
    end
end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 'ok', sequence, attempt }
