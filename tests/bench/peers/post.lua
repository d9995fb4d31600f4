-- wrk: posts one file over and over, with headers "Name: value", and ends with a line of JSON. Arguments: FILE HEADER...
function init(arguments)
   local file = assert(io.open(arguments[1], "rb"))
   wrk.method = "POST"
   wrk.body = file:read("*a")
   file:close()
   for number = 2, #arguments do
      local name, value = arguments[number]:match("^(.-): (.*)$")
      wrk.headers[name] = value
   end
end

function done(summary, latency, _)
   local failed = summary.errors
   io.write(string.format(
      '\n{"requests": %d, "errors": %d, "seconds": %.6f, "p50": %.3f, "p99": %.3f}\n',
      summary.requests,
      failed.connect + failed.read + failed.write + failed.status + failed.timeout,
      summary.duration / 1e6,
      latency:percentile(50) / 1e3,
      latency:percentile(99) / 1e3
   ))
end
