-- Sends the requests of one operation; writes one JSON line of figures at the end.
-- Arguments: method, path, body, salt. In path and body, @N@ becomes a text that no other request
-- has, and @R:<count>@ a number from 0 below the count, padded with zeros as the largest of them.

local counter = 0
local pieces = {}

function init(args)
  method, path, body, salt = args[1], args[2], args[3], args[4]
  math.randomseed(tonumber(salt) % 2147483647)
  -- Taken apart once: the generator must not be what is measured.
  pieces = { path = split(path), body = split(body) }
end

function split(text)
  local found, from = {}, 1
  while true do
    local first, last, mark = text:find("@([NR][:%d]*)@", from)
    if not first then
      found[#found + 1] = text:sub(from)
      return found
    end
    found[#found + 1] = text:sub(from, first - 1)
    if mark == "N" then
      found[#found + 1] = function()
        counter = counter + 1
        return salt .. "-" .. counter
      end
    else
      local count = tonumber(mark:sub(3))
      local format = "%0" .. #tostring(count - 1) .. "d"
      found[#found + 1] = function() return string.format(format, math.random(0, count - 1)) end
    end
    from = last + 1
  end
end

local function fill(parts)
  local out = {}
  for i, part in ipairs(parts) do
    out[i] = type(part) == "function" and part() or part
  end
  return table.concat(out)
end

function request()
  if body == "" then
    return wrk.format(method, fill(pieces.path))
  end
  local headers = { ["Content-Type"] = "application/json" }
  return wrk.format(method, fill(pieces.path), headers, fill(pieces.body))
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"seconds":%.3f,"failed":%d,"p50_us":%d,"p99_us":%d}\n',
    summary.requests, summary.duration / 1e6,
    e.connect + e.read + e.write + e.status + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
