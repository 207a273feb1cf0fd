"""The Lua of our functions: fixed texts, and constants before them. Called by `plugins` and `translate`.

A run-time error of the guard is a 500 for every request of the Kong, so nothing here is made of what documents say but
quoted constants, and no text uses more than the sandbox has: `kong`, `ngx.req`, `ngx.re`, strings and tables.
"""

import string
from collections.abc import Iterable, Mapping
from typing import Any

from kong_sync.bodies import JSON, body

_PLAIN = frozenset(string.ascii_letters + string.digits + " _-./:")


def quoted(text: str) -> str:
    """A Lua string: whatever is not plain is written by its number."""
    return '"' + "".join(chr(byte) if chr(byte) in _PLAIN else f"\\{byte:03d}" for byte in text.encode()) + '"'


def constant(value: Any) -> str:
    """Plain JSON as a Lua constant."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nil"}[value]
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, Mapping):
        return "{" + ",".join(f"[{constant(name)}]={constant(value[name])}" for name in sorted(value)) + "}"
    return "{" + ",".join(map(constant, value)) + "}"


def _with(text: str, **constants: Any) -> str:
    """The text behind its constants."""
    head = "".join(f"local {name} = {constant(value)}\n" for name, value in constants.items() if value is not None)
    return head + text.strip() + "\n"


def _refusals(*codes: str) -> dict[str, str]:
    return {code: body(code) for code in codes}


_EXIT = """
local function refuse(status, code, challenge)
  return kong.response.exit(status, BODIES[code], {["Content-Type"] = TYPE, ["WWW-Authenticate"] = challenge})
end
"""

# A request is somebody else's only if its path is plain and begins with nothing of ours: what could be read in two ways
# is ours. Without PATHS all are.
_OURS = """
local function ours()
  if not PATHS then return true end
  local path = kong.request.get_raw_path()
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
_DISGUISED = """
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

_BY_HEADER = """
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
_READ = """
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

_BY_CLAIM = """
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

_CHECK = """
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

_VERIFIED = """
local given = ngx.req.get_headers(0)["authorization"]
if given and tostring(given):lower():find("bearer", 1, true) and not kong.client.get_credential() then
  return kong.response.exit(401, BODIES["token_invalid"],
    {["Content-Type"] = TYPE, ["WWW-Authenticate"] = 'Bearer error="invalid_token"'})
end
"""

_REQUIRED = """
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

_ECHO = """
local given = kong.request.get_header(HEADER)
if given then kong.response.set_header(HEADER, given) end
"""

_REWRITE = """
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


def header_guard(header: str, paths: Iterable[str] | None) -> str:
    """Before routing: one id of a tenant in this header, or none. `paths`: what ours begin with; None: all are ours."""
    bodies = _refusals("bad_tenant_header", "unknown_tenant")
    known = None if paths is None else list(paths)
    head = "" if paths is not None else "local PATHS\n"
    return head + _with(_EXIT + _OURS + _DISGUISED + _BY_HEADER, PATHS=known, HEADER=header, TYPE=JSON, BODIES=bodies)


def claim_guard(header: str, claim: Iterable[str], paths: Iterable[str] | None) -> str:
    """Before routing: the tenant that a token says, into our own header; the token is verified behind."""
    bodies = _refusals("token_missing", "token_invalid", "unknown_tenant", "bad_tenant_header")
    known = None if paths is None else list(paths)
    head = "" if paths is not None else "local PATHS\n"
    text = _EXIT + _OURS + _DISGUISED + _READ + _BY_CLAIM
    return head + _with(text, PATHS=known, HEADER=header, CLAIM=list(claim), TYPE=JSON, BODIES=bodies)


def token_check(**said: Any) -> str:
    """What the plugin `jwt` does not look at: issuer, audience, tenant, algorithm. It verifies the same token behind.

    ISSUER, AUDIENCES, ALGORITHMS, REQUIRED, SKEW, FORWARD, CLAIMS; TENANT or HEADER says whom the claims must name.
    """
    names = ("token_missing", "token_invalid", "token_expired", "token_not_for_this_audience", "wrong_tenant")
    absent = "".join(f"local {name}\n" for name in ("TENANT", "HEADER") if said.get(name) is None)
    return absent + _with(_EXIT + _READ + _CHECK, **said, TYPE=JSON, BODIES=_refusals(*names))


def verified() -> str:
    """Where a token is not required: one that was given and did not pass is refused."""
    return _with(_VERIFIED, TYPE=JSON, BODIES=_refusals("token_invalid"))


def required_headers(rules: Iterable[Mapping[str, Any]]) -> str:
    """`name`, `status`, `missing`, and perhaps `methods`, `pattern`, `invalid` of each rule."""
    return _with(_REQUIRED, RULES=list(rules), TYPE=JSON)


def echo(header: str) -> str:
    """A header of the request goes back with the answer."""
    return _with(_ECHO, HEADER=header)


def rewrite(prefix: str | None, regex: str | None, to: str | None, host: str | None) -> str:
    """What the service sees: `to` in place of the path's beginning, of what a pattern finds, or of all; the host."""
    said = {"PREFIX": prefix, "REGEX": regex, "TO": to, "HOST": host}
    absent = "".join(f"local {name}\n" for name, value in said.items() if value is None)
    return absent + _with(_REWRITE, **said)


def cleared(header: str) -> str:
    """A header of ours that no service sees."""
    return _with("kong.service.request.clear_header(HEADER)", HEADER=header)
