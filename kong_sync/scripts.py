"""The fixed Lua texts of our functions; `lua` puts their constants before them. No text is made of what documents say.

They run in Kong's sandbox (`untrusted_lua`): no `require`, and nothing but `kong`, `ngx` and Lua's own.
"""

EXIT = """
local function refuse(status, code, challenge)
  return kong.response.exit(status, BODIES[code], {["Content-Type"] = TYPE, ["WWW-Authenticate"] = challenge})
end
"""

# A request is somebody else's only if its path is plain and begins with nothing of ours: what could be read in two ways
# is ours. Without PATHS all are.
OURS = """
local function ours()
  if not PATHS then return true end
  local path = kong.request.get_raw_path()
  if path:sub(1, 1) ~= "/" then return true end
  if path:find("%", 1, true) or path:find("/.", 1, true) or path:find("//", 1, true) then return true end
  for i = 1, #PATHS do if path:sub(1, #PATHS[i]) == PATHS[i] then return true end end
  return false
end
local function preflight()
  return ngx.req.get_method() == "OPTIONS" and kong.request.get_header("origin")
    and kong.request.get_header("access-control-request-method")
end
"""

# Kong routes by `x_tenant_id` as by `x-tenant-id`. HTTP/2 has no raw header; its names come as they are.
DISGUISED = """
local plain = HEADER:gsub("_", "-")
local function disguised()
  local known, raw = pcall(ngx.req.raw_header)
  for line in (known and raw or ""):gmatch("\\n([^:%s]+)%s*:") do
    local lower = line:lower()
    if lower ~= HEADER and lower:gsub("_", "-") == plain then return true end
  end
  for name in pairs(ngx.req.get_headers(0)) do
    local lower = name:lower()
    if lower ~= HEADER and lower:gsub("_", "-") == plain then return true end
  end
end
"""

BY_HEADER = """
local function look()
  local found
  for name, value in pairs(ngx.req.get_headers(0)) do
    local lower = name:lower()
    if lower:gsub("_", "-") == plain then
      if lower ~= HEADER or found or type(value) ~= "string" then return refuse(400, "bad_tenant_header") end
      found = value
    end
  end
  if disguised() then return refuse(400, "bad_tenant_header") end
  if not found then
    if preflight() then return end
    return refuse(404, "unknown_tenant")
  end
  if found:find(",", 1, true) then return refuse(400, "bad_tenant_header") end
  if found:find("[^a-z0-9-]") or found == "-" or found == "" then return refuse(404, "unknown_tenant") end
end
if ours() then look() end
"""

# A reader of JSON: objects, arrays, texts, numbers, true, false, null; nil for what is none. A name given twice makes
# the whole unreadable. Escapes of a text other than \" \\ \/ stay as they are written.
READ = """
local NULL = {}
local function decode(text)
  local at, depth = 1, 0
  local value
  local function skip() at = text:find("[^ \\t\\r\\n]", at) or #text + 1 end
  local function literal()
    local stop = at
    repeat
      stop = text:find('["\\\\]', stop + 1)
      if not stop then error("text") end
      local escape = text:sub(stop, stop) == "\\\\"
      if escape then stop = stop + 1 end
    until not escape
    local found = text:sub(at + 1, stop - 1):gsub('\\\\(["\\\\/])', "%1")
    at = stop + 1
    return found
  end
  local function object()
    local found, seen = {}, {}
    at = at + 1
    skip()
    if text:sub(at, at) == "}" then at = at + 1 return found end
    while true do
      skip()
      if text:sub(at, at) ~= '"' then error("name") end
      local name = literal()
      if seen[name] then error("twice") end
      seen[name] = true
      skip()
      if text:sub(at, at) ~= ":" then error("colon") end
      at = at + 1
      found[name] = value()
      skip()
      local mark = text:sub(at, at)
      at = at + 1
      if mark == "}" then return found end
      if mark ~= "," then error("object") end
    end
  end
  local function array()
    local found = {[0] = true}
    at = at + 1
    skip()
    if text:sub(at, at) == "]" then at = at + 1 return found end
    while true do
      found[#found + 1] = value()
      skip()
      local mark = text:sub(at, at)
      at = at + 1
      if mark == "]" then return found end
      if mark ~= "," then error("array") end
    end
  end
  function value()
    skip()
    depth = depth + 1
    if depth > 32 then error("depth") end
    local mark, found = text:sub(at, at), nil
    if mark == "{" then found = object()
    elseif mark == "[" then found = array()
    elseif mark == '"' then found = literal()
    else
      local word = text:match("^[%w+.-]+", at)
      if not word then error("value") end
      at = at + #word
      if word == "true" then found = true
      elseif word == "false" then found = false
      elseif word == "null" then found = NULL
      else
        found = tonumber(word)
        if not found then error("number") end
      end
    end
    depth = depth - 1
    return found
  end
  local found = value()
  skip()
  if at <= #text or type(found) ~= "table" or found[0] then error("end") end
  return found
end
local function part(text)
  text = text:gsub("%-", "+"):gsub("_", "/")
  local plain = ngx.decode_base64(text .. ("="):rep(-#text % 4))
  if not plain then return nil end
  local good, found = pcall(decode, plain)
  return good and found or nil
end
local function claim(claims, path)
  local found = claims
  for i = 1, #path do
    if type(found) ~= "table" or found == NULL or found[0] then return nil end
    found = found[path[i]]
  end
  return found
end
local function token()
  local given = ngx.req.get_headers(0)["authorization"]
  if given == nil or given == "" then return nil, "token_missing" end
  if type(given) ~= "string" then return nil, "token_invalid" end
  local head, claims = given:match("^[Bb]earer +([%w_-]+)%.([%w_-]+)%.[%w_-]+$")
  if not head and not given:lower():find("bearer", 1, true) then return nil, "token_missing" end
  head, claims = head and part(head), claims and part(claims)
  if not head or not claims then return nil, "token_invalid" end
  return claims, head
end
"""

