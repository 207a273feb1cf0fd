# For the test against a real Open Policy Agent (OPA_ADDR): whoever has the plan `gold` may call the route `a`.
#
#     opa run --server --set plugins.envoy_ext_authz_grpc.addr=127.0.0.1:9191 \
#         --set plugins.envoy_ext_authz_grpc.path=gatecast/authz/allow tests/support/authz.rego
package gatecast.authz

default allow := false

context := input.attributes.contextExtensions

allow if {
	context.plan == "gold"
	context.route == "a"
	context.tenant == "gold"
}
