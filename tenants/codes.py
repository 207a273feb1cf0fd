"""The table of problem codes. A code never changes its meaning; `docs/` and the CLI list this table.

GC0xx: a file could not be read as documents. GC1xx: a document is wrong by itself. GC2xx: it is wrong beside others.
GC3xx: a document is right, and not served as it says. GC9xx: we or Envoy could not do what the documents say.
"""

from collections.abc import Mapping
from types import MappingProxyType

CODES: Mapping[str, str] = MappingProxyType(
    {
        "GC001": "The file is not valid YAML.",
        "GC002": "The document is not a mapping of fields.",
        "GC003": "The document's kind is missing or unknown.",
        "GC004": "The document's id is missing or not an id.",
        "GC005": "A key is given twice in one mapping.",
        "GC006": "A YAML anchor, alias, merge key or tag is used.",
        "GC007": "The document is nested too deeply.",
        "GC008": "The file or the document is too large.",
        "GC009": "The file is not UTF-8 text.",
        "GC010": "A key is not plain text.",
        "GC011": "The file cannot be read.",
        "GC101": "The field is unknown.",
        "GC102": "A required field is missing.",
        "GC103": "One of several fields is required and none is given.",
        "GC104": "The value has the wrong type.",
        "GC105": "The value is not one of those allowed.",
        "GC106": "The number or length is out of range.",
        "GC107": "Two fields contradict each other.",
        "GC108": "The value is not an id.",
        "GC109": "The value is not a duration.",
        "GC110": "The value is not a size.",
        "GC111": "The value is not a header name.",
        "GC112": "The value cannot stand in a header or a path.",
        "GC113": "The value is not a host name.",
        "GC114": "The value is not an address with a port.",
        "GC115": "The value is not an address range (CIDR).",
        "GC116": "RE2 refuses the regular expression.",
        "GC117": "The value is not an HTTP method.",
        "GC118": "The weights do not add up to 100.",
        "GC119": "The same value is listed twice.",
        "GC120": "This policy has no place in this kind of document.",
        "GC121": "The value is not a URL or an origin.",
        "GC122": "A private key stands where only public keys belong.",
        "GC123": "A listener's port is used twice in one gateway.",
        "GC201": "The organisation is not in force.",
        "GC202": "The service is not in force.",
        "GC203": "The route is not in force.",
        "GC204": "The host is claimed by another tenant.",
        "GC205": "The route shadows another route.",
        "GC206": "Two gateways use one port on overlapping addresses.",
        "GC207": "The policy is invalid once merged with those it inherits.",
        "GC208": "`jwt.tenant_claim` is given and there is no `jwt`.",
        "GC209": "A gateway that takes the tenant from a claim has no `jwt`, or a tenant switches it off.",
        "GC210": "An endpoint is on loopback or link-local and a gateway does not allow it.",
        "GC211": "The document was removed and is still referred to.",
        "GC212": "The same kind and id is given twice.",
        "GC213": "A tenant without hosts cannot be reached through a gateway that selects by host.",
        "GC214": "A gateway selects a tenant or organisation that does not exist.",
        "GC215": "No gateway is in force, so nothing is served.",
        "GC301": "What the document asks for is not enforced by this gateway yet.",
        "GC900": "The document cannot be translated: a defect of gatecast.",
        "GC901": "Envoy refuses the translation.",
    }
)
