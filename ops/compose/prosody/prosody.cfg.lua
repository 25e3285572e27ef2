-- Prosody among the services of compose.yaml: CSRs by TLS, the hub as a component on a network of their own.
-- A CSR: docker compose exec prosody prosodyctl adduser alice@desk.example

local function secret(name)
	local file = assert(io.open("/run/secrets/" .. name), "no secret " .. name .. ": run ops/compose/prepare")
	local line = file:read("*l")
	file:close()
	return line
end

pidfile = "/run/prosody/prosody.pid"
data_path = "/var/lib/prosody"
log = { { levels = { min = "info" }, to = "console" } }
interfaces = { "*" }
c2s_ports = { 5222 }
c2s_direct_tls_ports = {}
s2s_ports = {}
http_ports = {}
https_ports = {}

-- The component protocol has no encryption: only the network `desk`, which leads nowhere, has this port's peer.
component_interfaces = { "*" }
component_ports = { 5347 }
component_stanza_size_limit = 524288

modules_enabled = {
	"roster", "saslauth", "tls", "disco", "ping", "presence", "message", "iq",
	"carbons", "smacks", "blocklist", "time", "uptime", "version",
}
-- Texts for who is not there wait in the hub, which knows it; not here.
modules_disabled = { "s2s", "offline" }

authentication = "internal_hashed"
storage = "internal"
allow_registration = false
c2s_require_encryption = true

VirtualHost "desk.example"
	ssl = { certificate = "/run/secrets/desk_certificate", key = "/run/secrets/desk_key" }

Component "sms.desk.example"
	component_secret = secret("desk_secret")
