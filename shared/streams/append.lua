-- Append frames to a generation's log and publish them, in one atomic step; the fence is here (docs/protocol.md §1).
-- KEYS: the log (a stream with ids <attempt>-<sequence>), the channel; while the prefix changes, both under the other prefix too.
-- ARGV: attempt; the sequence to append after, or -1 to open the attempt; expiry in ms; '1' if the last frame is terminal;
-- '1' if the frame to append after may be another attempt's; frames.
-- Answers {verdict, sequence, owner}: ok | superseded | closed | diverged, the log's last sequence and whose it is.
local attempt = tonumber(ARGV[1])
local after = tonumber(ARGV[2])
local terminal = ARGV[4] == '1'
local rewrites_opening = ARGV[5] == '1'
local frames = #ARGV - 5

-- The log's last entry is its whole state: who wrote it, its sequence, and whether it ended the log.
local function state(log)
    local found = redis.pcall('XREVRANGE', log, '+', '-', 'COUNT', 1)
    if found.err then
        if not string.find(found.err, 'WRONGTYPE', 1, true) then
            error(found.err)
        end
        redis.call('DEL', log) -- another has put something else there, which would hold up every writer
    end
    local last = found[1]
    if not last then
        return 0, 0, false
    end
    local owner, sequence = string.match(last[1], '^(%d+)-(%d+)$')
    return tonumber(owner), tonumber(sequence), last[2][3] ~= nil
end

-- Some writers know the log under one prefix only, so the log that goes furthest holds.
local furthest = 1
local owner, sequence, closed = state(KEYS[1])
for log = 3, #KEYS, 2 do
    local its_owner, its_sequence, its_end = state(KEYS[log])
    if its_owner > owner or its_owner == owner and its_sequence > sequence then
        furthest, owner, sequence, closed = log, its_owner, its_sequence, its_end
    end
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

for log = 1, #KEYS, 2 do
    if log ~= furthest then
        local its_owner, its_sequence = state(KEYS[log])
        if its_owner ~= owner or its_sequence ~= sequence then
            local past = string.format('(%d-%d', its_owner, its_sequence)
            for _, entry in ipairs(redis.call('XRANGE', KEYS[furthest], past, '+')) do
                redis.call('XADD', KEYS[log], entry[1], unpack(entry[2]))
            end
        end
    end
end

for i = 6, #ARGV do
    sequence = sequence + 1
    local id = string.format('%d-%d', attempt, sequence)
    if terminal and i == #ARGV then
        -- The entry keeps whether the frame had a live subscriber: an answer that nobody read live is replayed when its chat
        -- is opened.
        local had_subscriber = 0
        for log = 1, #KEYS, 2 do
            had_subscriber = had_subscriber + redis.call('PUBLISH', KEYS[log + 1], id .. ' 1\n' .. ARGV[i])
        end
        for log = 1, #KEYS, 2 do
            redis.call('XADD', KEYS[log], id, 'frame', ARGV[i], 'terminal', had_subscriber)
        end
    else
        for log = 1, #KEYS, 2 do
            redis.call('XADD', KEYS[log], id, 'frame', ARGV[i])
            redis.call('PUBLISH', KEYS[log + 1], id .. ' 0\n' .. ARGV[i])
        end
    end
end
for log = 1, #KEYS, 2 do
    redis.call('PEXPIRE', KEYS[log], ARGV[3])
end
return { 'ok', sequence, attempt }