BY_CLAIM = """
ngx.req.clear_header(HEADER)
local function look()
  if disguised() then return refuse(400, "bad_tenant_header") end
  if preflight() then return end
  local claims, why = token()
  if not claims then return refuse(401, why, why == "token_missing" and "Bearer" or 'Bearer error="invalid_token"') end
  local found = claim(claims, CLAIM)
  if type(found) ~= "string" or found:find("[^a-z0-9-]") or found == "-" or found == "" then
    return refuse(404, "unknown_tenant")
  end
  ngx.req.set_header(HEADER, found)
end
if ours() then look() end
"""

CHECK = """
local function invalid() return refuse(401, "token_invalid", 'Bearer error="invalid_token"') end
local function check()
  for i = 1, #FORWARD do kong.service.request.clear_header(FORWARD[i][2]) end
  local claims, head = token()
  if not claims then
    if head ~= "token_missing" then return invalid() end
    if not REQUIRED then return end
    return refuse(401, head, "Bearer")
  end
  if claims.iss ~= ISSUER or claims.kid ~= nil or not ALGORITHMS[head.alg] then return invalid() end
  local now = ngx.time()
  if type(claims.nbf) == "number" and claims.nbf > now + SKEW then return invalid() end
  if type(claims.exp) == "number" and claims.exp <= now then
    return refuse(401, "token_expired", 'Bearer error="invalid_token"')
  end
  if #AUDIENCES > 0 then
    local meant, good = claims.aud, false
    if type(meant) == "string" then meant = {meant} end
    for i = 1, type(meant) == "table" and #meant or 0 do
      for j = 1, #AUDIENCES do good = good or meant[i] == AUDIENCES[j] end
    end
    if not good then return refuse(403, "token_not_for_this_audience") end
  end
  for i = 1, #CLAIMS do
    local named = TENANT or kong.request.get_header(HEADER)
    if claim(claims, CLAIMS[i]) ~= named then return refuse(403, "wrong_tenant") end
  end
  for i = 1, #FORWARD do
    local found = claim(claims, FORWARD[i][1])
    if type(found) == "number" and found == math.floor(found) and math.abs(found) < 2 ^ 53 then
      found = ("%d"):format(found)
    end
    if type(found) == "number" or type(found) == "boolean" then found = tostring(found) end
    if type(found) == "string" then
      if found:find("%c") then return invalid() end
      kong.service.request.set_header(FORWARD[i][2], found)
    end
  end
end
check()
"""

VERIFIED = """
local given = ngx.req.get_headers(0)["authorization"]
if given and tostring(given):lower():find("bearer", 1, true) and not kong.client.get_credential() then
  return kong.response.exit(401, BODIES["token_invalid"],
    {["Content-Type"] = TYPE, ["WWW-Authenticate"] = 'Bearer error="invalid_token"'})
end
"""

REQUIRED = """
local method = ngx.req.get_method()
local headers = ngx.req.get_headers(0)
for i = 1, #RULES do
  local rule = RULES[i]
  local meant = rule.methods and rule.methods[method] or (not rule.methods and method ~= "OPTIONS")
  local value = headers[rule.name]
  if meant and value == nil then return kong.response.exit(rule.status, rule.missing, {["Content-Type"] = TYPE}) end
  if meant and rule.pattern then
    local good = false
    for _, one in ipairs(type(value) == "table" and value or {value}) do
      good = good or ngx.re.find(one, rule.pattern, "ju") ~= nil
    end
    if not good then return kong.response.exit(rule.status, rule.invalid, {["Content-Type"] = TYPE}) end
  end
end
"""

ECHO = """
local given = kong.request.get_header(HEADER)
if given then kong.response.set_header(HEADER, given) end
"""

# Who asks is a consumer of ours, by the id that its name has (uuid5): no credential says so, so there is none to guess,
# and none that another route of this Kong would take. `acl` behind asks whether there is such a consumer.
RECOGNISED = """
local function id(tenant)
  local bytes = {ngx.sha1_bin(string.char(unpack(SPACE)) .. BEFORE .. tenant):byte(1, 16)}
  bytes[7], bytes[9] = bytes[7] % 16 + 80, bytes[9] % 64 + 128
  local two = "%02x%02x"
  return (two .. two .. "-" .. two .. "-" .. two .. "-" .. two .. "-" .. two .. two .. two):format(unpack(bytes))
end
for i = 1, #SPOKEN do kong.service.request.clear_header(SPOKEN[i]) end
local tenant = TENANT or kong.request.get_header(HEADER)
if tenant then kong.client.authenticate({id = id(tenant), username = tenant}) end
"""

REWRITE = """
local path = kong.request.get_path()
if PREFIX then
  local rest = path:sub(#PREFIX + 1)
  if TO:sub(-1) == "/" and rest:sub(1, 1) == "/" then rest = rest:sub(2) end
  path = TO .. rest
elseif REGEX then
  path = ngx.re.gsub(path, REGEX, TO, "ju")
  if path:sub(1, 1) ~= "/" then path = "/" .. path end
else
  path = TO
end
if path then kong.service.request.set_path(path) end
if HOST then kong.service.request.set_header("host", HOST) end
"""
