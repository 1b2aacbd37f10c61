-- Append events to a user's feed and publish them, in one atomic step (docs/protocol.md, "Live feed").
-- KEYS: the feed (a stream with ids <time of the append in ms>-<sequence>), the channel; while the prefix changes, both under
-- the other prefix too.
-- ARGV: how many entries are kept; expiry in ms; '1' to append only to a feed without entries; the event that ends a feed, and
-- that nothing is appended after; events.
-- Answers the last entry's id.
local kept = tonumber(ARGV[1])
local only_begins = ARGV[3] == '1'

local function head(feed)
    local found = redis.pcall('XREVRANGE', feed, '+', '-', 'COUNT', 1)
    if found.err then
        if not string.find(found.err, 'WRONGTYPE', 1, true) then
            error(found.err)
        end
        redis.call('DEL', feed) -- another has put something else there, which would hold up every writer
    end
    local last = found[1]
    if not last then
        return 0, 0, false
    end
    local time, sequence = string.match(last[1], '^(%d+)-(%d+)$')
    return tonumber(time), tonumber(sequence), last[2][2] == ARGV[4]
end

-- Some processes know the feed under one prefix only, so the newest one holds.
local newest = 1
local time, sequence, has_ended = head(KEYS[1])
for feed = 3, #KEYS, 2 do
    local its_time, its_sequence, its_end = head(KEYS[feed])
    if its_time > time or its_time == time and its_sequence > sequence then
        newest, time, sequence, has_ended = feed, its_time, its_sequence, its_end
    end
end

if has_ended then
    return string.format('%d-%d', time, sequence)
end

for feed = 1, #KEYS, 2 do
    if feed ~= newest and sequence > 0 then
        local its_time, its_sequence = head(KEYS[feed])
        local its_head = string.format('%d-%d', its_time, its_sequence)
        local past = '(' .. its_head
        if its_sequence == 0 or #redis.call('XRANGE', KEYS[newest], its_head, its_head) == 0 then
            redis.call('DEL', KEYS[feed]) -- it is no beginning of the newest
            past = '-'
        end
        for _, entry in ipairs(redis.call('XRANGE', KEYS[newest], past, '+')) do
            redis.call('XADD', KEYS[feed], entry[1], unpack(entry[2]))
        end
    end
end

if not only_begins or sequence == 0 then
    local now = redis.call('TIME')
    time = math.max(time, now[1] * 1000 + math.floor(now[2] / 1000)) -- a clock may go back, ids may not
    for i = 5, #ARGV do
        sequence = sequence + 1
        local id = string.format('%d-%d', time, sequence)
        for feed = 1, #KEYS, 2 do
            redis.call('XADD', KEYS[feed], 'MAXLEN', kept, id, 'frame', ARGV[i])
            redis.call('PUBLISH', KEYS[feed + 1], id .. ' 0\n' .. ARGV[i])
        end
    end
end
for feed = 1, #KEYS, 2 do
    redis.call('PEXPIRE', KEYS[feed], ARGV[2])
end
return string.format('%d-%d', time, sequence)
