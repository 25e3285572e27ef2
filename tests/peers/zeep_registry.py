"""A foreign SOAP client: zeep. Knows the registry by the WSDL that it serves, and shows a UsernameToken.

Arguments: address of the WSDL, user, password. Output: one JSON object with what it saw. Runs in an environment of its
own.
"""

import json
import sys

import zeep
from zeep.exceptions import Fault
from zeep.helpers import serialize_object
from zeep.wsse.username import UsernameToken

wsdl, user, password = sys.argv[1:]
seen = {}


def client(wsse):
    return zeep.Client(wsdl, wsse=wsse)


def states(results):
    return [[one["number"], one["state"]] for one in serialize_object(results)]


ours = client(UsernameToken(user, password, use_digest=True))
seen["address"] = ours.service._binding_options["address"]
seen["operations"] = sorted(ours.service._operations)
items = [
    {"key": f"z{n}", "listing": {"number": f"+1617555020{n}", "title": "Zoë <&>", "loa": "l1", "textsPerDay": 7}}
    for n in range(3)
]
numbers = [item["listing"]["number"] for item in items]
seen["submitted"] = [states(ours.service.Submit(requestKey="r1", item=items)) for _ in range(2)]
[first, *_] = serialize_object(ours.service.Query(number=numbers))
seen["listing"] = {name: value for name, value in first["listing"].items() if value is not None}
withdrawals = [{"key": f"w{number}", "number": number} for number in numbers[:2]]
seen["withdrawn"] = states(ours.service.Withdraw(requestKey="r2", item=withdrawals))
seen["queried"] = states(ours.service.Query(number=numbers))

for name, wsse in {
    "wrong": UsernameToken(user, password + "!", use_digest=True),
    "plain": UsernameToken(user, password),
    "none": None,
}.items():
    try:
        seen[name] = states(client(wsse).service.Query(number=numbers[:1]))
    except Fault as fault:
        detail = fault.detail[0]
        seen[name] = {child.tag.rpartition("}")[2]: child.text for child in detail}
try:
    ours.service.Submit(requestKey="r3", item=[{"key": "k", "listing": {"number": ""}}])
except Fault as fault:
    seen["malformed"] = fault.detail[0][0].text
print(json.dumps(seen))
