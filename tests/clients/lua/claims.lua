-- lua-redis: what its users do. Tells tests/integration/real.py.
local redis = require 'redis'

local where = 'unix://' .. os.getenv('SOCKET')
io.stdout:setvbuf('line')

local function claim(name, test)
    local ok, why = pcall(test)
    print(ok and 'ok ' .. name or 'not ok ' .. name .. ': ' .. tostring(why):gsub('%s+', ' '))
end

local function equal(got, wanted)
    if got ~= wanted then
        error(tostring(got):sub(1, 300) .. ', not ' .. tostring(wanted):sub(1, 300), 2)
    end
end

local function fails(words, test)
    local ok, why = pcall(test)
    if ok or not why:find(words, 1, true) then error(tostring(why) .. ', not ' .. words, 2) end
end

local r = redis.connect(where)

claim('everyday commands', function()
    r:flushall()
    equal(r:ping(), true)
    equal(r:set('k', 'v'), true)
    equal(r:get('k'), 'v')
    equal(r:get('gone'), nil)
    equal(r:setex('e', 100, 'x'), true)
    equal(r:ttl('e'), 100)
    equal(r:mset({a = 1, b = 'two'}), true)
    equal(table.concat(r:mget('a', 'b'), ' '), '1 two')
    equal(r:incr('n') + r:incrby('n', 5) + r:decr('n'), 12)
    equal(r:exists('a'), true)
    equal(r:del('a', 'b', 'gone'), 2)
    equal(r:dbsize(), 3)
    equal(r:info().server.redis_version:sub(1, 4), '7.0.')
end)

claim('pipelines, MULTI and WATCH', function()
    local said = r:pipeline(function(p)
        for i = 1, 2000 do p:incr('count') end
    end)
    equal(said[2000], 2000)
    said = r:transaction({watch = 'n', cas = true, retry = 2}, function(t)
        local n = tonumber(t:get('n'))
        if n == 5 then redis.connect(where):incr('n') end -- somebody was faster
        t:multi()
        t:set('n', 2 * n)
    end)
    equal(said[1], true)
    equal(r:get('n'), '12')
end)

claim('binary and large values', function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i) end
    local large = table.concat(bytes):rep(4096)
    equal(r:set(large:sub(1, 1024), large), true)
    equal(r:get(large:sub(1, 1024)) == large, true)
end)

claim('publish and subscribe', function()
    local sub, heard = redis.connect(where), nil
    for message, abort in sub:pubsub({subscribe = {'news'}}) do
        if message.kind == 'subscribe' then
            equal(r:publish('news', 'hello'), 1)
        elseif message.kind == 'message' then
            heard = message.payload
            abort()
        end
    end
    equal(heard, 'hello')
end)

claim('a password is asked for', function()
    local guarded = redis.connect('unix://' .. os.getenv('GUARDED'))
    fails('NOAUTH', function() guarded:get('k') end)
    fails('WRONGPASS', function() guarded:auth('x') end)
    equal(guarded:auth(os.getenv('PASSWORD')), true)
    equal(guarded:set('k', 'v'), true)
end)

claim('errors are told', function()
    r:set('text', 'x')
    fails('ERR value is not an integer or out of range', function() r:incr('text') end)
    fails("ERR unknown command 'LPUSH'", function() r:lpush('l', 'x') end)
    equal(r:get('text'), 'x')
end)
