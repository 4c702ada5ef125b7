-- wrk's part of the bench: deducts of one credit, each with a key of its own, for users drawn at random from a file.
-- Arguments: the file (a user id a line), the API key, a prefix for idempotency keys that no earlier run had, and bytes of details.
-- What is constant in a request is joined once per user, so that a request costs two concatenations.

local heads = {}
local number = 0
local random = math.random
local tail

function init(arguments)
  local users, key, prefix = arguments[1], arguments[2], arguments[3]
  for user in io.lines(users) do
    heads[#heads + 1] = "POST /v1/users/" .. user .. "/deduct HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer " .. key
      .. "\r\nContent-Type: application/json\r\nIdempotency-Key: " .. prefix .. "-"
  end
  local size = tonumber(arguments[4])
  local details = size > 0 and ',"details":{"text":"' .. string.rep("x", size) .. '"}' or ""
  local body = '{"operationType":"AI_TEXT_CHAT","credits":1' .. details .. "}"
  tail = "\r\nContent-Length: " .. #body .. "\r\n\r\n" .. body
  math.randomseed(os.time())
end

function request()
  number = number + 1
  return heads[random(#heads)] .. number .. tail
end

-- One line that a program can read; microseconds. Requests that were under way at the end count nowhere.
function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"operations":%d,"microseconds":%d,"p50":%d,"p90":%d,"p99":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d}\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(90), latency:percentile(99),
    e.connect, e.read, e.write, e.status, e.timeout))
end
