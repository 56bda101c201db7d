-- Sends the requests of a file one after the other, and prints what wrk measured in one line.
-- On each connection a pause follows each answer: so many milliseconds as the second argument says.
-- A line: method, path, body, then headers as "Name: value"; separated by tabs.

local requests = {}
local last = 0

function init(arguments)
  for line in io.lines(arguments[1]) do
    local fields = {}
    for field in (line .. "\t"):gmatch("([^\t]*)\t") do
      fields[#fields + 1] = field
    end
    local headers = { Host = wrk.headers["Host"], ["Content-Type"] = "application/json" }
    for number = 4, #fields do
      local name, value = fields[number]:match("^([^:]+): (.*)$")
      headers[name] = value
    end
    local body = fields[3] ~= "" and fields[3] or nil
    requests[#requests + 1] = wrk.format(fields[1], fields[2], headers, body)
  end
  local pause = tonumber(arguments[2])
  if pause > 0 then
    -- Not in step with the others.
    function delay() return math.random(0, 2 * pause) end
  end
end

function request()
  last = last % #requests + 1
  return requests[last]
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    "MEASURED %d %d %d %d %d %d %d %d %d %d\n",
    summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9),
    errors.status, errors.timeout, errors.connect, errors.read, errors.write
  ))
end
